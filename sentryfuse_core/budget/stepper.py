"""Stepper: one level narrower at a time while something is over its limit, and back with patience."""

from __future__ import annotations

from sentryfuse_core.clock import NS_PER_S

__all__ = ["Stepper"]

_RELAPSE_NS = 60 * NS_PER_S  # over the limit again this soon after widening: the wait doubles
_DOUBLINGS = 4


class Stepper:
    """For what is only known by trying: how much power or heat a level saves.

    A step to a narrower level is given `settle_s` to show its effect before the next. A wider one is
    tried after `hold_s` well below the limit without a break; each relapse doubles that, four times.
    """

    def __init__(self, *, last: int, settle_s: float, hold_s: float) -> None:
        self._last = last  # the narrowest level
        self._settle_ns = round(settle_s * NS_PER_S)
        self._first_hold_ns = round(hold_s * NS_PER_S)
        self.reset()

    def reset(self, level: int = 0, now_ns: int | None = None) -> None:
        """Begin anew, or go on from `level`, as after a new limit at `now_ns`."""
        self.level = level
        self._hold_ns = self._first_hold_ns
        self._changed_ns = now_ns
        self._widened_ns: int | None = None
        self._under_ns: int | None = None  # since when it has been well below

    def step(self, now_ns: int, *, over: bool, under: bool) -> int:
        """The level after one more look: over the limit, well under it, or neither."""
        if not under:
            self._under_ns = None
        elif self._under_ns is None:
            self._under_ns = now_ns
        if over and self.level < self._last and self._since(self._changed_ns, now_ns) >= self._settle_ns:
            relapsed = self._since(self._widened_ns, now_ns) < _RELAPSE_NS
            longest_ns = self._first_hold_ns << _DOUBLINGS
            self._hold_ns = min(2 * self._hold_ns, longest_ns) if relapsed else self._first_hold_ns
            self.level += 1
            self._changed_ns = now_ns
        elif self._under_ns is not None and self.level and now_ns - self._under_ns >= self._hold_ns:
            self.level -= 1
            self._changed_ns = self._widened_ns = self._under_ns = now_ns
        return self.level

    @staticmethod
    def _since(then_ns: int | None, now_ns: int) -> float:
        return float("inf") if then_ns is None else now_ns - then_ns
