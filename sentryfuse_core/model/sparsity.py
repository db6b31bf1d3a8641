"""Which keys each token attends to: named strategies over runs of tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

__all__ = [
    "SPARSITIES",
    "BlockTopK",
    "Dense",
    "Pooled",
    "Segment",
    "Sparsity",
    "Window",
    "folded_attention",
    "make_sparsity",
    "pool_segments",
]


@dataclass(frozen=True)
class Segment:
    """A run of `length` tokens that share a key and a value in groups of `stride` (1: each has its own).

    The last group is smaller where `length` is no multiple of `stride`.
    """

    length: int
    stride: int

    @property
    def keys(self) -> int:
        """Keys that this run gives when it is pooled."""
        return -(-self.length // self.stride)


def pool_segments(tokens: Tensor, segments: Sequence[Segment]) -> Tensor:
    """Mean of every group: [..., N, D] -> [..., M, D], M the segments' keys."""
    parts = []
    runs = torch.split(tokens, [segment.length for segment in segments], dim=-2)
    for run, segment in zip(runs, segments, strict=True):
        if segment.stride == 1:
            parts.append(run)
            continue
        whole = segment.length // segment.stride
        groups = torch.unflatten(run[..., : whole * segment.stride, :], -2, (whole, segment.stride))
        parts.append(groups.mean(dim=-2))
        if whole < segment.keys:
            parts.append(run[..., whole * segment.stride :, :].mean(dim=-2, keepdim=True))
    return torch.cat(parts, dim=-2)


def folded_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Grouped-query attention with the group folded into the sequence.

    Args:
        query: [B, G, Q, N, C], Q query heads for each of G groups.
        key: [B, G, M, C].
        value: [B, G, M, C].

    Returns:
        [B, G, Q, N, C], equal to attention with every key and value head repeated Q times.
    """
    folded = functional.scaled_dot_product_attention(query.flatten(2, 3), key, value)
    return torch.unflatten(folded, 2, query.shape[2:4])


class Sparsity(Protocol):
    """A strategy: which tokens become keys, and which keys each token sees.

    Segments of stride 1 (summary, canvas, bottleneck) are seen in full by every token in every strategy.
    """

    def sources(self, tokens: Tensor, segments: Sequence[Segment]) -> Tensor:
        """What keys and values are made of: [B, N, D] -> [B, P, D]."""

    def source_count(self, segments: Sequence[Segment]) -> int:
        """P of `sources`."""

    def attend(self, query: Tensor, key: Tensor, value: Tensor, segments: Sequence[Segment]) -> Tensor:
        """[B, G, Q, N, C] and twice [B, G, P, C] -> [B, G, Q, N, C]."""

    def attend_macs(self, segments: Sequence[Segment], heads: int, head_dim: int) -> int:
        """Multiply-accumulates of `attend` for one sample and one group of `heads` query heads."""


@dataclass(frozen=True)
class Pooled:
    """All tokens see all keys; a segment's keys are means of `stride` neighbours. No mask, no loop."""

    def sources(self, tokens: Tensor, segments: Sequence[Segment]) -> Tensor:
        """The means."""
        return pool_segments(tokens, segments)

    def source_count(self, segments: Sequence[Segment]) -> int:
        """One a group of neighbours."""
        return sum(segment.keys for segment in segments)

    def attend(self, query: Tensor, key: Tensor, value: Tensor, segments: Sequence[Segment]) -> Tensor:
        """Plain grouped-query attention."""
        del segments
        return folded_attention(query, key, value)

    def attend_macs(self, segments: Sequence[Segment], heads: int, head_dim: int) -> int:
        """Every token with every key, twice."""
        return 2 * _tokens(segments) * self.source_count(segments) * heads * head_dim


class _OfTokens:
    """Every token is a source of a key and a value."""

    def sources(self, tokens: Tensor, segments: Sequence[Segment]) -> Tensor:
        """The tokens themselves."""
        del segments
        return tokens

    def source_count(self, segments: Sequence[Segment]) -> int:
        """One a token."""
        return _tokens(segments)


@dataclass(frozen=True)
class Dense(_OfTokens):
    """All tokens see the keys of all tokens; strides are ignored."""

    def attend(self, query: Tensor, key: Tensor, value: Tensor, segments: Sequence[Segment]) -> Tensor:
        """Plain grouped-query attention."""
        del segments
        return folded_attention(query, key, value)

    def attend_macs(self, segments: Sequence[Segment], heads: int, head_dim: int) -> int:
        """Every token with every token, twice."""
        return 2 * _tokens(segments) ** 2 * heads * head_dim


