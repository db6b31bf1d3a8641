"""The trunk: pre-norm layers of SentryAttend and a feed-forward part, both cut to a prefix of their units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from sentryfuse_core.model.attention import Segment, SentryAttend
from sentryfuse_core.model.shape import Width
from sentryfuse_core.model.sparsity import Sparsity
from sentryfuse_core.model.units import Prunable

__all__ = ["FeedForward", "Trunk", "TrunkLayer"]


class FeedForward(Prunable):
    """Two linear maps with GELU between; its units are blocks of hidden channels."""

    def __init__(self, dim: int, *, channels: int, block: int) -> None:
        """Raises ValueError when `channels` is no multiple of `block`."""
        if channels % block:
            raise ValueError(f"channels {channels} must be a multiple of block {block}")
        super().__init__(channels // block, block)
        self.rise = nn.Parameter(torch.randn(channels, dim) * dim**-0.5)
        self.rise_bias = nn.Parameter(torch.zeros(channels))
        self.fall = nn.Parameter(torch.randn(channels, dim) * channels**-0.5)  # transposed
        self.fall_bias = nn.Parameter(torch.zeros(dim))

    @classmethod
    def from_linears(cls, rise: nn.Linear, fall: nn.Linear, *, block: int) -> FeedForward:
        """The same part with weights copied from two linear maps that had GELU between them, and their type.

        Raises ValueError when `fall` does not lead back to where `rise` came from, or the channels are no
        multiple of `block`.
        """
        if (fall.out_features, fall.in_features) != (rise.in_features, rise.out_features):
            raise ValueError(f"{fall} must lead from {rise.out_features} back to {rise.in_features} features")
        made = cls(rise.in_features, channels=rise.out_features, block=block).to(rise.weight)
        with torch.no_grad():
            made.rise.copy_(rise.weight)
            made.fall.copy_(fall.weight.t())
            for target, source in ((made.rise_bias, rise.bias), (made.fall_bias, fall.bias)):
                if source is not None:
                    target.copy_(source)
        return made

    @property
    def unit_rows(self) -> Mapping[str, int]:
        """Rows of one block in each tensor."""
        return dict.fromkeys(("rise", "rise_bias", "fall"), self.unit_size)

    @property
    def outgoing(self) -> tuple[Tensor, Tensor]:
        """Weight [channels, D] and bias [D]."""
        return self.fall, self.fall_bias

    def unit_macs(self, tokens: int, segments: Sequence[Segment]) -> int:
        """One block of channels: its rows of both maps."""
        del segments
        return 2 * tokens * self.rise.shape[1] * self.unit_size

    def forward(self, tokens: Tensor, *, width: int | None = None) -> Tensor:
        """[B, N, D] -> [B, N, D] with the first `width` blocks; None for `self.width`."""
        rows = self.running(width) * self.unit_size
        if rows == 0:
            return self.fall_bias.expand_as(tokens)
        return self.combine(
            functional.gelu(functional.linear(tokens, self.rise[:rows], self.rise_bias[:rows]))
        )


class TrunkLayer(nn.Module):
    """x + attention(norm(x)), then x + feed-forward(norm(x))."""

    def __init__(
        self,
        dim: int,
        *,
        heads: int,
        kv_heads: int,
        ffn: int,
        ffn_block: int,
        sparsity: str | Sparsity = "pooled",
    ) -> None:
        super().__init__()
        self.attend_norm = nn.LayerNorm(dim)
        self.attend = SentryAttend(dim, heads=heads, kv_heads=kv_heads, sparsity=sparsity)
        self.feed_norm = nn.LayerNorm(dim)
        self.feed = FeedForward(dim, channels=ffn, block=ffn_block)

    def forward(
        self,
        tokens: Tensor,
        segments: Sequence[Segment],
        width: Width | None = None,
        trust: Tensor | None = None,
    ) -> Tensor:
        """[B, N, D] -> [B, N, D]; `width` None: each part's own; `trust` as `Trunk.forward` takes it."""
        groups, blocks = (None, None) if width is None else (width.groups, width.blocks)
        normal = self.attend_norm(tokens)
        if trust is not None:  # after the norm, which would undo it
            normal = normal * trust[..., None]
        tokens = tokens + self.attend(normal, segments, width=groups)
        fed: Tensor = tokens + self.feed(self.feed_norm(tokens), width=blocks)
        return fed


class Trunk(nn.Module):
    """All layers in turn."""

    def __init__(self, layers: Sequence[TrunkLayer]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(
        self,
        tokens: Tensor,
        segments: Sequence[Segment],
        widths: Sequence[Width] | None = None,
        trust: Tensor | None = None,
    ) -> Tensor:
        """[B, N, D] -> [B, N, D]; `widths`: one a layer, None for each layer's own.

        `trust` [B, N] scales what attention reads of each token, query, key and value; None: all in full.
        """
        for index, layer in enumerate(self.layers):
            tokens = layer(tokens, segments, None if widths is None else widths[index], trust)
        return tokens
