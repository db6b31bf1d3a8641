"""The camera of the deploy form: an image to tokens, canvas and fine grid."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from sentryfuse_core.model.camera_encoder import FOOT_PIXELS, LEAST_SHARE, SPREAD
from sentryfuse_core.model.ground import FARTHEST_M, IMAGE_FREQUENCIES, NEAREST_M, log_share, plane
from sentryfuse_core.model.lift import NEAR_M, SURE, depth_bins
from sentryfuse_core.model.network import SentryFuseNet
from sentryfuse_core.preprocess.tilt import upright
from sentryfuse_core.runtime.lean.layers import (
    Constants,
    LeanConv,
    by_columns,
    double,
    planar,
    pointwise,
    pooled,
    waves,
)

__all__ = ["LeanCamera"]


class LeanCamera(nn.Module):
    """`CameraEncoder` at one level; what it does not tell is what training alone reads."""

    def __init__(self, net: SentryFuseNet, level: int, constants: Constants, *, engine: bool) -> None:
        super().__init__()
        self._engine = engine
        encoder, shape = net.camera, net.shape
        share, self._shrink = shape.camera_level(level)
        first, second, fine, coarse, deep = (shape.channels(count, share) for count in shape.camera_channels)
        lifted = shape.channels(shape.lift_channels, share)
        self._bins, self._grid = shape.depth_bins, shape.camera_tokens
        widths = (3, first, second, fine, coarse, coarse, deep, deep)
        convolutions = [
            LeanConv(layer, channels, inputs, engine=engine)
            for layer, inputs, channels in zip(
                (*encoder.fine, *encoder.coarse, *encoder.deep), widths, widths[1:], strict=False
            )
        ]
        self.fine = nn.Sequential(*convolutions[:3])
        self.coarse = nn.Sequential(*convolutions[3:5])
        self.deep = nn.Sequential(*convolutions[5:])
        self.refine = LeanConv(encoder.refine, lifted, lifted, engine=engine)
        read = encoder.readers(halved=self._shrink > 1)
        self._merge_fine = pointwise(read["merge_fine"], fine, lifted)
        self._merge_coarse = pointwise(read["merge_coarse"], coarse, lifted)
        self._merge_deep = pointwise(read["merge_deep"], deep, lifted)
        self._merge_ground = pointwise(read["merge_ground"], 2 * IMAGE_FREQUENCIES, lifted)
        self._row = pointwise(read["horizon_row"], lifted)
        look, foot = pointwise(read["look"], lifted, self._bins), pointwise(read["foot"], lifted)
        self._look, self._foot = look, foot
        rows = net.geometry.image_height // 4 // self._shrink
        self.ground, self.horizon = encoder.ground_of(rows), encoder.horizon
        self.lift = LeanLift(net, lifted, constants, engine=engine)
        self._where = constants.of_camera
        self._token = encoder.token.weight.detach()[:, :deep].t()
        self._mount = (encoder.mount.weight.detach(), encoder.mount.bias.detach())
        self._steps, self._waves = constants.bins, constants.octaves

    def forward(
        self, image: Tensor, position: Tensor, seen: Tensor | None = None, tilt: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        """As `CameraEncoder.forward`, and what it returns in this order.

        Returns:
            Tokens [B, T, D] row by row; canvas [B, D, 256] row by row; fine grid [B, F, 32, 32]; evidence
            [B, 1, 32, 32]; how much of each token is seen [B, T], only where `seen` is given.
        """
        pixels = image if self._shrink == 1 else functional.avg_pool2d(image, self._shrink)
        fine = self.fine((pixels - 0.5) * 4.0)
        coarse = self.coarse(fine)
        deep = self.deep(coarse)
        merged = double(functional.conv2d(deep, *self._merge_deep), engine=self._engine)
        merged = double(functional.conv2d(coarse, *self._merge_coarse) + merged, engine=self._engine)
        merged = functional.conv2d(fine, *self._merge_fine) + merged
        del fine, coarse
        shown = None if seen is None else pooled(seen, merged.shape[2:])
        ends = functional.conv2d(merged.relu(), *self._row)[:, 0].softmax(dim=1)
        turned = self.horizon.by_chances(ends, tilt, None if shown is None else shown[:, 0])
        rotation = upright(turned)
        ground = plane(rotation, position)
        away = log_share(self.ground.ahead_on(ground), NEAREST_M, FARTHEST_M)[:, None] * 2.0 - 1.0
        features = (merged + functional.conv2d(waves(away, self._waves), *self._merge_ground)).relu_()
        del merged, away
        features = features + self.refine(features)
        distance = self._distance(features, ground)
        cells, placed = self.lift(features, distance, shown, position, rotation)
        del features, distance
        tokens, counts = self._tokens(deep, seen)
        tokens = tokens + functional.linear(position, *self._mount)[:, None]
        maps = (tokens, *self.lift.on_canvas(cells, placed))
        return maps if counts is None else (*maps, counts)

    def _distance(self, features: Tensor, ground: tuple[Tensor, ...]) -> Tensor:
        """The chances [B, bins, h, w] of how far away each pixel's object is."""
        below, spread = functional.conv2d(features, *self._foot).chunk(2, dim=1)
        foot = self.ground.rows + FOOT_PIXELS * below[:, 0]
        middle = depth_bins(self.ground.ahead_on(ground, foot), self._bins)
        sure = (-spread.clamp(*SPREAD)).exp()
        look = functional.conv2d(features, *self._look)
        look = planar(look) if self._engine else look
        return (look - (self._steps - middle[:, None]).abs() * sure).softmax(dim=1)

    def _tokens(self, deep: Tensor, seen: Tensor | None) -> tuple[Tensor, Tensor | None]:
        counts = None
        if seen is None:
            grid = pooled(deep, self._grid)
        else:
            shown = pooled(seen, deep.shape[2:])
            counts = pooled(shown, self._grid)
            grid = pooled(deep * shown, self._grid) / counts.clamp_min(LEAST_SHARE)
            counts = counts.flatten(1)
        return grid.flatten(2).transpose(1, 2) @ self._token + self._where, counts


