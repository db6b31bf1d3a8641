"""A steady clock that stops while simulated time stands still."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

__all__ = ["PausableClock"]

_PAUSED_NS = 500_000_000  # /clock unmoved for this long is a pause
_FREE_RUN_NS = 40_000_000  # runs on this far after the last move, less than the shortest sensor timeout


class PausableClock:
    """The machine's monotonic clock, less the time in which `ros_now_ns` did not move.

    Sensors are silent while a simulation is paused. On this clock they do not grow old meanwhile, so
    none is declared lost. After a move it free-runs for 40 ms, then waits; when the next move comes
    within half a second (a /clock of few hertz) it catches up, otherwise the rest was a pause.
    """

    def __init__(
        self, ros_now_ns: Callable[[], int], *, monotonic_ns: Callable[[], int] = time.monotonic_ns
    ) -> None:
        self._ros_now_ns = ros_now_ns
        self._monotonic_ns = monotonic_ns
        self._lock = threading.Lock()
        self._last_ros_ns = ros_now_ns()
        self._moved_ns = monotonic_ns()
        self._paused_ns = 0

    def now_ns(self) -> int:
        """Nanoseconds of unpaused time; never goes back."""
        with self._lock:
            self._follow()
            return self._moved_ns - self._paused_ns + min(self._monotonic_ns() - self._moved_ns, _FREE_RUN_NS)

    @property
    def paused_s(self) -> float:
        """How long simulated time has been standing still; 0 while it moves."""
        with self._lock:
            self._follow()
            still_ns = self._monotonic_ns() - self._moved_ns
        return still_ns / 1e9 if still_ns > _PAUSED_NS else 0.0

    def _follow(self) -> None:
        ros_ns = self._ros_now_ns()
        if ros_ns == self._last_ros_ns:
            return
        now_ns = self._monotonic_ns()
        still_ns = now_ns - self._moved_ns
        if still_ns > _PAUSED_NS:
            self._paused_ns += still_ns - _FREE_RUN_NS
        self._last_ros_ns, self._moved_ns = ros_ns, now_ns
