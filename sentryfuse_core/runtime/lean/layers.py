"""Layers of the deploy form: channels first, weights cut once, nothing that only training reads."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from sentryfuse_core.model.network import SentryFuseNet
from sentryfuse_core.model.slim import CHANNEL_BLOCK, SlimConv

__all__ = ["Constants", "LeanConv", "by_columns", "double", "planar", "pointwise", "pooled", "waves"]

_EPSILON = 1e-5  # of torch's group_norm


class Constants:
    """What hangs on weights alone and parts share, whatever their widths.

    Attributes:
        canvas: [D, cells] the canvas before any sensor has spoken, row by row.
        blocks: [K, cells] takes the means over blocks of cells that make keys, None where each cell makes
            one; engines are slow at means over two axes.
        away: [D, 32 * 32] what a place's distance says to what is heard there.
        spread: [fine_channels * 4, D] and [..., 1], the head's map to sub-cells, channel by channel.
    """

    def __init__(self, net: SentryFuseNet) -> None:
        audio, spread, fine = net.audio, net.head.spread, net.shape.fine_channels
        self.canvas = net.canvas().detach()[net.canvas.inverse].t()
        cells, block = self.canvas.shape[1], math.isqrt(net.shape.canvas_pool)
        each = torch.eye(cells).view(cells, 1, math.isqrt(cells), -1).to(self.canvas)
        self.blocks = functional.avg_pool2d(each, block).flatten(1).t() if block > 1 else None
        self.away = ((audio.distance @ audio.away.weight.t()).t() + audio.hear.bias[:, None]).detach()
        # Rows sub-cell by sub-cell become channel by channel, as pixel_shuffle takes them.
        weight = torch.unflatten(spread.weight.detach(), 0, (-1, fine)).transpose(0, 1).flatten(0, 1)
        bias = torch.unflatten(spread.bias.detach(), 0, (-1, fine)).t().flatten()[:, None]
        self.spread = (weight, bias)


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


def double(maps: Tensor) -> Tensor:
    """[B, C, H, W] -> [B, C, 2 H, 2 W], each pixel four times."""
    return functional.interpolate(maps, scale_factor=2.0, mode="nearest")


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
