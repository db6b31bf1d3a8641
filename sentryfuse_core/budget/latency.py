"""LatencyLimit: the widest level that meets the deadline, given up fast and taken back slowly."""

from __future__ import annotations

import math
from dataclasses import dataclass

from sentryfuse_core.budget.load import WINDOW, LoadModel
from sentryfuse_core.budget.wish import NO_WISH, Wish
from sentryfuse_core.types import ModalitySet

__all__ = ["LatencyLimit"]

_HEADROOM = 0.9  # a level that is changed to takes at most this share of the deadline
_RELAPSE = 10 * WINDOW  # narrowed again within this many inferences after widening: the wait doubles
_LONGEST_WAIT = 16 * WINDOW


@dataclass
class _Held:
    """Where one set of sensors stands; counts are of inferences."""

    level: int
    wait: int = 0  # after narrowing, before a wider level may come back
    narrowed: int = 0
    widened: int | None = None


class LatencyLimit:
    """Per set of sensors a level, over a load model common to all.

    Narrower, at once: when two of the last three inferences were too slow for the level in use, or
    three of the last 50. Wider: when at most one of the last 50 would have been too slow for the wider
    level with a tenth to spare, and not within 50 inferences after narrowing; each relapse doubles
    those, up to 800. A new limit does not wait.
    """

    def __init__(self, levels: int) -> None:
        self.model = LoadModel()
        self._levels = range(levels)
        self._limit_ms = math.nan
        self._held: dict[int, _Held] = {}  # by mask bits

    def wish(self, mask: ModalitySet, limit_ms: float) -> Wish:
        """The level for the sensors in `mask`; `limit_ms` is for one inference, NaN: none."""
        if limit_ms != self._limit_ms:
            self._limit_ms = limit_ms
            for known in self._held.values():
                known.wait = 0
        if math.isnan(limit_ms):
            self._held.clear()
            return NO_WISH
        model, bits = self.model, mask.bits
        held = self._held.setdefault(bits, _Held(self._levels[-1]))
        slow_down = max(model.now, model.worst(3))
        if model.time_ms((bits, held.level), slow_down) > limit_ms:
            self._narrow(bits, held, slow_down)
        wider = self._spacious(bits, model.worst(2))
        waiting = held.wait - (model.count - held.narrowed)
        if wider is not None and wider < held.level and waiting <= 0:
            held.level, held.widened = wider, model.count
        return Wish(held.level, self._reason(bits, held, slow_down, wider))

    def _narrow(self, bits: int, held: _Held, slow_down: float) -> None:
        level = self._spacious(bits, slow_down)
        if level is None:  # nothing leaves headroom: the fastest is the best chance
            level = min(self._levels, key=lambda level: self.model.time_ms((bits, level), slow_down))
        if level == held.level:
            return
        count = self.model.count
        relapsed = held.widened is not None and count - held.widened < _RELAPSE
        held.wait = min(max(2 * held.wait, WINDOW), _LONGEST_WAIT) if relapsed else WINDOW
        held.level, held.narrowed = level, count

    def _spacious(self, bits: int, slow_down: float) -> int | None:
        """The widest level that leaves headroom; None: there is none."""
        limit_ms, model = self._limit_ms * _HEADROOM, self.model
        return next(
            (level for level in self._levels if model.time_ms((bits, level), slow_down) <= limit_ms), None
        )

    def _reason(self, bits: int, held: _Held, slow_down: float, wider: int | None) -> str:
        if not held.level:
            return ""
        model, limit_ms = self.model, self._limit_ms
        text = f"latency: full width takes {model.time_ms((bits, 0), slow_down):.1f} ms"
        if not 0.9 < slow_down < 1.1:
            text += f" ({slow_down:.1f} x warm-up)"
        text += f", the limit is {limit_ms:.1f} ms"
        here_ms = model.time_ms((bits, held.level), slow_down)
        if here_ms > limit_ms:
            return f"{text}; no level meets it, level {held.level} takes {here_ms:.1f} ms"
        if wider is not None and wider < held.level:
            left = held.wait - (model.count - held.narrowed)
            return f"{text}; level {wider} comes back after {left} more in time"
        return text
