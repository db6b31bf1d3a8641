"""A steady clock that runs with simulated time: slower, faster, or not at all."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

__all__ = ["SimulatedClock"]

_PAUSED_NS = 500_000_000  # /clock unmoved for this long is a pause, unless its own pace is slower
_PAUSED_PERIODS = 2.5  # of a slow /clock, until its standing still is a pause
_SLOWEST_NS = 2_000_000_000  # longest period of the machine's time that is taken for the pace of a /clock
_SHORT_NS = 500_000_000  # a step up to this is time that passed, whatever came before
_ALIKE = 2  # a longer step is, too, where the one before it was at most this much longer or shorter


class SimulatedClock:
    """The sum of the steps that `ros_now_ns` takes forward; a step back and a leap count nothing.

    Sensors are silent while a simulation is paused, and slow while it is slow. On this clock none grows old
    by that. A step is not taken at once but over the time that the step before it took, so that a /clock of
    few hertz does not make a sensor of many silent in one leap. What tells a leap (the first /clock, a
    recording wound forward) from the step of a slow /clock is that the slow one makes another like it.
    """

    def __init__(
        self, ros_now_ns: Callable[[], int], *, monotonic_ns: Callable[[], int] = time.monotonic_ns
    ) -> None:
        self._ros_now_ns = ros_now_ns
        self._monotonic_ns = monotonic_ns
        self._lock = threading.Lock()
        self._ros_ns = ros_now_ns()
        self._moved_ns = monotonic_ns()  # machine's time of the last step
        self._before_ns = 0  # sum without the last step
        self._sum_ns = 0
        self._step_takes_ns = 1  # machine's time
        self._forward_ns = 0  # the last step forward, believed or not
        self._periods_ns = (0, 0)  # machine's time between the last three steps

    def now_ns(self) -> int:
        """Nanoseconds of simulated time; never goes back."""
        with self._lock:
            now_ns = self._follow()
            return self._before_ns + self._taken_ns(now_ns)

    def ros_now_ns(self) -> int:
        """ROS time as it runs on between two messages of /clock, by at most one step ahead of the last.

        What comes meanwhile is compared with this: with the last /clock, sensors of a slow one lie in the
        future. 0 as long as there is none.
        """
        with self._lock:
            taken_ns = self._taken_ns(self._follow())
            return self._ros_ns + taken_ns

    @property
    def paused_s(self) -> float:
        """How long simulated time has been standing still, in s of the machine's time; 0 while it moves."""
        with self._lock:
            still_ns = self._follow() - self._moved_ns
            pace_ns = min(*self._periods_ns, _SLOWEST_NS)
        return still_ns / 1e9 if still_ns > max(_PAUSED_NS, _PAUSED_PERIODS * pace_ns) else 0.0

    def _taken_ns(self, now_ns: int) -> int:
        """How much of the last step has been taken at the machine's time `now_ns`."""
        step_ns, since_ns = self._sum_ns - self._before_ns, now_ns - self._moved_ns
        return step_ns * min(since_ns, self._step_takes_ns) // self._step_takes_ns

    def _follow(self) -> int:
        now_ns, ros_ns = self._monotonic_ns(), self._ros_now_ns()
        if ros_ns != self._ros_ns:
            step_ns, period_ns = ros_ns - self._ros_ns, max(1, now_ns - self._moved_ns)
            self._before_ns = self._sum_ns
            self._sum_ns += step_ns if self._is_time(step_ns) else 0
            longest_ns = max(_PAUSED_NS, min(self._periods_ns[1], _SLOWEST_NS))
            self._step_takes_ns = min(period_ns, longest_ns)
            self._periods_ns = (self._periods_ns[1], period_ns)
            if step_ns > 0:
                self._forward_ns = step_ns
            self._ros_ns, self._moved_ns = ros_ns, now_ns
        return now_ns

    def _is_time(self, step_ns: int) -> bool:
        """Whether time has passed by a step, rather than having been set."""
        if step_ns <= _SHORT_NS:
            return step_ns > 0
        return self._forward_ns <= _ALIKE * step_ns and step_ns <= _ALIKE * self._forward_ns
