"""Ground: how far ahead level ground is in the camera's image, by row, camera height and tilt."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from sentryfuse_core.model.canvas import fourier
from sentryfuse_core.preprocess.geometry import Geometry
from sentryfuse_core.preprocess.tilt import to_level, upright

__all__ = [
    "FARTHEST_M",
    "GROUND_FEATURES",
    "IMAGE_FREQUENCIES",
    "NEAREST_M",
    "Ground",
    "log_share",
    "plane",
    "rays",
]

IMAGE_FREQUENCIES = 6  # two octaves more than the canvas: a far metre is a fraction of a pixel
GROUND_FEATURES = 2 * IMAGE_FREQUENCIES
NEAREST_M, FARTHEST_M = 1.0, 64.0  # distances of the ground that pixels are told apart by
_LEAST_HEIGHT_M = 0.1  # a camera that is said to be lower is taken to be this high


def rays(geometry: Geometry, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Rows [h, 1] of the middles of a map's pixels, in pixels of the image, and tangents [w] to the left.

    The map of `size` (h, w) shows the whole image.
    """
    rows, columns = size
    v = (torch.arange(rows) + 0.5) * (geometry.image_height / rows)
    u = (torch.arange(columns) + 0.5) * (geometry.image_width / columns)
    return v[:, None], (geometry.image_cx - u) / geometry.image_fx


def log_share(metres: Tensor, nearest_m: float, farthest_m: float) -> Tensor:
    """Where distances [...] lie between two others as their logarithms go, 0..1; beyond is cut off."""
    return (metres.clamp(nearest_m, farthest_m) / nearest_m).log() / math.log(farthest_m / nearest_m)


class Ground(nn.Module):
    """The ground under a map of the whole image, of `size` (h, w); rows are in pixels of the image.

    A thing that touches the ground at a pixel is as far away as the ground there, and no convolution could
    know it: it depends on the row, on the camera's height and on the vehicle's tilt.
    """

    rows: Tensor  # [h, 1] middles of the map's pixels
    left: Tensor  # [w] tangents of their bearings

    def __init__(self, geometry: Geometry, size: tuple[int, int]) -> None:
        super().__init__()
        self._focal, self._centre = geometry.image_fy, geometry.image_cy
        rows, left = rays(geometry, size)
        self.register_buffer("rows", rows, persistent=False)
        self.register_buffer("left", left, persistent=False)

    def ahead(self, position: Tensor, tilt: Tensor, rows: Tensor | None = None) -> Tensor:
        """Metres [B, h, w] along the optical axis to the ground at `rows` [B, h, w]; None: at every pixel.

        `position` [B, 3] of the camera on the vehicle in m, `tilt` [B, 2] roll and pitch in rad. What shows
        the sky is `FARTHEST_M` away.
        """
        return self.ahead_on(plane(upright(tilt), position), rows)

    def ahead_on(self, ground: tuple[Tensor, ...], rows: Tensor | None = None) -> Tensor:
        """`ahead` on the `plane` that the camera's pose gives."""
        height, ahead, left, up = ground
        rise = (self._centre - (self.rows if rows is None else rows)) / self._focal
        fall = -(ahead + left * self.left + up * rise)
        return height / torch.maximum(fall, height / FARTHEST_M)

    def rows_at(self, ahead_m: Tensor, position: Tensor, tilt: Tensor) -> Tensor:
        """The rows [B, h, w] where a column's ground is `ahead_m` [B, h, w] away: the inverse of `ahead`."""
        height, ahead, left, up = plane(upright(tilt), position)
        rise = -(height / ahead_m + ahead + left * self.left) / up
        return self._centre - self._focal * rise

    def encode(self, ahead_m: Tensor) -> Tensor:
        """Metres [B, h, w] as encoded log distance [B, GROUND_FEATURES, h, w]."""
        share = log_share(ahead_m, NEAREST_M, FARTHEST_M)
        return fourier(share[..., None] * 2.0 - 1.0, IMAGE_FREQUENCIES).permute(0, 3, 1, 2)


def plane(rotation: Tensor, position: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The camera's height in m and how much a metre ahead, left and up rises, [B, 1, 1] each.

    `rotation` [B, 3, 3] is `upright` of the vehicle's tilt, `position` [B, 3] the camera's on it in m.
    """
    height = to_level(rotation, position)[:, 2].clamp_min(_LEAST_HEIGHT_M)
    values = (height, *rotation[:, 2].unbind(-1))
    height, ahead, left, up = (value[:, None, None] for value in values)
    return height, ahead, left, up
