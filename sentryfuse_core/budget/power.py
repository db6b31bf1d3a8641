"""PowerLimit: on measured power where there is a reading, else in proportion to what full width is worth."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence

from sentryfuse_core.budget.readings import STALE_NS, MachineReading
from sentryfuse_core.budget.stepper import Stepper
from sentryfuse_core.budget.wish import NO_WISH, Wish

__all__ = ["PowerLimit"]

_HEADROOM = 0.9  # a wider level is tried when at most this share of the limit is drawn
_SETTLE_S = 3.0  # one step of level, then this long to see what it saved
_HOLD_S = 5.0
_AVERAGED = 3  # readings


class PowerLimit:
    """A limit begins at the level in proportion to it; readings lead on from there, until they end."""

    def __init__(self, levels: Sequence[float]) -> None:
        """`levels`: share of the network's units that each level keeps."""
        self._levels = levels
        self._stepper = Stepper(last=len(levels) - 1, settle_s=_SETTLE_S, hold_s=_HOLD_S)
        self._limit_w = math.nan
        self._readings: deque[float] = deque(maxlen=_AVERAGED)
        self._read_ns = -1  # time of the last reading taken in

    def wish(self, limit_w: float, full_w: float, machine: MachineReading, now_ns: int) -> Wish:
        """The level for `limit_w` (NaN: none); `machine.power_w` NaN: not measured."""
        if math.isnan(limit_w):
            self._limit_w = math.nan
            return NO_WISH
        if limit_w != self._limit_w:
            self._limit_w = limit_w
            self._stepper.reset(self._proportional(limit_w / full_w), now_ns)
        if math.isnan(machine.power_w):
            if self._readings and now_ns - self._read_ns <= STALE_NS:  # one that failed says nothing new
                text = f"power: {limit_w:.3g} W, by what was measured a moment ago"
                return Wish(self._stepper.level, f"{text} (now: {machine.no_power})")
            self._readings.clear()
            return self._unmeasured(limit_w, full_w, machine.no_power, now_ns)
        if machine.at_ns != self._read_ns:
            self._read_ns = machine.at_ns
            self._readings.append(machine.power_w)
        drawn_w = sum(self._readings) / len(self._readings)
        level = self._stepper.step(now_ns, over=drawn_w > limit_w, under=drawn_w <= limit_w * _HEADROOM)
        text = f"power: measured {drawn_w:.1f} W of {limit_w:.3g} W by {machine.power_source}"
        if level and drawn_w <= limit_w:
            text += f"; level {level - 1} is tried below {limit_w * _HEADROOM:.1f} W"
        return Wish(level, text)

    def _unmeasured(self, limit_w: float, full_w: float, why: str, now_ns: int) -> Wish:
        level = self._proportional(limit_w / full_w)
        self._stepper.reset(level, now_ns)
        text = f"power: {limit_w:.3g} W of the {full_w:.3g} W that full width is worth"
        return Wish(level, f"{text} (not measured: {why})")

    def _proportional(self, share: float) -> int:
        """The widest level that keeps at most this share of the network; level 0 from the whole on."""
        last = len(self._levels) - 1
        return next((index for index, kept in enumerate(self._levels) if kept <= share), last)
