"""SentryAttend: sparse grouped-query attention, keys and values pooled within each sensor.

The sensors' tokens are pooled by a stride before they become keys and values; canvas tokens and
summary tokens are not. Query heads of one key/value group are folded into the sequence, so that nothing
is repeated and no mask is needed. All weights are stored group after group: the sub-network of the
first groups is a prefix view of the same memory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from sentryfuse_core.model.units import Prunable

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


class SentryAttend(Prunable):
    """Attention of all tokens to pooled keys; its units are key/value groups with their query heads."""

    def __init__(self, dim: int, *, heads: int, kv_heads: int, head_dim: int | None = None) -> None:
        """`head_dim` is dim / heads unless given.

        Raises:
            ValueError: `heads` is no multiple of `kv_heads`, or `dim` none of `heads`.
        """
        if heads % kv_heads:
            raise ValueError(f"heads {heads} must be a multiple of kv_heads {kv_heads}")
        if head_dim is None and dim % heads:
            raise ValueError(f"dim {dim} must be a multiple of heads {heads}; or give head_dim")
        size = dim // heads if head_dim is None else head_dim
        super().__init__(kv_heads, heads // kv_heads * size)
        self.group = heads // kv_heads
        self.head_dim = size
        self.query = nn.Parameter(torch.empty(heads * self.head_dim, dim))  # rows: group, head, channel
        self.key_value = nn.Parameter(
            torch.empty(kv_heads * 2 * self.head_dim, dim)
        )  # rows: group, key|value, channel
        self.output = nn.Parameter(torch.empty(heads * self.head_dim, dim))  # transposed: rows are inputs
        self.output_bias = nn.Parameter(torch.zeros(dim))
        for weight in (self.query, self.key_value, self.output):
            nn.init.normal_(weight, std=dim**-0.5)

    @property
    def unit_rows(self) -> Mapping[str, int]:
        """Rows of one group in each tensor."""
        return {"query": self.unit_size, "key_value": 2 * self.head_dim, "output": self.unit_size}

    @property
    def outgoing(self) -> tuple[Tensor, Tensor]:
        """Weight [units * unit_size, D] and bias [D]."""
        return self.output, self.output_bias

    def unit_macs(self, tokens: int, keys: int) -> int:
        """One group: query and output of its heads, its key and value, and both products of attention."""
        dim = self.query.shape[1]
        projections = 2 * tokens * dim * self.unit_size + keys * dim * 2 * self.head_dim
        return projections + 2 * tokens * keys * self.unit_size

    def forward(self, tokens: Tensor, segments: Sequence[Segment], *, width: int | None = None) -> Tensor:
        """Attend with the first `width` groups.

        Args:
            tokens: [B, N, D], normalised.
            segments: the runs that `tokens` is made of, lengths adding up to N.
            width: groups that run, 0 to all; None for `self.width`.

        Returns:
            [B, N, D]
        """
        groups = self.running(width)
        if groups == 0:
            return self.output_bias.expand_as(tokens)
        query = functional.linear(tokens, self.query[: groups * self.unit_size])
        query = torch.unflatten(query, 2, (groups, self.group, self.head_dim)).permute(0, 2, 3, 1, 4)
        pooled = functional.linear(
            pool_segments(tokens, segments), self.key_value[: groups * 2 * self.head_dim]
        )
        key, value = torch.unflatten(pooled, 2, (groups, 2, self.head_dim)).permute(3, 0, 2, 1, 4).unbind(0)
        mixed = folded_attention(query, key, value).permute(0, 3, 1, 2, 4).flatten(2)
        return self.combine(mixed)
