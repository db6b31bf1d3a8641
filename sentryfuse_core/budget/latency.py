"""LatencyLimit: the widest level that meets the deadline, given up fast and taken back slowly."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field

from sentryfuse_core.budget.load import WINDOW, LoadModel
from sentryfuse_core.budget.wish import NO_WISH, Wish

__all__ = ["LatencyLimit"]

_HEADROOM = 0.9  # a level that is changed to takes at most this share of the deadline
_MISSES, _MISSES_WITHIN = 3, 300  # 1 %: more is an error in the diagnostics
_DOUBTFUL = 10  # a level that fits without headroom waits this many times as long
_RELAPSE = 10 * WINDOW  # narrowed again within this many inferences after widening: the wait doubles
_LONGEST_WAIT = 16 * WINDOW


@dataclass
class _Held:
    """Where one set of sensors stands; counts are of inferences."""

    level: int
    wait: int = 0  # after narrowing, before a wider level may come back
    narrowed: int = 0
    widened: int | None = None
    # The last misses at this level: when, and at which slow-down.
    missed: deque[tuple[int, float]] = field(default_factory=lambda: deque(maxlen=_MISSES))

    def move(self, level: int) -> None:
        """Change the level; what it missed goes with it."""
        self.level = level
        self.missed.clear()


class LatencyLimit:
    """Per set of sensors a level, over a load model common to all.

    Narrower, at once: when two of the last three inferences were too slow for the level in use, or when
    that level missed the deadline three times in 300. Wider: when at most one of the last 50 would have
    been too slow for the wider level with a tenth to spare, and not within 50 inferences after
    narrowing; without the tenth, not within 500. Each relapse doubles both, up to 800 and 8,000. A new
    limit does not wait. Single inferences that no level would have made in time are no reason for any
    change.
    """

    def __init__(self, levels: int) -> None:
        self.model = LoadModel()
        self._levels = range(levels)
        self._limit_ms = math.nan
        self._held: dict[int, _Held] = {}  # by `work_key`

    def wish(self, bits: int, limit_ms: float) -> Wish:
        """The level for the work `bits` (`work_key`); `limit_ms` is for one set, NaN: none."""
        if limit_ms != self._limit_ms:
            self._limit_ms = limit_ms
            for known in self._held.values():
                known.wait = 0
                known.missed.clear()
        if math.isnan(limit_ms):
            self._held.clear()
            return NO_WISH
        held = self._held.setdefault(bits, _Held(self._levels[-1]))
        self._narrow(bits, held)
        pending = self._widen(bits, held)
        widest = self._widest(bits)
        return (
            NO_WISH if held.level <= widest else Wish(held.level, self._reason(bits, held, widest, pending))
        )

    def observe(self, bits: int, level: int, infer_ms: float) -> None:
        """Take one measured set; a miss that another level would have made is remembered."""
        self.model.observe((bits, level), infer_ms)
        held = self._held.get(bits)
        if held is None or level != held.level or not infer_ms > self._limit_ms:
            return
        slow_down = infer_ms / self.model.time_ms((bits, level), 1.0)
        if slow_down <= self._hopeless(bits):
            held.missed.append((self.model.count, slow_down))

    def _narrow(self, bits: int, held: _Held) -> None:
        model = self.model
        slow_down = model.now
        if len(held.missed) == _MISSES and model.count - held.missed[0][0] < _MISSES_WITHIN:
            slow_down = max(slow_down, min(missed for _, missed in held.missed))
        if model.time_ms((bits, held.level), slow_down) <= self._limit_ms:
            return
        level = self._within(bits, slow_down, _HEADROOM)
        if level is None:  # nothing leaves headroom: the fastest is the best chance
            level = min(self._levels, key=lambda level: model.time_ms((bits, level), 1.0))
        if level == held.level:
            return
        relapsed = held.widened is not None and model.count - held.widened < _RELAPSE
        held.wait = min(max(2 * held.wait, WINDOW), _LONGEST_WAIT) if relapsed else WINDOW
        held.move(level)
        held.narrowed = model.count

    def _widen(self, bits: int, held: _Held) -> str:
        """Go back to a wider level if one fits and the wait is over; else say which will come when."""
        slow_down, waited = self._slow_down(bits), self.model.count - held.narrowed
        for share, wait in ((_HEADROOM, held.wait), (1.0, _DOUBTFUL * max(held.wait, WINDOW))):
            level = self._within(bits, slow_down, share)
            if level is None or level >= held.level:
                continue
            if waited < wait:
                return f"; level {level} comes back after {wait - waited} more in time"
            held.move(level)
            held.widened = self.model.count
        return ""

    def _slow_down(self, bits: int) -> float:
        """The slow-down now, or if larger the second-worst lately that some level would meet."""
        return max(self.model.now, self.model.worst(2, up_to=self._hopeless(bits)))

    def _hopeless(self, bits: int) -> float:
        """The slow-down above which no level meets the deadline."""
        fastest_ms = min(self.model.time_ms((bits, level), 1.0) for level in self._levels)
        return self._limit_ms / fastest_ms if fastest_ms else math.inf

    def _within(self, bits: int, slow_down: float, share: float) -> int | None:
        """The widest level that takes at most this share of the deadline; None: there is none."""
        limit_ms, model = self._limit_ms * share, self.model
        fitting = (level for level in self._levels if model.time_ms((bits, level), slow_down) <= limit_ms)
        return next(fitting, None)

    def _widest(self, bits: int) -> int:
        """The widest level that can run at all: what is not loaded has an infinite time."""
        return next((level for level in self._levels if self.model.time_ms((bits, level), 1.0) < math.inf), 0)

    def _reason(self, bits: int, held: _Held, widest: int, pending: str) -> str:
        model, limit_ms, slow_down = self.model, self._limit_ms, self._slow_down(bits)
        name = f"level {widest}" if widest else "full width"
        text = f"latency: {name} takes {model.time_ms((bits, widest), slow_down):.1f} ms"
        if not 0.9 < slow_down < 1.1:
            text += f" ({slow_down:.1f} x warm-up)"
        text += f", the limit is {limit_ms:.1f} ms"
        here_ms = model.time_ms((bits, held.level), slow_down)
        if here_ms > limit_ms:
            return f"{text}; no level meets it, level {held.level} takes {here_ms:.1f} ms"
        return text + pending
