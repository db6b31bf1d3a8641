"""Ground: how far ahead level ground is that the camera's image shows at a row, and where it ends."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from sentryfuse_core.model.canvas import fourier
from sentryfuse_core.preprocess.geometry import Geometry
from sentryfuse_core.preprocess.tilt import to_level, upright

__all__ = ["FARTHEST_M", "GROUND_FEATURES", "Ground", "Horizon"]

_FREQUENCIES = 6  # two octaves more than the canvas: a far metre is a fraction of a pixel
GROUND_FEATURES = 2 * _FREQUENCIES
_NEAREST_M, FARTHEST_M = 1.0, 64.0  # distances of the ground that pixels are told apart by


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
        rows, columns = size
        v = (torch.arange(rows) + 0.5) * (geometry.image_height / rows)
        u = (torch.arange(columns) + 0.5) * (geometry.image_width / columns)
        self.register_buffer("rows", v[:, None], persistent=False)
        self.register_buffer("left", (geometry.image_cx - u) / geometry.image_fx, persistent=False)

    def ahead(self, position: Tensor, tilt: Tensor | None, rows: Tensor | None = None) -> Tensor:
        """Metres [B, h, w] along the optical axis to the ground at `rows` [B, h, w]; None: at every pixel.

        `position` [B, 3] of the camera on the vehicle in m, `tilt` [B, 2] roll and pitch in rad, None: level.
        What shows the sky is `FARTHEST_M` away.
        """
        height, ahead, left, up = self._plane(position, tilt)
        rise = (self._centre - (self.rows if rows is None else rows)) / self._focal
        fall = -(ahead + left * self.left + up * rise)
        return height / torch.maximum(fall, height / FARTHEST_M)

    def rows_at(self, ahead_m: Tensor, position: Tensor, tilt: Tensor | None) -> Tensor:
        """The rows [B, h, w] where a column's ground is `ahead_m` [B, h, w] away: the inverse of `ahead`."""
        height, ahead, left, up = self._plane(position, tilt)
        rise = -(height / ahead_m + ahead + left * self.left) / up
        return self._centre - self._focal * rise

    def encode(self, ahead_m: Tensor) -> Tensor:
        """Metres [B, h, w] as encoded log distance [B, GROUND_FEATURES, h, w]."""
        share = (ahead_m.clamp(_NEAREST_M, FARTHEST_M) / _NEAREST_M).log() / math.log(FARTHEST_M / _NEAREST_M)
        return fourier(share[..., None] * 2.0 - 1.0, _FREQUENCIES).permute(0, 3, 1, 2)

    def _plane(self, position: Tensor, tilt: Tensor | None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The camera's height in m and how much a metre ahead, left and up rises, [B, 1, 1] each."""
        if tilt is None:
            tilt = position.new_zeros(len(position), 2)
        rotation = upright(tilt)
        height = to_level(rotation, position)[:, 2]
        values = (height, *rotation[:, 2].unbind(-1))
        height, ahead, left, up = (value[:, None, None] for value in values)
        return height, ahead, left, up


class Horizon(nn.Module):
    """Roll and pitch by the line where the ground ends, weighed against what an IMU says.

    The image says it more exactly than an attitude filter does on bumps, and without an IMU nothing else
    does. Each column says in which row its ground ends; the line through those is their weighted least
    squares, with the tilt by the IMU, or a level vehicle, as two more observations.
    """

    up: Tensor  # [h, 1] tangents of the elevations of the map's rows
    left: Tensor  # [w] tangents of the bearings of its columns

    def __init__(self, geometry: Geometry, size: tuple[int, int]) -> None:
        super().__init__()
        ground = Ground(geometry, size)
        self._step = geometry.image_height / size[0] / geometry.image_fy
        self.register_buffer("up", (geometry.image_cy - ground.rows) / geometry.image_fy, persistent=False)
        self.register_buffer("left", ground.left, persistent=False)
        self.column = nn.Parameter(torch.tensor(2.0))  # logarithm of what a column that is sure counts
        self.level = nn.Parameter(torch.zeros(2))  # and of what a level vehicle counts: height and slope
        self.imu = nn.Parameter(torch.zeros(2))  # and of what the IMU does

    def forward(self, chances: Tensor, tilt: Tensor | None) -> Tensor:
        """Roll and pitch [B, 2] in rad, positive as in `attitude` of the IMU.

        Args:
            chances: [B, h, w] logarithms of the chance, over each column's rows, that the ground ends there.
            tilt: [B, 2] by the IMU in rad, None without one.
        """
        chance = chances.exp()
        seen = (chance * self.up).sum(dim=1)  # [B, w]
        weight = self.column.exp() * chance.square().sum(dim=1).square()  # a column that is torn says little
        prior = chances.new_zeros(len(chances), 2) if tilt is None else tilt
        height, slope = _line(prior)
        of_height, of_slope = (self.level if tilt is None else self.imu).exp()
        ones = weight.sum(dim=1) + of_height
        lefts = (weight * self.left).sum(dim=1)
        squares = (weight * self.left.square()).sum(dim=1) + of_slope
        ups = (weight * seen).sum(dim=1) + of_height * height
        both = (weight * self.left * seen).sum(dim=1) + of_slope * slope
        determinant = ones * squares - lefts.square()
        height = (ups * squares - both * lefts) / determinant
        roll = ((ups * lefts - ones * both) / determinant).atan()
        return torch.stack((roll, (height * roll.cos()).atan()), dim=-1)

    def target(self, tilt: Tensor) -> Tensor:
        """Weights [B, h, w] of the two rows next to the line of `tilt` [B, 2] rad; 1 for every column."""
        height, slope = _line(tilt)
        line = height[:, None, None] + slope[:, None, None] * self.left
        line = torch.minimum(torch.maximum(line, self.up[-1]), self.up[0])
        return (1.0 - (self.up - line).abs() / self._step).clamp_min(0.0)


def _line(tilt: Tensor) -> tuple[Tensor, Tensor]:
    """Height and slope [B] of the horizon, in tangents: up = height + slope * left; `tilt` [B, 2] in rad."""
    roll, pitch = tilt.unbind(-1)
    return pitch.tan() / roll.cos(), -roll.tan()
