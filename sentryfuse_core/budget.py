"""Which pruning level to run: latency, power, battery and operator wishes become one level and one reason."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sentryfuse_core.clock import NS_PER_S
from sentryfuse_core.config import BudgetConfig
from sentryfuse_core.types import ModalitySet

__all__ = ["BudgetController"]

_SMOOTHING = 0.1  # weight of one measurement in the latency table
_HEADROOM = 0.9  # a wider level comes back when it would take at most this share of the deadline
_DWELL_NS = 2 * NS_PER_S  # and not sooner after the last narrowing, so that levels do not flutter


@dataclass(frozen=True)
class _Request:
    """The last Budget message; NaN and -1 ask for nothing."""

    latency_ms: float
    power_w: float
    level: int
    source: str
    at_ns: int


class BudgetController:
    """Chooses a level for every set; higher levels are narrower.

    An operator's level comes first. Otherwise the narrowest of what power, battery and latency ask
    for runs: narrowing takes effect at once, widening for latency waits for headroom and a pause.
    """

    def __init__(self, config: BudgetConfig, *, levels: Sequence[float]) -> None:
        """`levels`: share of the network's units that each level keeps, level 0 first, falling."""
        self.config = config  # may be replaced at run time
        self._levels = tuple(levels)
        self._table: dict[tuple[int, int], float] = {}
        self._request: _Request | None = None
        self._battery = math.nan
        self._latency_level: dict[int, int] = {}  # by mask
        self._narrowed_at_ns: dict[int, int] = {}

    def set_latency_table(self, latency_ms: Mapping[tuple[int, int], float]) -> None:
        """Take measured milliseconds by (mask bits, level), as from a warm-up."""
        self._table = dict(latency_ms)

    def update_budget(self, latency_ms: float, power_w: float, level: int, source: str, now_ns: int) -> None:
        """Take a Budget message; NaN or 0 means no limit, level -1 automatic."""
        self._request = _Request(latency_ms, power_w, level, source, now_ns)

    def update_battery(self, fraction: float) -> None:
        """Take the battery's charge, 0..1; NaN: unknown."""
        self._battery = fraction

    def observe(self, mask: ModalitySet, level: int, infer_ms: float) -> None:
        """Correct the latency table with one measured inference."""
        key = (mask.bits, level)
        known_ms = self._table.get(key, infer_ms)
        self._table[key] = known_ms + _SMOOTHING * (infer_ms - known_ms)

    @property
    def latency_ms(self) -> float:
        """The deadline of one inference in force; NaN: none."""
        return self._stricter(self._request.latency_ms if self._request else math.nan, self.config.latency_ms)

    @property
    def power_w(self) -> float:
        """The power limit in force; NaN: none."""
        return self._stricter(self._request.power_w if self._request else math.nan, self.config.power_w)

    def choose(self, mask: ModalitySet, now_ns: int) -> tuple[int, str]:
        """The level to run for the sensors in `mask`, and why in one phrase."""
        self._expire(now_ns)
        insisted = self._insisted()
        if insisted is not None:
            return insisted
        wishes = [self._for_power(), self._for_battery(), self._for_latency(mask, now_ns)]
        level, reason = max(wishes, key=lambda wish: wish[0])
        return level, reason if level else "no limit asks for less"

    def _expire(self, now_ns: int) -> None:
        timeout_s = self.config.timeout_s
        if self._request and timeout_s and now_ns - self._request.at_ns > timeout_s * NS_PER_S:
            self._request = None

    def _insisted(self) -> tuple[int, str] | None:
        request = self._request
        wishes = [(self.config.level, "parameter budget.level")]
        if request:
            wishes.insert(0, (request.level, f"Budget message from {request.source or 'unnamed'}"))
        for level, source in wishes:
            if level >= 0:
                last = len(self._levels) - 1
                cut = f", narrowest is {last}" if level > last else ""
                return min(level, last), f"operator: level {level} by {source}{cut}"
        return None

    def _for_power(self) -> tuple[int, str]:
        limit_w, full_w = self.power_w, self.config.full_power_w
        if not limit_w < full_w:
            return 0, ""
        share = limit_w / full_w
        level = next(
            (index for index, kept in enumerate(self._levels) if kept <= share), len(self._levels) - 1
        )
        return level, f"power: {limit_w:.3g} W of the {full_w:.3g} W that full width is worth"

    def _for_battery(self) -> tuple[int, str]:
        if not self._battery < self.config.min_battery:
            return 0, ""
        return len(self._levels) - 1, f"battery: {self._battery:.0%} is below {self.config.min_battery:.0%}"

    def _for_latency(self, mask: ModalitySet, now_ns: int) -> tuple[int, str]:
        limit_ms = self.latency_ms
        if math.isnan(limit_ms):
            self._latency_level.pop(mask.bits, None)
            return 0, ""
        level = self._fitting(mask, limit_ms)
        current = self._latency_level.get(mask.bits, 0)
        if level > current:
            self._narrowed_at_ns[mask.bits] = now_ns
        elif level < current:
            waiting = now_ns - self._narrowed_at_ns[mask.bits] < _DWELL_NS
            level = (
                current if waiting else max(level, min(current, self._fitting(mask, limit_ms * _HEADROOM)))
            )
        self._latency_level[mask.bits] = level
        full_ms = self._table.get((mask.bits, 0), math.nan)
        return level, f"latency: full width takes {full_ms:.1f} ms, the limit is {limit_ms:.1f} ms"

    def _fitting(self, mask: ModalitySet, limit_ms: float) -> int:
        """The widest level known to meet the limit, else the narrowest."""
        levels = range(len(self._levels))
        fits = (level for level in levels if self._table.get((mask.bits, level), 0.0) <= limit_ms)
        return next(fits, len(self._levels) - 1)

    @staticmethod
    def _stricter(requested: float, configured: float) -> float:
        """The smaller of two limits; NaN and what is not above 0 (a field left empty) are none."""
        limits = [limit for limit in (requested, configured) if limit > 0.0]
        return min(limits, default=math.nan)
