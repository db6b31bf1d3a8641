"""SentryAttend: sparse grouped-query attention, keys and values pooled within each sensor.

The sensors' tokens are pooled by a stride before they become keys and values; canvas tokens and
summary tokens are not. Query heads of one key/value group are folded into the sequence, so that nothing
is repeated and no mask is needed. All weights are stored group after group: the sub-network of the
first groups is a prefix view of the same memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["Segment", "SentryAttend", "folded_attention", "pool_segments"]


@dataclass(frozen=True)
class Segment:
    """A run of `length` tokens that share a key and a value in groups of `stride` (1: each has its own)."""

    length: int
    stride: int

    @property
    def keys(self) -> int:
        """Keys that this run gives."""
        return self.length // self.stride


def pool_segments(tokens: Tensor, segments: Sequence[Segment]) -> Tensor:
    """Mean of every group: [B, N, D] -> [B, M, D]; each segment's length is a multiple of its stride."""
    parts = []
    runs = torch.split(tokens, [segment.length for segment in segments], dim=1)
    for run, segment in zip(runs, segments, strict=True):
        if segment.stride == 1:
            parts.append(run)
        else:
            parts.append(torch.unflatten(run, 1, (segment.keys, segment.stride)).mean(dim=2))
    return torch.cat(parts, dim=1)


def folded_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Grouped-query attention with the group folded into the sequence.

    Args:
        query: [B, G, Q, N, C], Q query heads for each of G groups.
        key, value: [B, G, M, C].

    Returns:
        [B, G, Q, N, C], equal to attention with every key and value head repeated Q times.
    """
    folded = functional.scaled_dot_product_attention(query.flatten(2, 3), key, value)
    return torch.unflatten(folded, 2, query.shape[2:4])


class SentryAttend(nn.Module):
    """Attention of all tokens to pooled keys, at any number of its key/value groups."""

    def __init__(self, dim: int, *, heads: int, kv_heads: int) -> None:
        super().__init__()
        self.kv_heads = kv_heads
        self.group = heads // kv_heads
        self.head_dim = dim // heads
        self.query = nn.Parameter(torch.empty(heads * self.head_dim, dim))  # rows: group, head, channel
        self.key_value = nn.Parameter(
            torch.empty(kv_heads * 2 * self.head_dim, dim)
        )  # rows: group, key|value, channel
        self.output = nn.Parameter(torch.empty(heads * self.head_dim, dim))  # transposed: rows are inputs
        self.output_bias = nn.Parameter(torch.zeros(dim))
        for weight in (self.query, self.key_value, self.output):
            nn.init.normal_(weight, std=dim**-0.5)

    def forward(self, tokens: Tensor, segments: Sequence[Segment], *, kv_heads: int) -> Tensor:
        """Attend with the first `kv_heads` groups.

        Args:
            tokens: [B, N, D], normalised.
            segments: the runs that `tokens` is made of, lengths adding up to N.
            kv_heads: groups that run, 1 to all.

        Returns:
            [B, N, D]
        """
        rows = kv_heads * self.group * self.head_dim
        query = functional.linear(tokens, self.query[:rows])
        query = torch.unflatten(query, 2, (kv_heads, self.group, self.head_dim)).permute(0, 2, 3, 1, 4)
        pooled = functional.linear(
            pool_segments(tokens, segments), self.key_value[: kv_heads * 2 * self.head_dim]
        )
        key, value = torch.unflatten(pooled, 2, (kv_heads, 2, self.head_dim)).permute(3, 0, 2, 1, 4).unbind(0)
        mixed = folded_attention(query, key, value).permute(0, 3, 1, 2, 4).flatten(2)
        return mixed @ self.output[:rows] + self.output_bias
