"""The encoders of lidar, IMU and audio: tokens for the trunk, and canvas features where they have a place."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from sentryfuse_core.model.canvas import Canvas, cell_centres, fourier
from sentryfuse_core.model.features import SensorFeatures
from sentryfuse_core.model.shape import ModelShape
from sentryfuse_core.model.slim import SlimConv, SlimLinear, pointwise
from sentryfuse_core.preprocess.geometry import Geometry

__all__ = ["DISTANCE_FEATURES", "AudioEncoder", "ImuEncoder", "LidarEncoder"]

_GRAVITY_M_S2 = 9.81
_AUDIBLE_M = 10.0  # in the middle of the distances that matter, as their logarithms go
_DISTANCE_FREQUENCIES = 4
DISTANCE_FEATURES = 1 + 2 * _DISTANCE_FREQUENCIES  # log distance, and sines and cosines of it


class LidarEncoder(nn.Module):
    """Convolutions from pillars to the canvas grid; 2x2 blocks of it as tokens."""

    cell_centres: Tensor  # [pillars, 2] metres

    def __init__(self, shape: ModelShape, geometry: Geometry) -> None:
        super().__init__()
        first, second = shape.lidar_channels
        self._stride = shape.pool
        self._shape = shape
        self._split = geometry.heatmap_cells // geometry.canvas_cells
        self.stem = nn.ModuleList(
            [
                SlimConv(geometry.pillar_channels, first),
                SlimConv(first, second, stride=2),
                SlimConv(second, second),
            ]
        )
        self.deep = nn.ModuleList([SlimConv(second, shape.dim, stride=2), SlimConv(shape.dim, shape.dim)])
        self.fine = nn.Linear(second, shape.fine_channels)
        self.evidence = nn.Linear(shape.dim, self._split**2)
        self.token = SlimLinear(shape.dim, shape.dim)
        self.place = SlimLinear(shape.dim, shape.dim)
        self.kind = nn.Parameter(torch.randn(shape.dim) * 0.02)
        self.register_buffer("cell_centres", cell_centres(geometry, geometry.pillar_cells), persistent=False)

    def forward(self, pillars: Tensor, canvas: Canvas, *, tilt: Tensor | None, level: int) -> SensorFeatures:
        """`pillars` [B, 6, 64, 64]; `tilt` [B, 2] in rad or None."""
        shape = self._shape
        share = shape.widths[level]
        first, second = (shape.channels(count, share) for count in shape.lidar_channels)
        grid = pillars if tilt is None else self._levelled(pillars, tilt)
        for layer, channels in zip(self.stem, (first, second, second), strict=True):
            grid = layer(grid, channels)
        deep = grid
        for layer in self.deep:
            deep = layer(deep, shape.channels(shape.dim, share))
        cells = canvas.from_grid(deep)
        blocks = torch.unflatten(cells, 1, (-1, 4)).mean(dim=2)
        where = torch.unflatten(canvas(), 0, (-1, 4)).mean(dim=1)
        placed = self.place(cells)
        return SensorFeatures(
            self.token(blocks) + where + self.kind,
            placed,
            self._stride,
            pointwise(self.fine, grid, shape.fine_channels),
            canvas.to_fine_grid(self.evidence(placed), self._split),
        )

    def _levelled(self, pillars: Tensor, tilt: Tensor) -> Tensor:
        """The pillars with heights above level ground: to first order the ground's plane is taken off."""
        roll, pitch = tilt[:, :, None].unbind(1)
        x, y = self.cell_centres.unbind(-1)
        rise = (y * roll - x * pitch).view(-1, 1, *pillars.shape[-2:])
        heights = pillars[:, 1:4] + rise * pillars[:, 5:]
        return torch.cat((pillars[:, :1], heights, pillars[:, 4:]), dim=1)


