"""What was learned of a stream's timing: its pace and its lag, and what is against them."""

from __future__ import annotations

from collections import deque

from sentryfuse_core.clock import NS_PER_MS, NS_PER_S
from sentryfuse_core.sync.spec import StreamSpec, Timed

__all__ = ["SMALLEST_LEAP_NS", "Timing"]

SMALLEST_LEAP_NS = 20 * NS_PER_MS  # less than this is jitter
_RECENT = 8  # intervals and lags that timing is judged by
_LAG_MEMORY_NS = 10 * NS_PER_S  # the least lag is that of the last 10 to 20 s
_LEAP_INTERVALS = 4  # known before a leap can be told from the stream's own pace
_UNTOLD_LAG_NS = 40 * NS_PER_MS  # ordinary transports differ by less, where the lag was not told
_AHEAD_NS = 30 * NS_PER_MS  # simulated time may come in steps of 25 ms, and a stamp lie that far ahead of it


class Timing:
    """Intervals between stamps in ns, and lags in ns from a stamp to the steady time of its arrival."""

    def __init__(self, spec: StreamSpec) -> None:
        self.intervals_ns: deque[int] = deque(maxlen=_RECENT)
        self.lags_ns: deque[int] = deque(maxlen=_RECENT)
        self._spec = spec
        self._clock_known = False  # whether samples tell when they came by the clock of their stamps
        self._range_ns: tuple[int, int] | None = None  # least and most lag of the running ten seconds, by it
        self._past_range_ns: tuple[int, int] | None = None  # of the ten before
        self._lag_until_ns = 0

    @property
    def period_ns(self) -> int:
        """Expected or learned period; 0: not known yet."""
        if self._spec.period_ns or not self.intervals_ns:
            return self._spec.period_ns
        return sorted(self.intervals_ns)[len(self.intervals_ns) // 2]

    @property
    def longest_period_ns(self) -> int:
        """Expected period, or the longest recent interval; 0: not known yet."""
        return self._spec.period_ns or max(self.intervals_ns, default=0)

    def slop_ns(self, configured_ns: int) -> int:
        """The configured slop, or half of the longest recent interval where that is less.

        The nearest sample of a stream that sends steadily is never further away than that, so the
        smaller slop refuses only what is wrong.
        """
        if not self.intervals_ns:
            return configured_ns
        return min(configured_ns, (max(self.intervals_ns) + 1) // 2)

    @property
    def lag_is_sure(self) -> bool:
        """Whether so many samples came that load can hardly have held all of them up."""
        return len(self.lags_ns) == _RECENT

    def note_lag(self, sample: Timed, now_ns: int) -> None:
        """A sample was taken in."""
        stamp_ns, received_ns = sample.stamp_ns, sample.received_ns
        self.lags_ns.append(now_ns - stamp_ns)
        if (received_ns != 0) is not self._clock_known:
            self._clock_known = received_ns != 0
            self._range_ns = self._past_range_ns = None
        lag_ns = (received_ns or now_ns) - stamp_ns
        if now_ns >= self._lag_until_ns:
            silent = now_ns >= self._lag_until_ns + _LAG_MEMORY_NS
            self._past_range_ns = None if silent else self._range_ns
            self._range_ns = lag_ns, lag_ns
            self._lag_until_ns = now_ns + _LAG_MEMORY_NS
        elif self._range_ns is None:
            self._range_ns = lag_ns, lag_ns
        elif not self._range_ns[0] <= lag_ns <= self._range_ns[1]:
            self._range_ns = min(lag_ns, self._range_ns[0]), max(lag_ns, self._range_ns[1])

    def forget_lags(self) -> None:
        """Stamps do not follow on those before."""
        self.lags_ns.clear()
        self._range_ns = self._past_range_ns = None

    def leaps(self, stamp_ns: int, step_ns: int, now_ns: int) -> bool:
        """Whether a stamp is further on than the stream's pace and the time that passed explain.

        After a gap the arrival steps as well, so a stream that merely comes back does not leap.
        """
        if len(self.intervals_ns) < _LEAP_INTERVALS or not self.lags_ns:
            return False
        pace_ns = max(self.intervals_ns)
        early_ns = min(self.lags_ns) - (now_ns - stamp_ns)
        return step_ns > 2 * pace_ns and early_ns > max(pace_ns, SMALLEST_LEAP_NS)

    def clock_offset_ns(self, anchor: Timing) -> int | None:
        """How much older than the anchor's the stamps of a paired stream are when they arrive, if too much.

        Too much is more than half of its period, when an offset of its clock makes the neighbour look nearer,
        and at least 40 ms unless its lag was told; but more than 30 ms where the messages of one of the two
        come that much sooner than they can, and those of the other do not. None: fine, or nothing to compare.
        """
        known = self._lags_beside(anchor)
        if known is None:
            return None
        lags_ns, anchor_lags_ns = known
        lag_ns = lags_ns[0] - self._spec.expected_lag_ns
        anchor_lag_ns = anchor_lags_ns[0] - anchor._spec.expected_lag_ns
        allowed_ns = self.period_ns // 2
        if not (self._spec.expected_lag_ns and allowed_ns):
            allowed_ns = max(allowed_ns, _UNTOLD_LAG_NS)
        if self._clock_known and min(lag_ns, anchor_lag_ns) < -_AHEAD_NS <= max(lag_ns, anchor_lag_ns):
            allowed_ns = min(allowed_ns, _AHEAD_NS)
        excess_ns = lag_ns - anchor_lag_ns
        return excess_ns if abs(excess_ns) > allowed_ns else None

    def later_than_ns(self, anchor: Timing) -> int | None:
        """How much older than the anchor's the stamps are when they arrive, told or not; None: not known."""
        known = self._lags_beside(anchor)
        if known is None:
            return None
        lags_ns, anchor_lags_ns = known
        return lags_ns[0] - anchor_lags_ns[0]

    def ahead_ns(self, anchor: Timing) -> int | None:
        """How far the stamps lie ahead of their arrival where the anchor's do not; None: they do not.

        Every message of ten seconds and more has to come too soon, since simulated time that comes in steps
        makes some of any stream do so.
        """
        known = self._lags_beside(anchor)
        if known is None or self._past_range_ns is None or not self._clock_known:
            return None
        lags_ns, anchor_lags_ns = known
        return -lags_ns[0] if lags_ns[1] < -_AHEAD_NS <= anchor_lags_ns[0] else None

    def _lags_beside(self, anchor: Timing) -> tuple[tuple[int, int], tuple[int, int]] | None:
        """Both streams' least and most lags by the same clock; None: nothing to compare."""
        lags_ns, anchor_lags_ns = self._lags_ns(), anchor._lags_ns()
        if lags_ns is None or anchor_lags_ns is None or self._clock_known is not anchor._clock_known:
            return None
        return lags_ns, anchor_lags_ns

    def _lags_ns(self) -> tuple[int, int] | None:
        """Least and most time from stamp to receipt in the last 10 to 20 s; None: not known.

        The least is free of jitter and load. Where the clock that stamps are compared with is not known, it
        is measured on the steady one, and only differences between streams mean anything.
        """
        if self._range_ns is None:
            return None
        past_ns = self._past_range_ns or self._range_ns
        return min(self._range_ns[0], past_ns[0]), max(self._range_ns[1], past_ns[1])
