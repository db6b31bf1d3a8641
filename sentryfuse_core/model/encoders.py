"""One encoder for each sensor: tokens for the trunk and, where it has a place, canvas features."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from sentryfuse_core.model.canvas import Canvas, block_order
from sentryfuse_core.model.lift import VIEW_FEATURES, ViewLift
from sentryfuse_core.model.shape import ModelShape
from sentryfuse_core.preprocess.geometry import Geometry

__all__ = ["AudioEncoder", "CameraEncoder", "ImuEncoder", "LidarEncoder", "SensorFeatures"]

_NORM_GROUPS = 8
_GRAVITY_M_S2 = 9.81


@dataclass(frozen=True, eq=False)
class SensorFeatures:
    """What one sensor contributes."""

    tokens: Tensor  # [B, T, D], joined to the trunk's sequence
    canvas: Tensor | None  # [B, cells, D], added to the canvas tokens; None: the sensor has no place in space
    stride: int  # tokens that share a key and a value


def _conv(inputs: int, outputs: int, *, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False),
        nn.GroupNorm(_NORM_GROUPS, outputs),
        nn.ReLU(),
    )


class CameraEncoder(nn.Module):
    """Two scales of convolutions; coarse patches as tokens; both scales merged and lifted into the canvas."""

    token_order: Tensor
    column_bearings: Tensor

    def __init__(self, shape: ModelShape, geometry: Geometry) -> None:
        super().__init__()
        first, second, fine, coarse = shape.camera_channels
        self._grid = shape.camera_tokens
        self._stride = shape.pool
        rows, columns = self._grid
        self.fine = nn.Sequential(
            _conv(3, first, stride=2), _conv(first, second, stride=2), _conv(second, fine, stride=1)
        )
        self.coarse = nn.Sequential(_conv(fine, coarse, stride=2), _conv(coarse, coarse, stride=1))
        self.merge_fine = nn.Conv2d(fine, shape.lift_channels, 1)
        self.merge_coarse = nn.Conv2d(coarse, shape.lift_channels, 1)
        self.token = nn.Linear(coarse, shape.dim)
        self.row = nn.Parameter(torch.randn(rows, shape.dim) * 0.02)
        self.kind = nn.Parameter(torch.randn(shape.dim) * 0.02)
        self.mount = nn.Linear(3, shape.dim)
        self.lift = ViewLift(shape, geometry)
        self.place = nn.Linear(
            shape.lift_channels * self.lift.samples, shape.dim, bias=False
        )  # unseen stays zero
        self.view = nn.Linear(VIEW_FEATURES, shape.dim, bias=False)
        pixel = (torch.arange(columns, dtype=torch.float32) + 0.5) * geometry.image_width / columns
        bearings = torch.atan((geometry.image_cx - pixel) / geometry.image_fx)
        self.register_buffer("token_order", block_order(rows, columns), persistent=False)
        self.register_buffer("column_bearings", bearings, persistent=False)

    def forward(self, image: Tensor, position: Tensor, canvas: Canvas) -> SensorFeatures:
        """`image` [B, 3, H, W] in 0..1 and camera `position` [B, 3] in metres."""
        fine = self.fine((image - 0.5) * 4.0)
        coarse = self.coarse(fine)
        grid = functional.adaptive_avg_pool2d(coarse, self._grid).permute(0, 2, 3, 1)
        where = self.row[:, None] + canvas.at_bearing(self.column_bearings) + self.kind
        tokens = self.token(grid) + where + self.mount(position)[:, None, None]
        context = functional.interpolate(self.merge_coarse(coarse), size=fine.shape[-2:], mode="nearest")
        features = functional.relu(self.merge_fine(fine) + context)
        seen, view = self.lift(features, position, canvas.centres)
        return SensorFeatures(
            tokens.flatten(1, 2)[:, self.token_order], self.place(seen) + self.view(view), self._stride
        )


class LidarEncoder(nn.Module):
    """Convolutions from pillars to the canvas grid; 2x2 blocks of it as tokens."""

    def __init__(self, shape: ModelShape, geometry: Geometry) -> None:
        super().__init__()
        first, second = shape.lidar_channels
        self._stride = shape.pool
        self.stem = nn.Sequential(
            _conv(geometry.pillar_channels, first, stride=1),
            _conv(first, second, stride=2),
            _conv(second, shape.dim, stride=2),
            _conv(shape.dim, shape.dim, stride=1),
        )
        self.token = nn.Linear(shape.dim, shape.dim)
        self.place = nn.Linear(shape.dim, shape.dim)
        self.kind = nn.Parameter(torch.randn(shape.dim) * 0.02)

    def forward(self, pillars: Tensor, canvas: Canvas) -> SensorFeatures:
        """`pillars` [B, 6, 64, 64]."""
        cells = canvas.from_grid(self.stem(pillars))
        blocks = torch.unflatten(cells, 1, (-1, 4)).mean(dim=2)
        where = torch.unflatten(canvas(), 0, (-1, 4)).mean(dim=1)
        return SensorFeatures(self.token(blocks) + where + self.kind, self.place(cells), self._stride)


class ImuEncoder(nn.Module):
    """A window of motion as a few summary tokens; it has no place in the canvas."""

    def __init__(self, shape: ModelShape, geometry: Geometry) -> None:
        super().__init__()
        self._shape = shape
        self.hidden = nn.Linear(geometry.imu_steps * 6, shape.dim)
        self.token = nn.Linear(shape.dim, shape.dim * shape.imu_tokens)

    def forward(self, motion: Tensor) -> SensorFeatures:
        """`motion` [B, 32, 6]: rad/s and m/s^2."""
        scale = motion.new_tensor([1.0, 1.0, 1.0, 1 / _GRAVITY_M_S2, 1 / _GRAVITY_M_S2, 1 / _GRAVITY_M_S2])
        hidden = functional.gelu(self.hidden((motion * scale).flatten(1)))
        return SensorFeatures(
            torch.unflatten(self.token(hidden), 1, (self._shape.imu_tokens, self._shape.dim)), None, 1
        )


class AudioEncoder(nn.Module):
    """One token for each bearing, also spread over the canvas cells that lie there."""

    bearings: Tensor
    spread: Tensor  # [cells, bearings], rows add up to one

    def __init__(self, shape: ModelShape, geometry: Geometry, canvas: Canvas) -> None:
        super().__init__()
        self._stride = shape.pool
        self.mix = nn.Conv1d(geometry.audio_features, shape.dim, 3, padding=1)
        self.token = nn.Linear(shape.dim, shape.dim)
        self.place = nn.Linear(shape.dim, shape.dim)
        self.kind = nn.Parameter(torch.randn(shape.dim) * 0.02)
        bearings = torch.tensor(geometry.bearings_rad)
        step = math.pi / (len(bearings) - 1)
        cell = torch.atan2(canvas.centres[:, 1], canvas.centres[:, 0])
        spread = (1.0 - (cell[:, None] - bearings).abs() / step).clamp_min(0.0)
        self.register_buffer("bearings", bearings, persistent=False)
        self.register_buffer("spread", spread / spread.sum(dim=1, keepdim=True), persistent=False)

    def forward(self, bands: Tensor, canvas: Canvas) -> SensorFeatures:
        """`bands` [B, 16 bearings, 16 features]."""
        mixed = functional.gelu(self.mix(bands.transpose(1, 2))).transpose(1, 2)
        tokens = self.token(mixed) + canvas.at_bearing(self.bearings) + self.kind
        return SensorFeatures(tokens, self.spread @ self.place(mixed), self._stride)
