"""Cuts features, series and images into tokens by one rule that needs no tuning."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["FEWEST_TOKENS", "MOST_TOKENS", "patch_side", "tokenise"]

FEWEST_TOKENS, MOST_TOKENS = 8, 16


def patch_side(sizes: Sequence[int]) -> int:
    """Side of the patches that an array of these sizes, [F], [T] or [H, W], is cut into.

    Patches are square (never longer than the array itself). Of the sides that give 8 to 16 tokens the
    one that pads least is taken, of equals the smallest, which gives the most tokens. Where no side
    gives 8 to 16 (a tiny array), it is the smallest one that gives 16 tokens at most.
    """
    found = [(side, _counts(sizes, side)) for side in range(1, max(sizes) + 1)]
    fitting = [(side, counts) for side, counts in found if math.prod(counts) <= MOST_TOKENS]
    wanted = [(side, counts) for side, counts in fitting if math.prod(counts) >= FEWEST_TOKENS]
    if not wanted:
        return fitting[0][0]
    return min(wanted, key=lambda choice: (_padded(sizes, *choice), choice[0]))[0]


def tokenise(values: NDArray[Any], *, side: int | None = None) -> NDArray[Any]:
    """Tokens [n, tokens, features] of features [n, F], series [n, T, C] or images [n, H, W, C].

    A token holds `side` consecutive features, `side` consecutive steps of all channels, or a patch of
    `side` x `side` pixels of all channels; `patch_side` chooses where none is given. The last patches
    are filled by repeating the edge: no value is dropped. Tokens run in time, or row by row.
    """
    if values.ndim == 2:
        values = values[:, :, None]
    count, *sizes, channels = values.shape
    chosen = patch_side(sizes) if side is None else side
    sides = [min(chosen, size) for size in sizes]
    counts = _counts(sizes, chosen)
    margins = [(0, n * edge - size) for n, edge, size in zip(counts, sides, sizes, strict=True)]
    padded = np.pad(values, [(0, 0), *margins, (0, 0)], mode="edge") if np.any(margins) else values
    # [n, a, side, b, side, C] -> [n, a, b, side, side, C], so that what a patch holds lies together.
    split = padded.reshape(
        count, *(part for pair in zip(counts, sides, strict=True) for part in pair), channels
    )
    axes = len(sizes)
    order = [0, *range(1, 2 * axes, 2), *range(2, 2 * axes + 1, 2), 2 * axes + 1]
    tokens: NDArray[Any] = split.transpose(order).reshape(
        count, math.prod(counts), math.prod(sides) * channels
    )
    return tokens


def _counts(sizes: Sequence[int], side: int) -> list[int]:
    """Patches along each axis."""
    return [-(-size // min(side, size)) for size in sizes]


def _padded(sizes: Sequence[int], side: int, counts: Sequence[int]) -> int:
    """Values that padding adds."""
    whole = math.prod(count * min(side, size) for count, size in zip(counts, sizes, strict=True))
    return whole - math.prod(sizes)
