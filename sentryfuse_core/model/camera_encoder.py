"""The camera's encoder: tokens for the trunk, and its map lifted into the canvas by distance and ground."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from sentryfuse_core.model.canvas import Canvas, block_order
from sentryfuse_core.model.features import CameraView, SensorFeatures
from sentryfuse_core.model.ground import GROUND_FEATURES, Ground
from sentryfuse_core.model.horizon import Horizon
from sentryfuse_core.model.lift import VIEW_FEATURES, ViewLift, depth_bins
from sentryfuse_core.model.shape import ModelShape
from sentryfuse_core.model.slim import SlimConv, SlimLinear, pointwise
from sentryfuse_core.preprocess.geometry import Geometry

__all__ = ["FOOT_PIXELS", "LEAST_SHARE", "SPREAD", "CameraEncoder"]

LEAST_SHARE = 1e-3  # of a token that anything is seen of
_MAP_STRIDE = 4  # of the map that is lifted
FOOT_PIXELS = 16.0  # a step of what says how far below a pixel its object stands
SPREAD = (-1.5, 4.0)  # narrowest and widest, logarithms of bins, that a distance by the ground may be
_READERS = ("merge_fine", "merge_coarse", "merge_deep", "merge_ground", "look", "foot", "horizon_row")

_Readers = Mapping[str, nn.Linear]


class CameraEncoder(nn.Module):
    """Convolutions at three scales; coarse patches as tokens; the scales merged and lifted into the canvas.

    Every pixel of the merged map also says how far away it takes its object to be, and what it is: the first
    decides how strongly its features count in each cell it lies over (Lift, Splat, Shoot, arXiv 2008.05711),
    and both are trained on the boxes as they appear in the image (BEVDepth, arXiv 2206.10092). A pixel
    finds the distance by geometry where it can: by the row where its object stands on the ground, and by
    the horizon, which says how the vehicle is tilted.
    """

    token_order: Tensor
    column_bearings: Tensor

    def __init__(self, shape: ModelShape, geometry: Geometry) -> None:
        super().__init__()
        first, second, fine, coarse, deep = shape.camera_channels
        self._grid = shape.camera_tokens
        self._stride = shape.pool
        rows, columns = self._grid
        self._shape = shape
        self._split = geometry.heatmap_cells // geometry.canvas_cells
        self.fine = nn.ModuleList(
            [SlimConv(3, first, stride=2), SlimConv(first, second, stride=2), SlimConv(second, fine)]
        )
        self.coarse = nn.ModuleList([SlimConv(fine, coarse, stride=2), SlimConv(coarse, coarse)])
        self.deep = nn.ModuleList([SlimConv(coarse, deep, stride=2), SlimConv(deep, deep)])
        self.merge_fine = nn.Linear(fine, shape.lift_channels)
        self.merge_coarse = nn.Linear(coarse, shape.lift_channels)
        self.merge_deep = nn.Linear(deep, shape.lift_channels)
        self.merge_ground = nn.Linear(GROUND_FEATURES, shape.lift_channels)
        self.refine = SlimConv(shape.lift_channels, shape.lift_channels)
        self.token = SlimLinear(deep, shape.dim)
        self.row = nn.Parameter(torch.randn(rows, shape.dim) * 0.02)
        self.kind = nn.Parameter(torch.randn(shape.dim) * 0.02)
        self.mount = nn.Linear(3, shape.dim)
        self.look = nn.Linear(shape.lift_channels, shape.depth_bins + shape.classes)
        self.foot = nn.Linear(shape.lift_channels, 2)
        self.horizon_row = nn.Linear(shape.lift_channels, 1)
        size = (geometry.image_height // _MAP_STRIDE, geometry.image_width // _MAP_STRIDE)
        self.ground = Ground(geometry, size)
        half = (size[0] // 2, size[1] // 2)
        self.half_ground = Ground(geometry, half) if shape.camera_halved else None
        self.horizon = Horizon(geometry, size)
        self.lift = ViewLift(shape, geometry)
        heights = len(shape.lift_heights_m)
        self.sample = nn.ModuleList(  # without bias: what is not seen stays zero
            [SlimLinear(shape.lift_channels, shape.fine_channels, bias=False) for _ in range(heights)]
        )
        self.sample_there = nn.ModuleList(  # the same where the pixel's object is as far away as the cell
            [SlimLinear(shape.lift_channels, shape.fine_channels, bias=False) for _ in range(heights)]
        )
        self.place = nn.Linear(shape.fine_channels * self._split**2, shape.dim, bias=False)
        self.evidence = nn.Linear(shape.dim, self._split**2)
        self.view = nn.Linear(VIEW_FEATURES, shape.dim, bias=False)
        pixel = (torch.arange(columns, dtype=torch.float32) + 0.5) * geometry.image_width / columns
        bearings = torch.atan((geometry.image_cx - pixel) / geometry.image_fx)
        self.register_buffer("token_order", block_order(rows, columns), persistent=False)
        self.register_buffer("column_bearings", bearings, persistent=False)
        with torch.no_grad():  # at first an object stands where it is seen, give or take a few bins
            self.foot.weight.zero_()
            self.foot.bias.copy_(torch.tensor([0.0, 1.5]))
        # What looks half as large in half an image is not twice as far away: its maps have their own readers.
        own = {name: copy.deepcopy(getattr(self, name)) for name in _READERS} if shape.camera_halved else {}
        self.halved = nn.ModuleDict(own)

    def forward(
        self,
        image: Tensor,
        position: Tensor,
        canvas: Canvas,
        *,
        tilt: Tensor | None,
        level: int,
        seen: Tensor | None = None,
    ) -> SensorFeatures:
        """`image` [B, 3, H, W] in 0..1, camera `position` [B, 3] in m, `tilt` [B, 2] in rad by the IMU.

        `seen` [B, 1, H / 4, W / 4] is the share of the pixels that the camera sees, None: all of them. Of
        what it does not see nothing is lifted and no row is taken for the horizon; a token holds what is
        seen and counts as much as that is. At a level whose image is halved everything up to the canvas has
        half as many rows and columns.
        """
        share, shrink = self._shape.camera_level(level)
        read = self.readers(halved=shrink > 1)
        pixels = image if shrink == 1 else functional.avg_pool2d(image, shrink)
        deep, merged = self._maps(pixels, share, read)
        ground = self.ground_of(merged.shape[2])
        ends = pointwise(read["horizon_row"], functional.relu(merged), 1)[:, 0].float().log_softmax(dim=1)
        shown = None if seen is None else _shrunk(seen, ends)
        seen_tilt = self.horizon(ends, tilt, None if shown is None else shown[:, 0])
        away = ground.encode(ground.ahead(position, seen_tilt))
        features = functional.relu(merged + pointwise(read["merge_ground"], away, merged.shape[1]))
        features = features + self.refine(features, merged.shape[1])
        look, foot = self._look(features, position, seen_tilt, ground, read)
        cells, view = self._lifted(features, look, position, canvas, seen_tilt, shown)
        grid, weights = self._coarse(deep, seen)
        grid = grid.permute(0, 2, 3, 1)
        where = self.row[:, None] + canvas.at_bearing(self.column_bearings) + self.kind
        tokens = self.token(grid) + where + self.mount(position)[:, None, None]
        placed = self.place(cells) + self.view(view)
        return SensorFeatures(
            tokens.flatten(1, 2)[:, self.token_order],
            placed,
            self._stride,
            canvas.to_fine_grid(cells, self._split),
            canvas.to_fine_grid(self.evidence(placed), self._split),
            CameraView(look, foot, ends, seen_tilt, None if shown is None else shown[:, 0]),
            None if weights is None else weights.flatten(1)[:, self.token_order],
        )

    def _coarse(self, deep: Tensor, seen: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """The deepest map over the tokens' grid, means of what is seen, and how much that is [B, 1, ...]."""
        if seen is None:
            return functional.adaptive_avg_pool2d(deep, self._grid), None
        shown = _shrunk(seen, deep)
        weights = functional.adaptive_avg_pool2d(shown, self._grid)
        grid = functional.adaptive_avg_pool2d(deep * shown, self._grid) / weights.clamp_min(LEAST_SHARE)
        return grid, weights

    def readers(self, *, halved: bool) -> _Readers:
        """What reads the maps, by name."""
        return {name: getattr(self.halved if halved else self, name) for name in _READERS}

    def ground_of(self, rows: int) -> Ground:
        """The ground under a map of `rows`, which depends on the level."""
        coarse = rows < len(self.ground.rows)
        return self.half_ground if coarse and self.half_ground is not None else self.ground

    def _maps(self, image: Tensor, share: float, read: _Readers) -> tuple[Tensor, Tensor]:
        """The deepest map [B, C, H / 16, W / 16] and all scales added up [B, L, H / 4, W / 4]."""
        shape = self._shape
        first, second, middle, low, last = (shape.channels(count, share) for count in shape.camera_channels)
        fine = (image - 0.5) * 4.0
        for layer, channels in zip(self.fine, (first, second, middle), strict=True):
            fine = layer(fine, channels)
        coarse = fine
        for layer in self.coarse:
            coarse = layer(coarse, low)
        deep = coarse
        for layer in self.deep:
            deep = layer(deep, last)
        lifted = shape.channels(shape.lift_channels, share)
        merged = pointwise(read["merge_coarse"], coarse, lifted) + _doubled(
            pointwise(read["merge_deep"], deep, lifted)
        )
        return deep, pointwise(read["merge_fine"], fine, lifted) + _doubled(merged)

    def _look(
        self, features: Tensor, position: Tensor, tilt: Tensor, ground: Ground, read: _Readers
    ) -> tuple[Tensor, Tensor]:
        """The look and the feet of `CameraView`.

        Distances are the learned logits plus those of a Laplace distribution about the ground's at the foot.
        """
        bins = self._shape.depth_bins
        look = pointwise(read["look"], features, bins + self._shape.classes).float()
        below, spread = pointwise(read["foot"], features, 2).float().unbind(1)
        foot = ground.rows + FOOT_PIXELS * below
        middle = depth_bins(ground.ahead(position, tilt, foot), bins)
        apart = (torch.arange(bins, device=look.device)[:, None, None] - middle[:, None]).abs()
        by_ground = -apart / spread.clamp(*SPREAD).exp()[:, None]
        return torch.cat((look[:, :bins] + by_ground, look[:, bins:]), dim=1), foot

    def _lifted(
        self,
        features: Tensor,
        look: Tensor,
        position: Tensor,
        canvas: Canvas,
        tilt: Tensor,
        shown: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """Features of the cells [B, cells, 4 * fine_channels] and where they are seen [B, cells, V]."""
        distance = look[:, : self._shape.depth_bins].softmax(dim=1)
        seen, there, view = self.lift(features, distance, position, canvas.centres, tilt, shown)
        by_height = self._split**2, len(self.sample)
        spoken = [
            layer(item)
            for layers, samples in ((self.sample, seen), (self.sample_there, seen * there))
            for layer, item in zip(layers, torch.unflatten(samples, 2, by_height).unbind(3), strict=True)
        ]  # [B, cells, 4, C] each
        return torch.stack(spoken).sum(dim=0).flatten(2), view


def _shrunk(shares: Tensor, maps: Tensor) -> Tensor:
    """`shares` [B, 1, H, W] over the pixels of coarser `maps` [..., h, w]."""
    rows, columns = maps.shape[-2:]
    return functional.adaptive_avg_pool2d(shares, (rows, columns))


def _doubled(maps: Tensor) -> Tensor:
    """[B, C, H, W] -> [B, C, 2 H, 2 W], each pixel four times."""
    return functional.interpolate(maps, scale_factor=2.0, mode="nearest")
