"""Percentiles of a quantity over the last while; no torch in here, so that nodes can use it."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from sentryfuse_core.clock import NS_PER_S

__all__ = ["PercentileWindow", "Percentiles", "percentile", "summarise"]

_MAX_VALUES = 20_000  # a bound on memory: 30 s at 600 sets a second


@dataclass(frozen=True)
class Percentiles:
    """Summary of `n` values; all NaN when there is none."""

    n: int
    p50: float
    p90: float
    p95: float
    p99: float
    max: float


def percentile(ordered: Sequence[float], percent: float) -> float:
    """The smallest value with at least `percent` of all at or below it (nearest rank); NaN for none.

    `ordered` must be sorted.
    """
    if not ordered:
        return math.nan
    return ordered[max(0, math.ceil(percent / 100.0 * len(ordered)) - 1)]


def summarise(values: Sequence[float]) -> Percentiles:
    """Percentiles of all of `values`, in any order."""
    ordered = sorted(values)
    return Percentiles(len(ordered), *(percentile(ordered, percent) for percent in (50, 90, 95, 99, 100)))


class PercentileWindow:
    """Values of the last `window_s`, summarised on demand; not thread-safe."""

    def __init__(self, window_s: float) -> None:
        self.window_s = window_s
        self._values: deque[tuple[int, float]] = deque(maxlen=_MAX_VALUES)

    def add(self, value: float, now_ns: int) -> None:
        """Put in a value taken at `now_ns` (never before the last one's)."""
        self._values.append((now_ns, value))

    def summary(self, now_ns: int) -> Percentiles:
        """Percentiles over (now - window, now]."""
        oldest_ns = now_ns - round(self.window_s * NS_PER_S)
        while self._values and self._values[0][0] <= oldest_ns:
            self._values.popleft()
        return summarise([value for _, value in self._values])
