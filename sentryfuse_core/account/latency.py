"""Stage latencies: their names, percentiles, and those of the last seconds; nothing here reads a clock."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Mapping

import numpy as np

from sentryfuse_core.clock import NS_PER_S
from sentryfuse_core.types import StageTimes

__all__ = ["MOST_HZ", "PERCENTILES", "STAGES", "LatencyWindow", "percentiles", "stage_values"]

STAGES = ("age", "wait", "queue", "pre", "infer", "post", "track", "e2e")  # the diagnostics' order
PERCENTILES = ("p50", "p90", "p95", "p99", "max")
MOST_HZ = 100  # sets that a window holds for each of its seconds: time stands still where /clock does
_RANKS = (50.0, 90.0, 95.0, 99.0, 100.0)


def percentiles(values: Iterable[float]) -> dict[str, float]:
    """p50, p90, p95, p99 and max of the values that are numbers; NaN without any."""
    array = np.asarray([value for value in values if not math.isnan(value)], dtype=np.float64)
    if array.size == 0:
        return dict.fromkeys(PERCENTILES, math.nan)
    return dict(zip(PERCENTILES, np.percentile(array, _RANKS).tolist(), strict=True))


def stage_values(times: StageTimes, e2e_ms: float) -> dict[str, float]:
    """Milliseconds by the names of `STAGES`."""
    return {**vars(times), "e2e": e2e_ms}


class LatencyWindow:
    """Stage latencies of the last `window_s` seconds and the share that missed the deadline."""

    def __init__(self, window_s: float) -> None:
        self.window_s = window_s
        most = round(window_s * MOST_HZ)
        self._entries: deque[tuple[int, dict[str, float], bool]] = deque(maxlen=most)

    def add(self, now_ns: int, values_ms: Mapping[str, float], *, missed: bool) -> None:
        """Enter one set; `now_ns` never goes back."""
        self._entries.append((now_ns, dict(values_ms), missed))
        self.expire(now_ns)

    def expire(self, now_ns: int) -> None:
        """Forget what is too old; before reading, since no set may have come for long."""
        oldest_ns = now_ns - round(self.window_s * NS_PER_S)
        while self._entries and self._entries[0][0] < oldest_ns:
            self._entries.popleft()

    def __len__(self) -> int:
        return len(self._entries)

    def stage(self, name: str) -> dict[str, float]:
        """Percentiles of one stage in ms."""
        return percentiles(values[name] for _, values, _ in self._entries)

    @property
    def deadline_miss(self) -> float:
        """Share of the sets, 0..1, that missed the deadline; 0 without sets."""
        return self.misses / len(self._entries) if self._entries else 0.0

    @property
    def misses(self) -> int:
        """How many sets missed the deadline."""
        return sum(missed for _, _, missed in self._entries)
