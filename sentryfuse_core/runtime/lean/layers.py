"""Layers of the deploy form: channels first, weights cut once, nothing that only training reads."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from sentryfuse_core.model.canvas import cell_centres
from sentryfuse_core.model.ground import IMAGE_FREQUENCIES
from sentryfuse_core.model.network import SentryFuseNet
from sentryfuse_core.model.slim import CHANNEL_BLOCK, SlimConv

__all__ = ["Constants", "LeanConv", "by_columns", "double", "planar", "pointwise", "pooled", "waves"]

_EPSILON = 1e-5  # of torch's group_norm


class Constants:
    """What no width changes, held once for all parts of a form.

    Attributes:
        canvas: [D, cells] the canvas before any sensor has spoken, row by row.
        blocks: [K, cells] takes the means over blocks of cells that make keys, None where each cell makes
            one; engines are slow at means over two axes.
        spread: [fine_channels * 4, D] and [..., 1], the head's map to sub-cells, channel by channel.
        of_camera, of_lidar, of_audio: [T, D] where each of their tokens is from, and whose it is.
        by_bearing: [bearings, cells] how a bearing's sound is spread over the canvas, row by row.
        points: [3, heights * 32 * 32] m, where cells look into the image, by height, then as the fine grid.
        mix: [fine_channels, lift_channels, 2 * heights], samples at those points to the fine grid: as they
            are, by height, then where the pixel's object is as far away as the point.
        bins: [depth_bins, 1, 1] their numbers.
        octaves: [frequencies, 1, 1] scales of `waves` for positions in the image.
    """

    def __init__(self, net: SentryFuseNet) -> None:
        canvas, head, fine = net.canvas, net.head, net.shape.fine_channels
        camera, lidar, audio = net.camera, net.lidar, net.audio
        self.canvas = canvas().detach()[canvas.inverse].t()
        cells, block = self.canvas.shape[1], math.isqrt(net.shape.canvas_pool)
        each = torch.eye(cells).view(cells, 1, math.isqrt(cells), -1).to(self.canvas)
        self.blocks = functional.avg_pool2d(each, block).flatten(1).t() if block > 1 else None
        # Rows sub-cell by sub-cell become channel by channel, as pixel_shuffle takes them.
        weight = torch.unflatten(head.spread.weight.detach(), 0, (-1, fine)).transpose(0, 1).flatten(0, 1)
        bias = torch.unflatten(head.spread.bias.detach(), 0, (-1, fine)).t().flatten()[:, None]
        self.spread = (weight, bias)
        seen = camera.row[:, None] + canvas.at_bearing(camera.column_bearings) + camera.kind
        self.of_camera = (seen.flatten(0, 1) + camera.token.bias).detach()
        where = canvas.to_grid(canvas()[None]).permute(0, 3, 1, 2)
        blocks = functional.avg_pool2d(where, 2)[0].flatten(1).t()
        self.of_lidar = (blocks + lidar.kind + lidar.token.bias).detach()
        self.of_audio = (canvas.at_bearing(audio.bearings) + audio.kind + audio.token.bias).detach()
        self.by_bearing = audio.spread[canvas.inverse].t()
        # A cell's four points are its sub-cells.
        ground = cell_centres(net.geometry, net.geometry.heatmap_cells)
        points = [functional.pad(ground, (0, 1), value=height) for height in net.shape.lift_heights_m]
        self.points = torch.stack(points).flatten(0, 1).t().to(self.canvas)
        samples = (*camera.sample, *camera.sample_there)
        self.mix = torch.stack([layer.weight.detach() for layer in samples], dim=2)
        self.bins = torch.arange(net.shape.depth_bins, device=self.canvas.device)[:, None, None]
        octaves = 2.0 ** torch.arange(IMAGE_FREQUENCIES).to(self.canvas)
        self.octaves = (math.pi * octaves)[:, None, None]


class LeanConv(nn.Module):
    """One `SlimConv` at one width."""

    def __init__(self, layer: SlimConv, channels: int, inputs: int, *, engine: bool) -> None:
        """`engine`: written for a compiler, see `_normal`."""
        super().__init__()
        self.weight = layer.weight.detach()[:channels, :inputs]
        self.scale, self.shift = layer.scale.detach()[:channels], layer.shift.detach()[:channels]
        self._stride = layer.stride
        self._engine = engine

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] -> [B, channels, H / stride, W / stride]."""
        mixed = functional.conv2d(x, self.weight, stride=self._stride, padding=1)
        if self._engine:
            return self._normal(mixed).relu()
        groups = len(self.scale) // CHANNEL_BLOCK
        return functional.group_norm(mixed, groups, self.scale, self.shift).relu_()

    def _normal(self, mixed: Tensor) -> Tensor:
        """Group normalisation by each channel's own moments.

        OpenVINO takes a group's for a reshape to another layout and back, which is a quarter of its time.
        """
        mixed = mixed.float()  # squares of half precision would overflow
        moments = torch.stack((mixed.mean(dim=(2, 3)), (mixed * mixed).mean(dim=(2, 3))), dim=1)
        grouped = torch.unflatten(moments, 2, (-1, CHANNEL_BLOCK)).mean(dim=3)
        mean, square = grouped[..., None].expand(-1, -1, -1, CHANNEL_BLOCK).flatten(2).unbind(1)
        factor = self.scale * torch.rsqrt(square - mean * mean + _EPSILON)
        return mixed * factor[..., None, None] + (self.shift - mean * factor)[..., None, None]


