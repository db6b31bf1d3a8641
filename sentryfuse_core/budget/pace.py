"""PaceLimit: narrower while sets are skipped because one takes too long, wider again once there is time."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from statistics import median

from sentryfuse_core.budget.load import LoadModel
from sentryfuse_core.budget.stepper import Stepper
from sentryfuse_core.budget.wish import NO_WISH, Wish
from sentryfuse_core.clock import NS_PER_MS, NS_PER_S

__all__ = ["PACE", "PaceLimit", "too_many"]

PACE = "pace:"  # how its reasons for a level begin

_WINDOW_NS = 5 * NS_PER_S
_FEWEST = 3  # sets lost: a single one is a hiccup
_SHARE = 0.05  # of the sets that may be lost
_LEAST = 10  # sets offered before the level is changed for it
_HEADROOM = 0.85  # a wider level has to leave this much of the time between two sets
_SETTLE_S = 2.0  # between two steps, for the narrower level to show its effect
_HOLD_S = 5.0


def too_many(lost: int, offered: int) -> bool:
    """Whether that many of the sets offered within a few seconds may not be lost."""
    return lost >= _FEWEST and lost > _SHARE * offered


@dataclass(frozen=True)
class _Handled:
    """One set that was handled."""

    at_ns: int
    skipped: int  # sets that were given up for it
    busy_ms: float  # from its begin until the worker was free again
    work: int  # `work_key` of the sensors that were there, whichever of them ran
    level: int


class PaceLimit:
    """Goes by what was skipped and by the time that sets take; knows nothing where sets are never skipped.

    One level narrower, at most every two seconds, while more than a twentieth of the sets of the last five
    seconds were skipped. One level wider after five seconds in which none was and the wider level,
    by the load model, would have left time to spare; each relapse within a minute doubles these five.
    """

    def __init__(self, levels: int, model: LoadModel) -> None:
        self._model = model
        self._stepper = Stepper(last=levels - 1, settle_s=_SETTLE_S, hold_s=_HOLD_S)
        self._handled: deque[_Handled] = deque()
        self._reason = ""

    def observe(self, now_ns: int, *, skipped: int, busy_ms: float, work: int, level: int) -> None:
        """Take one set that was handled until `now_ns`, on a clock of its own, after `skipped` were not."""
        handled = self._handled
        handled.append(_Handled(now_ns, skipped, busy_ms, work, level))
        while handled[0].at_ns < now_ns - _WINDOW_NS:
            handled.popleft()
        before = self._stepper.level
        lost = sum(item.skipped for item in handled)
        offered = len(handled) + lost
        over = offered >= _LEAST and too_many(lost, offered)
        period_ms = (now_ns - handled[0].at_ns) / NS_PER_MS / max(1, offered - 1)
        wider_ms = self._wider_ms(before)
        fits = len(handled) >= _LEAST and wider_ms <= _HEADROOM * period_ms
        level_now = self._stepper.step(now_ns, over=over, under=not lost and fits)
        if level_now > before:
            self._reason = f"{PACE} {lost} of {offered} sets were skipped at level {level}"
        elif over:
            self._reason = f"{PACE} {lost} of {offered} sets are skipped even at level {level}"
        elif level_now and len(handled) >= _LEAST:
            wider = f"level {level_now - 1}" if level_now > 1 else "full width"
            self._reason = (
                f"{PACE} {wider} takes {wider_ms:.0f} ms of the {period_ms:.0f} ms between two sets"
            )
            if fits:
                self._reason += ", it comes back if that lasts"
        if level_now != before:
            handled.clear()

    def wish(self) -> Wish:
        """The level that keeps up."""
        level = self._stepper.level
        return Wish(level, self._reason) if level else NO_WISH

    def reset(self) -> None:
        """Forget what was: nobody wants the pace kept."""
        self._stepper.reset()
        self._handled.clear()

    def _wider_ms(self, level: int) -> float:
        """What a set would take at the level next to `level`, with the load of now."""
        now, wider = self._model.now, max(0, level - 1)
        return median(
            item.busy_ms
            - self._model.time_ms((item.work, item.level), now)
            + self._model.time_ms((item.work, wider), now)
            for item in self._handled
        )
