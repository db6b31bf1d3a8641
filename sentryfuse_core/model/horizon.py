"""Horizon: the vehicle's roll and pitch by the line in the image where the ground ends."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sentryfuse_core.model.ground import rays
from sentryfuse_core.preprocess.geometry import Geometry

__all__ = ["Horizon"]

_LEAST_CHANCE = 1e-6  # of a column whose ground may end in it


class Horizon(nn.Module):
    """Roll and pitch by the horizon, weighed against what an IMU says.

    The image says it more exactly than an attitude filter does on bumps, and without an IMU nothing else
    does. Each column says in which row its ground ends; the line through those is their weighted least
    squares, with the tilt by the IMU, or a level vehicle, as two more observations.
    """

    up: Tensor  # [h, 1] tangents of the elevations of the map's rows
    left: Tensor  # [w] tangents of the bearings of its columns

    def __init__(self, geometry: Geometry, size: tuple[int, int]) -> None:
        super().__init__()
        rows, left = rays(geometry, size)
        self._step = geometry.image_height / size[0] / geometry.image_fy
        self.register_buffer("up", (geometry.image_cy - rows) / geometry.image_fy, persistent=False)
        self.register_buffer("left", left, persistent=False)
        self.column = nn.Parameter(torch.tensor(2.0))  # logarithm of what a column that is sure counts
        self.level = nn.Parameter(torch.zeros(2))  # and of what a level vehicle counts: height and slope
        self.imu = nn.Parameter(torch.zeros(2))  # and of what the IMU does

    def forward(self, chances: Tensor, tilt: Tensor | None, shown: Tensor | None = None) -> Tensor:
        """Roll and pitch [B, 2] in rad, positive as those of the IMU.

        Args:
            chances: [B, h, w] logarithms of the chance, over each column's rows, that the ground ends there;
                the map may be coarser than the one of the widest camera, by a whole number.
            tilt: [B, 2] by the IMU in rad, None without one.
            shown: [B, h, w] share 0..1 of each pixel that the camera sees; None: all of it. An end of the
                ground that it does not see counts for nothing.
        """
        return self.by_chances(chances.exp(), tilt, shown)

    def by_chances(self, chance: Tensor, tilt: Tensor | None, shown: Tensor | None = None) -> Tensor:
        """The same by the chances [B, h, w] themselves."""
        if shown is not None:
            chance = chance * shown
        up, left = self._grid(chance.shape[1])
        seen = (chance * up).sum(dim=1)  # [B, w]
        if shown is not None:
            seen = seen / chance.sum(dim=1).clamp_min(_LEAST_CHANCE)
        weight = self.column.exp() * chance.square().sum(dim=1).square()  # a column that is torn says little
        prior = chance.new_zeros(len(chance), 2) if tilt is None else tilt
        height, slope = _line(prior)
        of_height, of_slope = (self.level if tilt is None else self.imu).exp()
        ones = weight.sum(dim=1) + of_height
        lefts = (weight * left).sum(dim=1)
        squares = (weight * left.square()).sum(dim=1) + of_slope
        ups = (weight * seen).sum(dim=1) + of_height * height
        both = (weight * left * seen).sum(dim=1) + of_slope * slope
        determinant = ones * squares - lefts.square()
        height = (ups * squares - both * lefts) / determinant
        roll = ((ups * lefts - ones * both) / determinant).atan()
        return torch.stack((roll, (height * roll.cos()).atan()), dim=-1)

    def target(self, tilt: Tensor, rows: int | None = None) -> Tensor:
        """Weights [B, h, w] of the two rows next to the line of `tilt` [B, 2] in rad; 1 for every column.

        A line above or below the image is in its first or last row. `rows` are those of a coarser map.
        """
        up, left = self._grid(rows or len(self.up))
        height, slope = _line(tilt)
        line = (height[:, None, None] + slope[:, None, None] * left).clamp(up[-1], up[0])
        return (1.0 - (up - line).abs() / (self._step * (len(self.up) // len(up)))).clamp_min(0.0)

    def _grid(self, rows: int) -> tuple[Tensor, Tensor]:
        """`up` [h, 1] and `left` [w] of a map of `rows`: middles of the pixels that become one."""
        merged = len(self.up) // rows
        if merged == 1:
            return self.up, self.left
        return self.up.view(rows, merged).mean(dim=1, keepdim=True), self.left.view(-1, merged).mean(dim=1)


def _line(tilt: Tensor) -> tuple[Tensor, Tensor]:
    """Height and slope [B] of the horizon, in tangents: up = height + slope * left; `tilt` [B, 2] in rad."""
    roll, pitch = tilt.unbind(-1)
    return pitch.tan() / roll.cos(), -roll.tan()