@dataclass(frozen=True)
class Window(_OfTokens):
    """Tokens see the keys of their own window of `size` tokens, and pooled keys of everything else.

    Windows lie side by side within each segment; `stride` takes the place of the segments' own. A segment of
    stride 1 is one window. The keys are pooled, not the tokens: for a linear map that is the same.
    """

    size: int = 64
    stride: int = 16

    def __post_init__(self) -> None:
        """Raises ValueError when a window would cut through a group of pooled keys."""
        if self.size < 1 or self.stride < 1 or self.size % self.stride:
            raise ValueError(f"window {self.size} must be a positive multiple of its stride {self.stride}")

    def attend(self, query: Tensor, key: Tensor, value: Tensor, segments: Sequence[Segment]) -> Tensor:
        """Window by window; the pooled keys that stand for a window's own tokens make room for those."""
        coarse = self._coarse(segments)
        far_key, far_value = pool_segments(key, coarse), pool_segments(value, coarse)
        parts = []
        for own, pooled in self._windows(coarse):
            near_key = _spliced(far_key, pooled, key[..., own, :])
            near_value = _spliced(far_value, pooled, value[..., own, :])
            parts.append(folded_attention(query[..., own, :], near_key, near_value))
        return torch.cat(parts, dim=-2)

    def attend_macs(self, segments: Sequence[Segment], heads: int, head_dim: int) -> int:
        """Each window's tokens with its keys and the pooled rest, twice."""
        coarse = self._coarse(segments)
        far = sum(segment.keys for segment in coarse)
        pairs = 0
        for own, pooled in self._windows(coarse):
            tokens: int = own.stop - own.start
            pairs += tokens * (tokens + far - (pooled.stop - pooled.start))
        return 2 * pairs * heads * head_dim

    def _coarse(self, segments: Sequence[Segment]) -> list[Segment]:
        return [Segment(each.length, 1 if each.stride == 1 else self.stride) for each in segments]

    def _windows(self, coarse: Sequence[Segment]) -> list[tuple[slice, slice]]:
        """Every window's tokens, and the pooled keys that stand for them."""
        found = []
        token, key = 0, 0
        for segment in coarse:
            size = max(segment.length, 1) if segment.stride == 1 else self.size
            for start in range(0, segment.length, size):
                part = Segment(min(size, segment.length - start), segment.stride)
                found.append((slice(token, token + part.length), slice(key, key + part.keys)))
                token, key = token + part.length, key + part.keys
        return found


