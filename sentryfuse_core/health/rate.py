"""The rate of one sensor: what it should be, given or learned within bounds, and what it is."""

from __future__ import annotations

from sentryfuse_core.clock import NS_PER_S

__all__ = ["RateMeter"]

_LEARN_INTERVALS = 10
_LEARN_NS = NS_PER_S
_LONGEST_PERIOD_NS = 10 * NS_PER_S  # a longer step between two stamps is a gap, not a period
_FASTER = 0.8  # a period learned later counts only if this much shorter: slowing down teaches nothing
_WINDOW_NS = 2 * NS_PER_S
_WINDOW_INTERVALS = 10


class RateMeter:
    """Measures over windows of at least two seconds and ten messages."""

    def __init__(self, expected_rate_hz: float) -> None:
        self.given = expected_rate_hz > 0
        self.rate_hz = 0.0
        self._expected_ns = round(NS_PER_S / expected_rate_hz) if self.given else 0
        self._period_ns = self._expected_ns
        self._resumes = False  # whether the first step that was learned from spans a silence
        self._learned_sum_ns = 0
        self._learned_intervals = 0
        self._window_ns = 0  # mean step of the last window that was learned from
        self._window_start_ns: int | None = None
        self._window_intervals = 0
        self._arrival_ns = 0

    @property
    def period_ns(self) -> int:
        """Given period, or that of what came since the sensor last fell silent; 0: not known yet.

        Before one is learned it is the mean of what came.
        """
        if self._period_ns or not self._learned_intervals:
            return self._period_ns or self._window_ns
        return self._learned_sum_ns // self._learned_intervals

    @property
    def expected_hz(self) -> float:
        """Given or learned rate, the fastest so far; 0: not known yet."""
        return NS_PER_S / self._expected_ns if self._expected_ns else 0.0

    @property
    def current_hz(self) -> float:
        """Rate of the last full window, or of what the first one holds so far; 0: silent."""
        if self.rate_hz or not self._window_intervals or self._window_start_ns is None:
            return self.rate_hz
        elapsed_ns = self._arrival_ns - self._window_start_ns
        return self._window_intervals * NS_PER_S / elapsed_ns if elapsed_ns > 0 else 0.0

    def learn(self, interval_ns: int) -> None:
        """Take in the step between the stamps of two messages in order.

        Messages are counted over time, so bursts do no harm, and two windows have to agree: the slower
        one is believed, as a window that begins between two bursts may hold one too many.
        """
        if self.given or not 0 < interval_ns <= _LONGEST_PERIOD_NS:
            return
        if self._resumes and self._learned_intervals == 1:  # now there is a better one to go by
            self._learned_sum_ns = self._learned_intervals = 0
            self._resumes = False
        self._learned_sum_ns += interval_ns
        self._learned_intervals += 1
        if self._learned_intervals < _LEARN_INTERVALS or self._learned_sum_ns < _LEARN_NS:
            return
        mean_ns = self._learned_sum_ns // self._learned_intervals
        before_ns, self._window_ns = self._window_ns, mean_ns
        agreed_ns = max(mean_ns, before_ns)
        if before_ns and (not self._period_ns or agreed_ns < _FASTER * self._period_ns):
            self._period_ns = agreed_ns
            self._expected_ns = min(agreed_ns, self._expected_ns or agreed_ns)
        self._learned_sum_ns = self._learned_intervals = 0

    def arrived(self, now_ns: int) -> bool:
        """Count one message at steady time `now_ns`; True when a window is full and `rate_hz` is new."""
        self._arrival_ns = now_ns
        if self._window_start_ns is None:
            self._window_start_ns = now_ns
            return False
        self._window_intervals += 1
        elapsed_ns = now_ns - self._window_start_ns
        if elapsed_ns < _WINDOW_NS or self._window_intervals < _WINDOW_INTERVALS:
            return False
        self.rate_hz = self._window_intervals * NS_PER_S / elapsed_ns
        self._window_start_ns = now_ns
        self._window_intervals = 0
        return True

    def interrupted(self) -> None:
        """Nobody counted for a while: what was counted so far says nothing, the last rate still holds."""
        self._learned_sum_ns = self._learned_intervals = 0
        self._window_start_ns = None
        self._window_intervals = 0

    def stopped(self) -> None:
        """The sensor fell silent: measure afresh when it comes back, which may be at another pace.

        What rate is expected stays, so that one that comes back slower is told.
        """
        if not self.given:
            self._period_ns = self._window_ns = self._learned_sum_ns = self._learned_intervals = 0
            self._resumes = True
        self.rate_hz = 0.0
        self._window_start_ns = None
        self._window_intervals = 0
