"""The samples of one stream in order of their stamps, bounded: what is taken in, and what is not believed."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable
from enum import Enum
from typing import Generic, TypeVar

from sentryfuse_core.config import SyncConfig
from sentryfuse_core.sync import match
from sentryfuse_core.sync.missed import Misses
from sentryfuse_core.sync.spec import StreamSpec, Timed, nanoseconds
from sentryfuse_core.sync.timing import SMALLEST_LEAP_NS, Timing

__all__ = ["NOTED", "Stream", "Verdict", "stamp_fault"]

NOTED = frozenset({"late", "out_of_order", "rebased", "went_back"})  # counted, but not therefore dropped

_MAX_PAIRED = 64  # samples of a camera or lidar kept at most
_MAX_WINDOW = 8192  # samples of an IMU or microphone kept at most

S = TypeVar("S", bound=Timed)


class Verdict(Enum):
    """What became of a message."""

    IN_ORDER = "in_order"
    REORDERED = "reordered"  # older than the newest, but taken in
    WENT_BACK = "went_back"  # in quarantine
    REBASED = "rebased"  # the stream's new time is believed from this message on
    LEAPT = "leapt"  # ahead of what its arrival allows: in quarantine until the next one agrees
    REJECTED = "rejected"


def stamp_fault(sample: Timed, max_future_ns: int) -> str | None:
    """Why a stamp cannot be right whatever else has come: 'negative', 'future' or None.

    Simulated time that has not begun (0) tells nothing of the future.
    """
    if sample.stamp_ns < 0:
        return "negative"
    if sample.received_ns and sample.stamp_ns - sample.received_ns > max_future_ns:
        return "future"
    return None


class Stream(Generic[S]):
    """One sensor's samples and timing.

    `counters` counts by reason: negative, future, duplicate, out_of_order, went_back, late, overflow,
    rebased, not_believed. Those in NOTED may still be used, all others are dropped. `on_drop(sample,
    reason)` is told of every sample that goes without having been in a set, also as `unmatched` (no set
    came near it), `late` (its set was out) or `reset` (time jumped).
    """

    def __init__(
        self,
        spec: StreamSpec,
        config: SyncConfig,
        *,
        bit: int = 0,
        on_drop: Callable[[S, str], None] | None = None,
    ) -> None:
        self.spec = spec
        self.bit = bit  # of the sensor in a mask
        self.counters: Counter[str] = Counter()
        self.stamps_ns: list[int] = []
        self.samples: list[S] = []
        self.newest_ns: int | None = None
        self.arrival_ns: int | None = None  # steady time of the newest message that was taken in; None: never
        self.rebased_ns: int | None = None  # steady time of the last re-base
        self._max_future_ns = nanoseconds(config.max_future_s)
        self._jump_back_ns = nanoseconds(config.jump_back_s)
        self._rebase_messages = config.rebase_messages
        self._span_ns = max(nanoseconds(config.buffer_s), 2 * spec.window_ns)
        self._capacity = _MAX_WINDOW if spec.window_ns else _MAX_PAIRED
        self.timing = Timing(spec)
        self.misses = Misses()
        self._watermark_ns: int | None = None  # older stamps are of no use any more, or were used
        self._back: list[S] = []  # run of rising stamps older than the newest
        self._quarantine: list[S] = []  # those of the run that are not in `samples`
        self._ahead: tuple[S, int] | None = None  # a sample whose stamp leapt ahead, and when it came
        self._on_drop = on_drop
        self._used: set[int] = set()  # stamps in `samples` that were in a set; kept for `on_drop` only
        self._missed: set[int] = set()  # and those that came too late for theirs

    def admit(self, sample: S, now_ns: int) -> Verdict:
        """Take the sample in, put it in quarantine or reject it; counts why. `now_ns` is steady time."""
        stamp_ns = sample.stamp_ns
        fault = stamp_fault(sample, self._max_future_ns)
        if fault is not None:
            return self._reject(sample, fault)
        newest_ns = self.newest_ns
        if newest_ns is not None:
            if stamp_ns <= newest_ns:
                return self._admit_older(sample, newest_ns, now_ns)
            step_ns = stamp_ns - newest_ns
            if step_ns > SMALLEST_LEAP_NS and self.timing.leaps(stamp_ns, step_ns, now_ns):
                if not self._confirms(stamp_ns, now_ns):
                    return self._hold(sample, now_ns)
            elif self._ahead is not None:
                self._drop_ahead()
            self.timing.intervals_ns.append(step_ns)
        if self._back:
            self._end_run()
        self.newest_ns = stamp_ns
        self.stamps_ns.append(stamp_ns)
        self.samples.append(sample)
        self._touch(sample, now_ns)
        if self.stamps_ns[0] <= stamp_ns - self._span_ns or len(self.stamps_ns) > self._capacity:
            self._bound()
        return Verdict.IN_ORDER

    @property
    def quarantined(self) -> int:
        """Messages in a row whose stamps went back too far to be taken in."""
        return len(self._quarantine)

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
            shortest_interval_ns=min(self.timing.intervals_ns, default=0),
            lag_ns=min(self.timing.lags_ns),
            reach_ns=reach_ns,
            closer=closer,
            deadline_ns=deadline_ns,
        )

    def select(self, moment_ns: int, slop_ns: int) -> tuple[S, ...]:
        """The samples that belong to the moment: the nearest one, or all of the window. May be empty."""
        if self.spec.window_ns:
            spec = self.spec
            return tuple(
                self.samples[match.window(self.stamps_ns, moment_ns, spec.window_ns, lasting=spec.lasting)]
            )
        index = match.nearest(self.stamps_ns, moment_ns, slop_ns)
        return () if index is None else (self.samples[index],)

    def note_used(self, chosen: tuple[S, ...]) -> None:
        """These were in a set: they are not dropped when they go."""
        if self._on_drop is not None:
            self._used.update(sample.stamp_ns for sample in chosen)

    def note_late(self, stamp_ns: int) -> None:
        """A sample taken in came after the set it belongs to was out."""
        self.counters["late"] += 1
        if self._on_drop is not None and self._holds(stamp_ns):
            self._missed.add(stamp_ns)

    def _holds(self, stamp_ns: int) -> bool:
        index = bisect_left(self.stamps_ns, stamp_ns)
        return index < len(self.stamps_ns) and self.stamps_ns[index] == stamp_ns

    def first_after(self, floor_ns: int | None) -> S | None:
        """The oldest sample with a stamp above `floor_ns`; the oldest of all for None."""
        index = 0 if floor_ns is None else bisect_right(self.stamps_ns, floor_ns)
        return self.samples[index] if index < len(self.samples) else None

    def forget_before(self, oldest_ns: int) -> None:
        """Drop samples with stamps below `oldest_ns`."""
        index = bisect_left(self.stamps_ns, oldest_ns)
        if index:
            self._let_go(0, index, "unmatched")
        if self._watermark_ns is None or oldest_ns > self._watermark_ns:
            self._watermark_ns = oldest_ns

    def rebase(self, now_ns: int) -> None:
        """Believe the time that the stream went back to; what it said before is dropped."""
        newest = self._back[-1]
        newest_ns = newest.stamp_ns
        self._let_go(bisect_right(self.stamps_ns, newest_ns), len(self.stamps_ns), "reset")
        self._watermark_ns = None
        for sample in self._quarantine:
            self._insert(sample)
        self._back.clear()
        self._quarantine.clear()
        self.timing.forget_lags()
        self.newest_ns = newest_ns
        self._touch(newest, now_ns)
        self.rebased_ns = now_ns
        self.counters["rebased"] += 1
        self._bound()

    def clear(self) -> None:
        """Forget samples and the stamps they had; what was learned of the timing stays, lags apart."""
        self._let_go(0, len(self.stamps_ns), "reset")
        if self._ahead is not None:
            self._tell(self._ahead[0], "reset")
            self._ahead = None
        for sample in self._quarantine:
            self._tell(sample, "reset")
        self._back.clear()
        self._quarantine.clear()
        self.timing.forget_lags()
        self._watermark_ns = None
        self.newest_ns = None

    def _confirms(self, stamp_ns: int, now_ns: int) -> bool:
        """Whether a second sample in a row leapt to the same new time; the first is taken in then."""
        if self._ahead is None:
            return False
        ahead, ahead_ns = self._ahead
        step_ns = stamp_ns - ahead.stamp_ns
        pace_ns = max(*self.timing.intervals_ns, SMALLEST_LEAP_NS)
        if step_ns <= 0 or abs(step_ns - (now_ns - ahead_ns)) > pace_ns:
            return False
        self._ahead = None
        self.timing.forget_lags()
        self.stamps_ns.append(ahead.stamp_ns)
        self.samples.append(ahead)
        self._touch(ahead, ahead_ns)
        return True

    def _hold(self, sample: S, now_ns: int) -> Verdict:
        self._drop_ahead()
        self._ahead = sample, now_ns
        self.arrival_ns = now_ns
        return Verdict.LEAPT

    def _drop_ahead(self) -> None:
        if self._ahead is not None:
            self._reject(self._ahead[0], "future")
            self._ahead = None

    def _reject(self, sample: S, reason: str) -> Verdict:
        self.counters[reason] += 1
        self._tell(sample, reason)
        return Verdict.REJECTED

    def _tell(self, sample: S, reason: str) -> None:
        if self._on_drop is not None:
            self._on_drop(sample, reason)

    def _let_go(self, first: int, end: int, reason: str) -> None:
        """Remove samples [first, end); tell of those that were in no set."""
        if self._on_drop is not None:
            for sample in self.samples[first:end]:
                stamp_ns = sample.stamp_ns
                if stamp_ns in self._used:
                    self._used.discard(stamp_ns)
                else:
                    self._on_drop(sample, "late" if stamp_ns in self._missed else reason)
                self._missed.discard(stamp_ns)
        del self.stamps_ns[first:end], self.samples[first:end]

    def _admit_older(self, sample: S, newest_ns: int, now_ns: int) -> Verdict:
        stamp_ns = sample.stamp_ns
        last_back_ns = self._back[-1].stamp_ns if self._back else None
        if stamp_ns in (newest_ns, last_back_ns) or self._holds(stamp_ns):
            return self._reject(sample, "duplicate")
        if last_back_ns is not None and stamp_ns < last_back_ns:
            self._end_run()
        self._back.append(sample)
        went_back = newest_ns - stamp_ns > self._jump_back_ns
        self.counters["went_back" if went_back else "out_of_order"] += 1
        if went_back:
            self._quarantine.append(sample)
        elif self._watermark_ns is None or stamp_ns >= self._watermark_ns:
            self._insert(sample)
            self._touch(sample, now_ns)
            if len(self.stamps_ns) > self._capacity:
                self._bound()
        else:
            self._tell(sample, "late")
        if len(self._back) >= self._rebase_messages:
            self.rebase(now_ns)
            return Verdict.REBASED
        return Verdict.WENT_BACK if went_back else Verdict.REORDERED

    def _end_run(self) -> None:
        """The stream did not stay in the time it went back to: drop what is in quarantine."""
        for sample in self._quarantine:
            self._reject(sample, "not_believed")
        self._back.clear()
        self._quarantine.clear()

    def _touch(self, sample: S, now_ns: int) -> None:
        self.arrival_ns = now_ns
        self.timing.note_lag(sample, now_ns)

    def _insert(self, sample: S) -> None:
        index = bisect_left(self.stamps_ns, sample.stamp_ns)
        self.stamps_ns.insert(index, sample.stamp_ns)
        self.samples.insert(index, sample)

    def _bound(self) -> None:
        if self.stamps_ns:
            self.forget_before(self.stamps_ns[-1] - self._span_ns + 1)
        excess = len(self.stamps_ns) - self._capacity
        if excess > 0:
            self.counters["overflow"] += excess
            self._let_go(0, excess, "overflow")