@dataclass(frozen=True)
class BlockTopK(_OfTokens):
    """Blocks of `block` tokens see their own block of keys and the best others, `blocks` in all.

    How well a block of keys fits a block of queries is the product of their means, one choice a group (as
    in MoBA, arXiv 2502.13189). Segments of stride 1 see everything. Blocks lie side by side within each
    segment; the last one is filled up, and the filling masked.
    """

    blocks: int = 3
    block: int = 64

    def __post_init__(self) -> None:
        """Raises ValueError for sizes below 1."""
        if self.blocks < 1 or self.block < 1:
            raise ValueError(f"blocks {self.blocks} and block {self.block} must be at least 1")

    def attend(self, query: Tensor, key: Tensor, value: Tensor, segments: Sequence[Segment]) -> Tensor:
        """Plain attention where `blocks` covers everything, else over gathered blocks."""
        lengths = self._lengths(segments)
        if len(lengths) <= self.blocks:
            return folded_attention(query, key, value)
        chosen = self._choose(query, key, segments)
        heads = query.shape[2]
        key_blocks, shared_key = self._parts(key, segments)
        value_blocks, shared_value = self._parts(value, segments)
        query_blocks, shared_query = self._parts(query, segments)  # [B, G, Q, blocks, block, C]
        mask = None
        if any(length < self.block for length in lengths):
            real = torch.arange(self.block) < torch.tensor(lengths)[:, None]
            seen = real.to(query.device)[chosen].flatten(-2)  # [B, G, blocks, K * block]
            mask = functional.pad(seen, (shared_key.shape[-2], 0), value=True)[..., None, :].flatten(0, 1)
        mixed = functional.scaled_dot_product_attention(  # [B * G, blocks, Q * block, C]: four axes are fast
            query_blocks.transpose(2, 3).flatten(3, 4).flatten(0, 1),
            _gathered(shared_key, key_blocks, chosen).flatten(0, 1),
            _gathered(shared_value, value_blocks, chosen).flatten(0, 1),
            attn_mask=mask,
        )
        mixed = torch.unflatten(torch.unflatten(mixed, 2, (heads, self.block)), 0, query.shape[:2])
        mixed = mixed.transpose(2, 3)
        return self._joined(mixed, folded_attention(shared_query, key, value), segments)

    def attend_macs(self, segments: Sequence[Segment], heads: int, head_dim: int) -> int:
        """The choice, the filled-up blocks with their keys and the segments of stride 1 with all, twice."""
        count, tokens = len(self._lengths(segments)), _tokens(segments)
        if count <= self.blocks:
            return 2 * tokens**2 * heads * head_dim
        shared = sum(each.length for each in segments if each.stride == 1)
        pairs = count * self.block * (shared + self.blocks * self.block) + shared * tokens
        return 2 * pairs * heads * head_dim + count**2 * head_dim

    def _lengths(self, segments: Sequence[Segment]) -> list[int]:
        """Tokens of every block."""
        return [
            min(self.block, each.length - start)
            for each in segments
            if each.stride > 1
            for start in range(0, each.length, self.block)
        ]

    def _choose(self, query: Tensor, key: Tensor, segments: Sequence[Segment]) -> Tensor:
        """The blocks that each block of queries sees: [B, G, blocks, K], its own among them."""
        pooled = [Segment(each.length, self.block) for each in segments if each.stride > 1]
        rows = _rows(segments, shared=False)
        query_means = pool_segments(torch.cat([query.mean(dim=2)[..., row, :] for row in rows], -2), pooled)
        key_means = pool_segments(torch.cat([key[..., row, :] for row in rows], -2), pooled)
        fit = query_means @ key_means.transpose(-1, -2)
        own = torch.eye(fit.shape[-1], dtype=torch.bool, device=fit.device)
        return fit.masked_fill(own, torch.inf).topk(self.blocks, dim=-1).indices

    def _parts(self, values: Tensor, segments: Sequence[Segment]) -> tuple[Tensor, Tensor]:
        """[..., N, C] as filled-up blocks [..., blocks, block, C] and the tokens of stride 1 [..., S, C]."""
        filled = [
            functional.pad(values[..., row, :], (0, 0, 0, -(row.stop - row.start) % self.block))
            for row in _rows(segments, shared=False)
        ]
        shared = [values[..., :0, :], *(values[..., row, :] for row in _rows(segments, shared=True))]
        return torch.unflatten(torch.cat(filled, -2), -2, (-1, self.block)), torch.cat(shared, -2)

    def _joined(self, mixed: Tensor, shared: Tensor, segments: Sequence[Segment]) -> Tensor:
        """Undo `_parts`."""
        flat, parts = mixed.flatten(-3, -2), []
        block_row, shared_row = 0, 0
        for each in segments:
            if each.stride == 1:
                parts.append(shared[..., shared_row : shared_row + each.length, :])
                shared_row += each.length
            else:
                parts.append(flat[..., block_row : block_row + each.length, :])
                block_row += -(-each.length // self.block) * self.block
        return torch.cat(parts, dim=-2)


SPARSITIES: Mapping[str, type[Pooled] | type[Dense] | type[Window] | type[BlockTopK]] = {
    "pooled": Pooled,
    "dense": Dense,
    "window": Window,
    "block_topk": BlockTopK,
}


def make_sparsity(name: str) -> Sparsity:
    """The strategy of that name with its default sizes; raises ValueError for an unknown name."""
    if name not in SPARSITIES:
        raise ValueError(f"unknown sparsity {name!r}; there are {', '.join(SPARSITIES)}")
    return SPARSITIES[name]()


def _tokens(segments: Sequence[Segment]) -> int:
    return sum(segment.length for segment in segments)


def _rows(segments: Sequence[Segment], *, shared: bool) -> list[slice]:
    """Where the segments lie that have stride 1 (`shared`), or that have not."""
    ends = list(accumulate(segment.length for segment in segments))
    return [
        slice(end - segment.length, end)
        for segment, end in zip(segments, ends, strict=True)
        if (segment.stride == 1) == shared
    ]


def _spliced(values: Tensor, gap: slice, filling: Tensor) -> Tensor:
    """`values` [..., M, C] with those in `gap` replaced by `filling` [..., W, C]."""
    return torch.cat((values[..., : gap.start, :], filling, values[..., gap.stop :, :]), dim=-2)


def _gathered(shared: Tensor, blocks: Tensor, chosen: Tensor) -> Tensor:
    """[B, G, S, C] before the chosen ones of [B, G, blocks, block, C]: [B, G, blocks, S + K * block, C]."""
    batch = torch.arange(len(chosen), device=chosen.device)[:, None, None, None]
    group = torch.arange(chosen.shape[1], device=chosen.device)[:, None, None]
    picked = blocks[batch, group, chosen].flatten(3, 4)
    return torch.cat((shared[:, :, None].expand(-1, -1, picked.shape[2], -1, -1), picked), dim=3)
