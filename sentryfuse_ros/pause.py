"""A steady clock that runs with simulated time: slower, faster, or not at all."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

__all__ = ["SimulatedClock"]

_PAUSED_NS = 500_000_000  # /clock unmoved for this long is a pause
_LEAP_NS = 500_000_000  # a longer step is no time that passed: the first /clock, a recording wound forward


class SimulatedClock:
    """The sum of the steps that `ros_now_ns` takes forward; a step back and a leap count nothing.

    Sensors are silent while a simulation is paused, and slow while it is slow. On this clock none grows old
    by that. A step is not taken at once but over the time that the step before it took, so that a /clock of
    few hertz does not make a sensor of many silent in one leap.
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

    def now_ns(self) -> int:
        """Nanoseconds of simulated time; never goes back."""
        with self._lock:
            now_ns = self._follow()
            step_ns, since_ns = self._sum_ns - self._before_ns, now_ns - self._moved_ns
            return self._before_ns + step_ns * min(since_ns, self._step_takes_ns) // self._step_takes_ns

    @property
    def paused_s(self) -> float:
        """How long simulated time has been standing still, in s of the machine's time; 0 while it moves."""
        with self._lock:
            still_ns = self._follow() - self._moved_ns
        return still_ns / 1e9 if still_ns > _PAUSED_NS else 0.0

    def _follow(self) -> int:
        now_ns, ros_ns = self._monotonic_ns(), self._ros_now_ns()
        if ros_ns != self._ros_ns:
            step_ns = ros_ns - self._ros_ns
            self._before_ns = self._sum_ns
            self._sum_ns += step_ns if 0 < step_ns <= _LEAP_NS else 0
            self._step_takes_ns = min(max(1, now_ns - self._moved_ns), _PAUSED_NS)
            self._ros_ns, self._moved_ns = ros_ns, now_ns
        return now_ns
