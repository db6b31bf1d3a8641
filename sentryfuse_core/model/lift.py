"""ViewLift: what the camera sees at every canvas cell, sampled at the cell's projection."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from sentryfuse_core.model.canvas import fourier
from sentryfuse_core.model.ground import IMAGE_FREQUENCIES, log_share
from sentryfuse_core.model.shape import ModelShape
from sentryfuse_core.preprocess.geometry import Geometry
from sentryfuse_core.preprocess.tilt import from_level, upright

__all__ = ["NEAR_M", "SURE", "VIEW_FEATURES", "ViewLift", "depth_bins", "depth_weights"]

NEAR_M = 0.5  # points closer than this to the image plane are not seen
_NEAREST_M, _FARTHEST_M = 2.0, 40.0  # of the distances a pixel's object may be at
SURE = 4.0  # a pixel that is sure spreads over about this many bins
VIEW_FEATURES = 2 * 2 * IMAGE_FREQUENCIES  # sine and cosine of u and v


def depth_weights(ahead_m: Tensor, bins: int) -> Tensor:
    """Weights [..., bins] of the two bins next to distances [...] in m, evenly spaced in log distance."""
    centres = torch.arange(bins, dtype=ahead_m.dtype, device=ahead_m.device)
    return (1.0 - (depth_bins(ahead_m, bins)[..., None] - centres).abs()).clamp_min(0.0)


def depth_bins(ahead_m: Tensor, bins: int) -> Tensor:
    """Where distances [...] in m lie among `bins` bins, 0 .. bins - 1 and in between."""
    return log_share(ahead_m, _NEAREST_M, _FARTHEST_M) * (bins - 1)


class ViewLift(nn.Module):
    """Samples the map at four points of each cell, at a few heights (Simple-BEV, arXiv 2206.07959)."""

    offsets: Tensor  # [S, 3] from the cell's centre on the ground, metres
    image_size: Tensor  # [2] width and height, pixels

    def __init__(self, shape: ModelShape, geometry: Geometry) -> None:
        super().__init__()
        self._geometry = geometry
        quarter = (geometry.x_max_m - geometry.x_min_m) / geometry.canvas_cells / 4
        offsets = [
            (dx, dy, height)
            for dx in (-quarter, quarter)
            for dy in (-quarter, quarter)
            for height in shape.lift_heights_m
        ]
        self.samples = len(offsets)
        self.register_buffer("offsets", torch.tensor(offsets), persistent=False)
        size = torch.tensor([float(geometry.image_width), float(geometry.image_height)])
        self.register_buffer("image_size", size, persistent=False)

    def project(self, position: Tensor, centres: Tensor, tilt: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Where the image shows the cells' points, how far ahead they are, and which the camera sees.

        `position` [B, 3] on the vehicle and `centres` [cells, 2] on level ground in metres; `tilt` [B, 2]
        roll and pitch of the vehicle in rad.

        Returns:
            Pixels [B, cells, S, 2] (u, v), metres [B, cells, S] along the optical axis, bool [B, cells, S].
        """
        geometry = self._geometry
        points = functional.pad(centres, (0, 1))[:, None] + self.offsets  # [cells, S, 3]
        points = from_level(upright(tilt)[:, None, None], points[None])
        ahead, left, up = (points - position[:, None, None]).unbind(-1)
        depth = ahead.clamp_min(NEAR_M)
        u = geometry.image_cx - geometry.image_fx * left / depth
        v = geometry.image_cy - geometry.image_fy * up / depth
        inside = (u >= 0) & (u <= geometry.image_width) & (v >= 0) & (v <= geometry.image_height)
        return torch.stack((u, v), dim=-1), ahead, inside & (ahead >= NEAR_M)

    def forward(
        self,
        features: Tensor,
        distance: Tensor,
        position: Tensor,
        centres: Tensor,
        tilt: Tensor,
        shown: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """What the cells at `centres` [cells, 2] look like and where the image shows them.

        Args:
            features: [B, C, h, w] map of the whole image.
            distance: [B, bins, h, w] chances of how far away each pixel's object is, as `depth_weights`.
            position: [B, 3] of the camera, metres.
            tilt: [B, 2] roll and pitch of the vehicle in rad.
            shown: [B, 1, h, w] share 0..1 of each pixel that the camera sees; None: all of it.

        Returns:
            Sampled features [B, cells, S, C]; how much each pixel's object is as far away as the point it
            was sampled at [B, cells, S, 1]; encoded image positions of the cells [B, cells, VIEW_FEATURES].
            All are zero where the camera sees nothing.
        """
        pixels, ahead, seen = self.project(position, centres, tilt)
        where = pixels / self.image_size * 2.0 - 1.0
        maps = torch.cat((features, distance), dim=1)
        both = functional.grid_sample(
            maps if shown is None else torch.cat((maps * shown, shown), dim=1),
            where,
            mode="bilinear",
            padding_mode="border",
            align_corners=False,
        )
        visible = (both * seen[:, None]).permute(0, 2, 3, 1)
        channels, bins = features.shape[1], distance.shape[1]
        sampled, chance = visible[..., :channels], visible[..., channels : channels + bins]
        there = SURE * (chance * depth_weights(ahead, bins)).sum(dim=-1, keepdim=True)
        view = fourier(where.mean(dim=2).clamp(-1.0, 1.0), IMAGE_FREQUENCIES)
        part = seen.any(dim=2, keepdim=True) if shown is None else visible[..., -1].amax(dim=2, keepdim=True)
        return sampled, there, view * part