class LeanLift(nn.Module):
    """`ViewLift` and the maps after it; its points are ordered by height, then as the fine grid is."""

    def __init__(self, net: SentryFuseNet, lifted: int, constants: Constants, *, engine: bool) -> None:
        super().__init__()
        encoder, shape, geometry = net.camera, net.shape, net.geometry
        self._engine, self._bins = engine, shape.depth_bins
        self._geometry, self._side = geometry, geometry.heatmap_cells
        self._split = geometry.heatmap_cells // geometry.canvas_cells
        self._points = constants.points
        # Order of the samples: channel; as they are, or weighed by being as far away as the cell; height.
        self._mix = constants.mix[:, :lifted].flatten(1)
        fine = shape.fine_channels
        place = torch.unflatten(encoder.place.weight.detach(), 1, (self._split, self._split, fine))
        self._place = place.permute(0, 3, 1, 2)  # [D, F, split, split]
        self._view = encoder.view.weight.detach()
        self._evidence = by_columns(encoder.evidence)
        self._heights = len(shape.lift_heights_m)
        self._waves = constants.octaves
        self._size = (2.0 / geometry.image_width, 2.0 / geometry.image_height)

    def forward(
        self, features: Tensor, distance: Tensor, shown: Tensor | None, position: Tensor, rotation: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The fine grid [B, F, 32, 32] and where cells are seen, encoded and mapped: [B, D, 256]."""
        geometry, side = self._geometry, self._side
        ahead, left, up = (rotation.transpose(1, 2) @ self._points - position[:, :, None]).unbind(1)
        depth = ahead.clamp_min(NEAR_M)
        x = (geometry.image_cx - geometry.image_fx * left / depth) * self._size[0] - 1.0
        y = (geometry.image_cy - geometry.image_fy * up / depth) * self._size[1] - 1.0
        where = torch.stack((x, y), dim=-1)  # [B, P, 2]
        inside = ((where.abs() <= 1.0).all(dim=-1) & (ahead >= NEAR_M)).to(features.dtype)[:, None]
        features = planar(features) if self._engine else features
        if shown is not None:
            features, distance = features * shown, distance * shown
            inside = inside * _sampled(shown, where)
        there = (SURE * self._there(distance, where, ahead))[:, None]
        visible = inside if shown is None else (inside > 0.0).to(features.dtype)
        seen = torch.unflatten(_sampled(features, where) * visible, 2, (self._heights, -1))
        both = torch.cat((seen, seen * torch.unflatten(there, 2, (self._heights, -1))), dim=2)
        cells = torch.unflatten(self._mix @ both.flatten(1, 2), 2, (side, side))
        grid = torch.unflatten(where.transpose(1, 2), 2, (self._heights, side, side)).mean(dim=2)
        view = waves(functional.avg_pool2d(grid, self._split).clamp(-1.0, 1.0), self._waves)
        part = torch.unflatten(inside, 2, (self._heights, side, side)).amax(dim=2)
        part = functional.max_pool2d(part, self._split)
        return cells, self._view @ (view * part).flatten(2)

    def on_canvas(self, cells: Tensor, view: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Canvas, fine grid and evidence, see `LeanCamera.forward`."""
        placed = functional.conv2d(cells, self._place, stride=self._split).flatten(2) + view
        weight, bias = self._evidence
        evidence = torch.unflatten(weight @ placed + bias, 2, (self._side // self._split, -1))
        return placed, cells, functional.pixel_shuffle(evidence, self._split)

    def _there(self, distance: Tensor, where: Tensor, ahead: Tensor) -> Tensor:
        """How much each pixel's object is as far away as the point it is sampled at: [B, P].

        In eager one sample of a volume, whose depth are the bins; no engine knows that operation.
        """
        bins = depth_bins(ahead, self._bins)
        if not self._engine:
            level = (2.0 * bins + 1.0) / self._bins - 1.0
            points = torch.cat((where, level[..., None]), dim=-1)[:, :, None, None]
            return _sampled(distance[:, None], points)[:, 0, :, 0, 0]
        steps = torch.arange(self._bins, dtype=bins.dtype, device=bins.device)[:, None]
        weights = (1.0 - (bins[:, None] - steps).abs()).clamp_min(0.0)
        return (_sampled(distance, where) * weights).sum(dim=1)


def _sampled(maps: Tensor, where: Tensor) -> Tensor:
    """Bilinear samples [B, C, P] of maps [B, C, h, w] at `where` [B, P, 2]; of volumes at [B, P, 1, 1, 3]."""
    grid = where[:, :, None] if where.ndim == 3 else where
    found = functional.grid_sample(maps, grid, mode="bilinear", padding_mode="border", align_corners=False)
    return found[..., 0] if where.ndim == 3 else found