class ImuEncoder(nn.Module):
    """A window of motion as a few summary tokens; it has no place in the canvas."""

    scale: Tensor  # [6] rad/s stay, m/s^2 become multiples of gravity

    def __init__(self, shape: ModelShape, geometry: Geometry) -> None:
        super().__init__()
        scale = torch.tensor([1.0] * 3 + [1.0 / _GRAVITY_M_S2] * 3)
        self.register_buffer("scale", scale, persistent=False)
        self._shape = shape
        self.hidden = nn.Linear(geometry.imu_steps * 6, shape.dim)
        self.token = nn.Linear(shape.dim, shape.dim * shape.imu_tokens)

    def forward(self, motion: Tensor) -> SensorFeatures:
        """`motion` [B, 32, 6]: rad/s and m/s^2."""
        hidden = functional.gelu(self.hidden((motion * self.scale).flatten(1)))
        return SensorFeatures(
            torch.unflatten(self.token(hidden), 1, (self._shape.imu_tokens, self._shape.dim)), None, 1
        )


class AudioEncoder(nn.Module):
    """One token for each bearing, also spread over the cells that lie there.

    On the fine grid what is heard from a cell's bearing meets the cell's log distance before anything is
    decided: loudness falls by distance, so that together they say how loud the source would be there.
    """

    bearings: Tensor
    spread: Tensor  # [cells, bearings], rows add up to one
    fine_spread: Tensor  # [32 * 32, bearings], the same for the fine grid
    distance: Tensor  # [32 * 32, DISTANCE_FEATURES]

    def __init__(self, shape: ModelShape, geometry: Geometry, canvas: Canvas) -> None:
        super().__init__()
        self._shape = shape
        self._stride = shape.pool
        self._split = geometry.heatmap_cells // geometry.canvas_cells
        self.mix = nn.Conv1d(geometry.audio_features, shape.dim, 3, padding=1)
        self.evidence = nn.Linear(shape.dim, self._split**2)
        self.token = SlimLinear(shape.dim, shape.dim)
        self.place = SlimLinear(shape.dim, shape.dim)
        self.hear = SlimLinear(shape.dim, shape.dim)
        self.away = nn.Linear(DISTANCE_FEATURES, shape.dim, bias=False)
        self.fine = SlimLinear(shape.dim, shape.fine_channels)
        self.kind = nn.Parameter(torch.randn(shape.dim) * 0.02)
        self._side = geometry.heatmap_cells
        bearings = torch.tensor(geometry.bearings_rad)
        centres = cell_centres(geometry, geometry.heatmap_cells)
        near = (torch.linalg.vector_norm(centres, dim=1, keepdim=True) / _AUDIBLE_M).log()
        self.register_buffer("bearings", bearings, persistent=False)
        self.register_buffer("spread", _by_bearing(canvas.centres, bearings), persistent=False)
        self.register_buffer("fine_spread", _by_bearing(centres, bearings), persistent=False)
        distance = torch.cat((near, fourier(near / math.pi, _DISTANCE_FREQUENCIES)), dim=1)
        self.register_buffer("distance", distance, persistent=False)

    def forward(self, bands: Tensor, canvas: Canvas, *, level: int) -> SensorFeatures:
        """`bands` [B, 16 bearings, 16 features]."""
        channels = self._shape.channels(self._shape.dim, self._shape.audio_widths[level])
        weight, bias = self.mix.weight[:channels], self.mix.bias[:channels]  # type: ignore[index]
        mixed = functional.gelu(functional.conv1d(bands.transpose(1, 2), weight, bias, padding=1)).transpose(
            1, 2
        )
        tokens = self.token(mixed) + canvas.at_bearing(self.bearings) + self.kind
        placed = self.spread @ self.place(mixed)
        evidence = canvas.to_fine_grid(self.evidence(functional.gelu(placed + canvas())), self._split)
        heard = self.fine_spread @ self.hear(mixed, channels)
        heard = heard + functional.linear(self.distance, self.away.weight[:channels])
        fine = torch.unflatten(self.fine(functional.gelu(heard)).transpose(1, 2), 2, (self._side, self._side))
        return SensorFeatures(tokens, placed, self._stride, fine, evidence)


def _by_bearing(centres: Tensor, bearings: Tensor) -> Tensor:
    """Shares [cells, bearings] of the two bearings next to each of `centres` [cells, 2]; rows add up to 1."""
    step = math.pi / (len(bearings) - 1)
    cell = torch.atan2(centres[:, 1], centres[:, 0])
    shares = (1.0 - (cell[:, None] - bearings).abs() / step).clamp_min(0.0)
    return shares / shares.sum(dim=1, keepdim=True)
