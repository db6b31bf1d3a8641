"""The trunk: pre-norm layers of SentryAttend and a feed-forward part, both cut to a prefix of their units."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from sentryfuse_core.model.attention import Segment, SentryAttend
from sentryfuse_core.model.shape import ModelShape, Width

__all__ = ["FeedForward", "Trunk", "TrunkLayer"]


class FeedForward(nn.Module):
    """Two linear maps with GELU between; hidden channels come first in both, so a prefix is contiguous."""

    def __init__(self, dim: int, channels: int) -> None:
        super().__init__()
        self.rise = nn.Parameter(torch.randn(channels, dim) * dim**-0.5)
        self.rise_bias = nn.Parameter(torch.zeros(channels))
        self.fall = nn.Parameter(torch.randn(channels, dim) * channels**-0.5)  # transposed
        self.fall_bias = nn.Parameter(torch.zeros(dim))

    def forward(self, tokens: Tensor, *, channels: int) -> Tensor:
        """[B, N, D] -> [B, N, D] with the first `channels` hidden channels."""
        hidden = functional.gelu(functional.linear(tokens, self.rise[:channels], self.rise_bias[:channels]))
        return hidden @ self.fall[:channels] + self.fall_bias


class TrunkLayer(nn.Module):
    """x + attention(norm(x)), then x + feed-forward(norm(x))."""

    def __init__(self, shape: ModelShape) -> None:
        super().__init__()
        self.attend_norm = nn.LayerNorm(shape.dim)
        self.attend = SentryAttend(shape.dim, heads=shape.heads, kv_heads=shape.kv_heads)
        self.feed_norm = nn.LayerNorm(shape.dim)
        self.feed = FeedForward(shape.dim, shape.ffn)

    def forward(self, tokens: Tensor, segments: Sequence[Segment], width: Width) -> Tensor:
        """[B, N, D] -> [B, N, D]."""
        tokens = tokens + self.attend(self.attend_norm(tokens), segments, kv_heads=width.kv_heads)
        fed: Tensor = tokens + self.feed(self.feed_norm(tokens), channels=width.ffn)
        return fed


class Trunk(nn.Module):
    """All layers in turn."""

    def __init__(self, shape: ModelShape) -> None:
        super().__init__()
        self.layers = nn.ModuleList(TrunkLayer(shape) for _ in range(shape.layers))

    def forward(self, tokens: Tensor, segments: Sequence[Segment], width: Width) -> Tensor:
        """[B, N, D] -> [B, N, D] at `width`."""
        for layer in self.layers:
            tokens = layer(tokens, segments, width)
        return tokens