def pointwise(layer: nn.Linear, inputs: int, outputs: int | None = None) -> tuple[Tensor, Tensor]:
    """Weight [outputs, inputs, 1, 1] and bias [outputs] of a linear map as a 1x1 convolution."""
    return layer.weight.detach()[:outputs, :inputs, None, None], layer.bias.detach()[:outputs]


def double(maps: Tensor, *, engine: bool) -> Tensor:
    """[B, C, H, W] -> [B, C, 2 H, 2 W], each pixel four times; in eager twice as fast as `interpolate`."""
    if engine:
        return functional.interpolate(maps, scale_factor=2.0, mode="nearest")
    return maps.repeat_interleave(2, dim=3).repeat_interleave(2, dim=2)


def pooled(maps: Tensor, size: Sequence[int]) -> Tensor:
    """Adaptive average pooling [B, C, h, w] -> [B, C, *size]; engines are quick at it where blocks fit."""
    # As int, so that a trace has them fixed.
    rows, columns, height, width = (int(count) for count in (*size, *maps.shape[2:]))
    if height % rows or width % columns:
        return functional.adaptive_avg_pool2d(maps, (rows, columns))
    block = (height // rows, width // columns)
    return maps if block == (1, 1) else functional.avg_pool2d(maps, block)


def planar(maps: Tensor) -> Tensor:
    """The same maps [B, C, h, w], for engines.

    OpenVINO's convolutions give channels last; its own change of layout takes far longer than a transposition
    that it is told of.
    """
    size = [int(side) for side in maps.shape[2:]]
    return torch.unflatten(maps.permute(0, 2, 3, 1).flatten(1, 2).transpose(1, 2), 2, size)


def waves(values: Tensor, scales: Tensor) -> Tensor:
    """`canvas.fourier` with the waves as channels: [B, V, h, w] -> [B, V * 2 * frequencies, h, w].

    `scales` [frequencies, 1, 1] are half turns to a unit.
    """
    phase = values[:, :, None] * scales
    return torch.cat((phase.sin(), phase.cos()), dim=2).flatten(1, 2)


def by_columns(layer: nn.Linear) -> tuple[Tensor, Tensor]:
    """Weight [out, in] and bias [out, 1], as a product with columns takes them."""
    return layer.weight.detach(), layer.bias.detach()[:, None]
