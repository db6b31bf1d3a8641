"""Lidar, IMU and audio of the deploy form."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from sentryfuse_core.model.network import SentryFuseNet
from sentryfuse_core.runtime.lean.layers import Constants, LeanConv, by_columns, planar, pointwise

__all__ = ["LeanAudio", "LeanImu", "LeanLidar"]


class LeanLidar(nn.Module):
    """`LidarEncoder` at one level."""

    def __init__(self, net: SentryFuseNet, level: int, constants: Constants, *, engine: bool) -> None:
        super().__init__()
        self._engine = engine
        encoder, shape, geometry = net.lidar, net.shape, net.geometry
        share = shape.widths[level]
        first, second = (shape.channels(count, share) for count in shape.lidar_channels)
        deep = shape.channels(shape.dim, share)
        widths = (geometry.pillar_channels, first, second, second, deep, deep)
        convolutions = [
            LeanConv(layer, channels, inputs, engine=engine)
            for layer, inputs, channels in zip(
                (*encoder.stem, *encoder.deep), widths, widths[1:], strict=False
            )
        ]
        self.stem, self.deep = nn.Sequential(*convolutions[:3]), nn.Sequential(*convolutions[3:])
        self._fine = pointwise(encoder.fine, second)
        self._split = geometry.heatmap_cells // geometry.canvas_cells
        self._evidence = by_columns(encoder.evidence)
        self._token = encoder.token.weight.detach()[:, :deep].t()
        weight, bias = by_columns(encoder.place)
        self._place = (weight[:, :deep], bias)
        self._where = constants.of_lidar
        side = geometry.pillar_cells
        x, y = torch.unflatten(encoder.cell_centres, 0, (side, side)).unbind(-1)
        self._ahead, self._left = x[:, :1], y[:1]  # m, of the rows and of the columns

    def forward(self, pillars: Tensor, tilt: Tensor | None = None) -> tuple[Tensor, ...]:
        """`pillars` [B, 6, 64, 64], `tilt` [B, 2] in rad or None; returns what `LeanCamera.forward` does."""
        if tilt is not None:
            roll, pitch = tilt[:, :, None, None, None].unbind(1)
            rise = (self._left * roll - self._ahead * pitch) * pillars[:, 5:]
            pillars = torch.cat((pillars[:, :1], pillars[:, 1:4] + rise, pillars[:, 4:]), dim=1)
        grid = self.stem(pillars)
        deep = self.deep(grid)
        weight, bias = self._place
        placed = weight @ deep.flatten(2) + bias
        blocks = functional.avg_pool2d(deep, 2).flatten(2).transpose(1, 2)
        tokens = blocks @ self._token + self._where
        weight, bias = self._evidence
        evidence = torch.unflatten(weight @ placed + bias, 2, deep.shape[2:])
        fine = functional.conv2d(grid, *self._fine)
        fine = planar(fine) if self._engine else fine
        return tokens, placed, fine, functional.pixel_shuffle(evidence, self._split)


class LeanImu(nn.Module):
    """`ImuEncoder`."""

    def __init__(self, net: SentryFuseNet) -> None:
        super().__init__()
        self.encoder = net.imu

    def forward(self, motion: Tensor) -> tuple[Tensor, ...]:
        """`motion` [B, 32, 6]; returns tokens [B, T, D]."""
        return (self.encoder(motion).tokens,)


class LeanAudio(nn.Module):
    """`AudioEncoder` at one level."""

    def __init__(self, net: SentryFuseNet, level: int, constants: Constants) -> None:
        super().__init__()
        encoder, shape = net.audio, net.shape
        channels = shape.channels(shape.dim, shape.audio_widths[level])
        self._side = net.geometry.heatmap_cells
        self._split = net.geometry.heatmap_cells // net.geometry.canvas_cells
        bias = encoder.mix.bias
        self._mix = (
            encoder.mix.weight.detach()[:channels],
            None if bias is None else bias.detach()[:channels],
        )
        self._token = encoder.token.weight.detach()[:, :channels].t()
        self._where = constants.of_audio
        place, bias_of_place = by_columns(encoder.place)
        self._place = (place[:, :channels], bias_of_place)  # shares of a cell add up to one: so do biases
        self._spread = constants.by_bearing
        self._canvas = constants.canvas
        self._evidence = by_columns(encoder.evidence)
        self._hear = encoder.hear.weight.detach()[:channels, :channels]
        self._fine_spread = encoder.fine_spread.t()
        self._hear_bias = encoder.hear.bias.detach()[:channels, None]
        self._away, self._distance = encoder.away.weight.detach()[:channels], encoder.distance.t()
        fine, bias_of_fine = by_columns(encoder.fine)
        self._fine = (fine[:, :channels], bias_of_fine)

    def forward(self, bands: Tensor) -> tuple[Tensor, ...]:
        """`bands` [B, 16 bearings, 16 features]; returns what `LeanCamera.forward` does."""
        mixed = functional.gelu(functional.conv1d(bands.transpose(1, 2), *self._mix, padding=1))
        tokens = mixed.transpose(1, 2) @ self._token + self._where
        weight, bias = self._place
        placed = (weight @ mixed) @ self._spread + bias
        weight, bias = self._evidence
        heard = weight @ functional.gelu(placed + self._canvas) + bias
        side = self._side // self._split
        evidence = functional.pixel_shuffle(torch.unflatten(heard, 2, (side, side)), self._split)
        away = self._away @ self._distance + self._hear_bias  # of every set the same: engines reckon it once
        away = functional.gelu((self._hear @ mixed) @ self._fine_spread + away)
        weight, bias = self._fine
        fine = torch.unflatten(weight @ away + bias, 2, (self._side, self._side))
        return tokens, placed, fine, evidence
