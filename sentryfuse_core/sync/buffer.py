"""The samples of one stream in order of their stamps, bounded, and what was learned of its timing."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter, deque
from enum import Enum

from sentryfuse_core.sync import match
from sentryfuse_core.sync.spec import Limits, StreamSpec
from sentryfuse_core.types import Sample

__all__ = ["NOTED", "Stream", "Verdict", "stamp_fault"]

NOTED = frozenset({"late", "out_of_order", "rebased", "went_back"})  # counted, but not therefore dropped

_RECENT = 8  # intervals and lags that timing is judged by
_MAX_PAIRED = 64  # samples of a camera or lidar kept at most
_MAX_WINDOW = 8192  # samples of an IMU or microphone kept at most


class Verdict(Enum):
    """What became of a message."""

    IN_ORDER = "in_order"
    REORDERED = "reordered"  # older than the newest, but taken in
    WENT_BACK = "went_back"  # in quarantine
    REBASED = "rebased"  # the stream's new time is believed from this message on
    REJECTED = "rejected"


def stamp_fault(sample: Sample, max_future_ns: int) -> str | None:
    """Why a stamp cannot be right whatever else has come: 'negative', 'future' or None.

    Simulated time that has not begun (0) tells nothing of the future.
    """
    if sample.stamp_ns < 0:
        return "negative"
    if sample.received_ns and sample.stamp_ns - sample.received_ns > max_future_ns:
        return "future"
    return None


class Stream:
    """One sensor's samples and timing.

    `counters` counts by reason: negative, future, duplicate, out_of_order, went_back, late, overflow,
    rebased, not_believed. Those in NOTED may still be used, all others are dropped.
    """

    def __init__(self, spec: StreamSpec, limits: Limits, *, bit: int = 0) -> None:
        self.spec = spec
        self.bit = bit  # of the sensor in a mask
        self.counters: Counter[str] = Counter()
        self.stamps_ns: list[int] = []
        self.samples: list[Sample] = []
        self.newest_ns: int | None = None
        self.arrival_ns: int | None = None  # steady time of the newest message that was taken in; None: never
        self.rebased_ns: int | None = None  # steady time of the last re-base
        self._limits = limits
        self._span_ns = max(limits.buffer_ns, 2 * spec.window_ns)
        self._capacity = _MAX_WINDOW if spec.window_ns else _MAX_PAIRED
        self._intervals_ns: deque[int] = deque(maxlen=_RECENT)
        self._lags_ns: deque[int] = deque(maxlen=_RECENT)
        self._watermark_ns: int | None = None  # older stamps are of no use any more, or were used
        self._back: list[Sample] = []  # run of rising stamps older than the newest
        self._quarantine: list[Sample] = []  # those of the run that are not in `samples`

    def admit(self, sample: Sample, now_ns: int) -> Verdict:
        """Take the sample in, put it in quarantine or reject it; counts why. `now_ns` is steady time."""
        stamp_ns = sample.stamp_ns
        fault = stamp_fault(sample, self._limits.max_future_ns)
        if fault is not None:
            self.counters[fault] += 1
            return Verdict.REJECTED
        newest_ns = self.newest_ns
        if newest_ns is not None and stamp_ns <= newest_ns:
            return self._admit_older(sample, newest_ns, now_ns)
        if newest_ns is not None:
            self._intervals_ns.append(stamp_ns - newest_ns)
        if self._back:
            self._end_run()
        self.newest_ns = stamp_ns
        self.stamps_ns.append(stamp_ns)
        self.samples.append(sample)
        self._touch(stamp_ns, now_ns)
        if self.stamps_ns[0] <= stamp_ns - self._span_ns or len(self.stamps_ns) > self._capacity:
            self._bound()
        return Verdict.IN_ORDER

    @property
    def quarantined(self) -> int:
        """Messages in a row whose stamps went back too far to be taken in."""
        return len(self._quarantine)

    @property
    def period_ns(self) -> int:
        """Expected or learned period; 0: not known yet."""
        if self.spec.period_ns or not self._intervals_ns:
            return self.spec.period_ns
        return sorted(self._intervals_ns)[len(self._intervals_ns) // 2]

    def slop_ns(self, configured_ns: int) -> int:
        """The configured slop, or half of the longest recent interval where that is less.

        The nearest sample of a stream that sends steadily is never further away than that, so the
        smaller slop refuses only what is wrong.
        """
        if not self._intervals_ns:
            return configured_ns
        return min(configured_ns, (max(self._intervals_ns) + 1) // 2)

    def settled(self, moment_ns: int, *, slop_ns: int, deadline_ns: int) -> bool:
        """Whether nothing that can still come before `deadline_ns` improves this stream's part of the set."""
        if self.newest_ns is None or self.arrival_ns is None:
            return False
        reach_ns, closer = 0, False
        if not self.spec.window_ns:
            index = match.nearest(self.stamps_ns, moment_ns, slop_ns)
            closer = index is not None
            reach_ns = slop_ns if index is None else abs(self.stamps_ns[index] - moment_ns)
        return match.settled(
            moment_ns,
            newest_ns=self.newest_ns,
            shortest_interval_ns=min(self._intervals_ns, default=0),
            lag_ns=min(self._lags_ns),
            reach_ns=reach_ns,
            closer=closer,
            deadline_ns=deadline_ns,
        )

    def select(self, moment_ns: int, slop_ns: int) -> tuple[Sample, ...]:
        """The samples that belong to the moment: the nearest one, or all of the window. May be empty."""
        if self.spec.window_ns:
            return tuple(self.samples[match.window(self.stamps_ns, moment_ns, self.spec.window_ns)])
        index = match.nearest(self.stamps_ns, moment_ns, slop_ns)
        return () if index is None else (self.samples[index],)

    def first_after(self, floor_ns: int | None) -> Sample | None:
        """The oldest sample with a stamp above `floor_ns`; the oldest of all for None."""
        index = 0 if floor_ns is None else bisect_right(self.stamps_ns, floor_ns)
        return self.samples[index] if index < len(self.samples) else None

    def forget_before(self, oldest_ns: int) -> None:
        """Drop samples with stamps below `oldest_ns`."""
        index = bisect_left(self.stamps_ns, oldest_ns)
        del self.stamps_ns[:index], self.samples[:index]
        if self._watermark_ns is None or oldest_ns > self._watermark_ns:
            self._watermark_ns = oldest_ns

    def rebase(self, now_ns: int) -> None:
        """Believe the time that the stream went back to; what it said before is dropped."""
        newest_ns = self._back[-1].stamp_ns
        kept = bisect_right(self.stamps_ns, newest_ns)
        del self.stamps_ns[kept:], self.samples[kept:]
        self._watermark_ns = None
        for sample in self._quarantine:
            self._insert(sample)
        self._back.clear()
        self._quarantine.clear()
        self._lags_ns.clear()
        self.newest_ns = newest_ns
        self._touch(newest_ns, now_ns)
        self.rebased_ns = now_ns
        self.counters["rebased"] += 1
        self._bound()

    def clear(self) -> None:
        """Forget samples and the stamps they had; what was learned of the timing stays, lags apart."""
        self.stamps_ns.clear()
        self.samples.clear()
        self._back.clear()
        self._quarantine.clear()
        self._lags_ns.clear()
        self._watermark_ns = None
        self.newest_ns = None

    def _admit_older(self, sample: Sample, newest_ns: int, now_ns: int) -> Verdict:
        stamp_ns = sample.stamp_ns
        index = bisect_left(self.stamps_ns, stamp_ns)
        known = index < len(self.stamps_ns) and self.stamps_ns[index] == stamp_ns
        if stamp_ns == newest_ns or known or (self._back and self._back[-1].stamp_ns == stamp_ns):
            self.counters["duplicate"] += 1
            return Verdict.REJECTED
        if self._back and stamp_ns < self._back[-1].stamp_ns:
            self._end_run()
        self._back.append(sample)
        went_back = newest_ns - stamp_ns > self._limits.jump_back_ns
        self.counters["went_back" if went_back else "out_of_order"] += 1
        if went_back:
            self._quarantine.append(sample)
        elif self._watermark_ns is None or stamp_ns >= self._watermark_ns:
            self._insert(sample)
            self._touch(stamp_ns, now_ns)
            if len(self.stamps_ns) > self._capacity:
                self._bound()
        if len(self._back) >= self._limits.rebase_messages:
            self.rebase(now_ns)
            return Verdict.REBASED
        return Verdict.WENT_BACK if went_back else Verdict.REORDERED

    def _end_run(self) -> None:
        """The stream did not stay in the time it went back to: drop what is in quarantine."""
        if self._quarantine:
            self.counters["not_believed"] += len(self._quarantine)
        self._back.clear()
        self._quarantine.clear()

    def _touch(self, stamp_ns: int, now_ns: int) -> None:
        self.arrival_ns = now_ns
        self._lags_ns.append(now_ns - stamp_ns)

    def _insert(self, sample: Sample) -> None:
        index = bisect_left(self.stamps_ns, sample.stamp_ns)
        self.stamps_ns.insert(index, sample.stamp_ns)
        self.samples.insert(index, sample)

    def _bound(self) -> None:
        if self.stamps_ns:
            self.forget_before(self.stamps_ns[-1] - self._span_ns + 1)
        excess = len(self.stamps_ns) - self._capacity
        if excess > 0:
            self.counters["overflow"] += excess
            del self.stamps_ns[:excess], self.samples[:excess]
