"""Convolutions and linear maps that run with their leading channels only."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["CHANNEL_BLOCK", "SlimConv", "SlimLinear", "pointwise"]

CHANNEL_BLOCK = 8  # channels that are normalised together, and the prunable unit of a convolution


class SlimConv(nn.Module):
    """3x3 convolution, group normalisation and ReLU whose first channels are a smaller layer by themselves.

    Groups of normalisation are of fixed size, so that channels that are left out change nothing in the
    others' statistics (slimmable networks, arXiv 1812.08928).
    """

    def __init__(self, inputs: int, outputs: int, *, stride: int = 1) -> None:
        super().__init__()
        self.stride = stride
        self.weight = nn.Parameter(torch.empty(outputs, inputs, 3, 3))
        nn.init.kaiming_normal_(self.weight, nonlinearity="relu")
        self.scale = nn.Parameter(torch.ones(outputs))
        self.shift = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor, channels: int) -> Tensor:
        """[B, C, H, W] -> [B, channels, H / stride, W / stride]; C may be fewer than all inputs."""
        # What is no multiple of a block comes from a sensor, which gives all of its channels.
        leading = x.shape[1] if x.shape[1] % CHANNEL_BLOCK == 0 else None
        weight = self.weight[:channels, :leading]
        mixed = functional.conv2d(x, weight, stride=self.stride, padding=1)
        groups = channels // CHANNEL_BLOCK
        normal = functional.group_norm(mixed, groups, self.scale[:channels], self.shift[:channels])
        return functional.relu(normal)


class SlimLinear(nn.Linear):
    """A linear map of as many leading inputs as it is given, to as many leading outputs as are asked for."""

    def forward(self, x: Tensor, outputs: int | None = None) -> Tensor:
        """[..., C] -> [..., outputs]; C may be fewer than all inputs, `outputs` None: all of them."""
        bias = self.bias if self.bias is None or outputs is None else self.bias[:outputs]
        return functional.linear(x, self.weight[:outputs, : x.shape[-1]], bias)


def pointwise(layer: nn.Linear, maps: Tensor, channels: int) -> Tensor:
    """The linear map as a 1x1 convolution of [B, C, H, W] to its first `channels` outputs."""
    weight = layer.weight[:channels, : maps.shape[1], None, None]
    return functional.conv2d(maps, weight, layer.bias[:channels])
