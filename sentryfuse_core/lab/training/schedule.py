"""The learning rate over a run, as a share of its peak."""

from __future__ import annotations

import math

__all__ = ["rate_share"]


def rate_share(progress: float, warmup: float) -> float:
    """At `progress` 0..1 of the run: a linear rise until `warmup`, then a cosine to nearly nothing."""
    if progress < warmup:
        return max(progress / warmup, 0.02)
    return 0.01 + 0.99 * 0.5 * (1.0 + math.cos(math.pi * (progress - warmup) / (1.0 - warmup)))
