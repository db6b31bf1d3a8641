"""Puts samples of several streams together into sets, on time and whatever is missing.

Pure: no thread, no lock and no clock of its own. Time comes in with `add` and `advance`; everything
that was due before it happens first, so that a live run and the replay of its arrivals agree.
docs/synchroniser.md says when a set comes out and why a sample is missing from it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Mapping
from functools import partial
from typing import Generic, TypeVar

from sentryfuse_core.config import SyncConfig
from sentryfuse_core.sync.buffer import Stream, Verdict
from sentryfuse_core.sync.spec import MatchedSet, StreamSpec, Timed, nanoseconds
from sentryfuse_core.types import Absence, Missed

__all__ = ["Synchronizer"]

K = TypeVar("K", bound=Hashable)
S = TypeVar("S", bound=Timed)

_JUMP_MESSAGES = 3  # that went back, of two streams or more, before all time is taken to have jumped


class Synchronizer(Generic[K, S]):
    """Sets in strict order of their stamps, each sample of an anchor at most once.

    Streams have keys of any kind: a sensor, a topic. `on_drop(key, sample, reason)` is called from within
    `add` and `advance` for every sample that goes without having been in a set, once.
    """

    def __init__(
        self,
        config: SyncConfig,
        streams: Mapping[K, StreamSpec],
        *,
        on_drop: Callable[[K, S, str], None] | None = None,
    ) -> None:
        self._streams: dict[K, Stream[S]] = {
            m: Stream(spec, config, bit=1 << index, on_drop=None if on_drop is None else partial(on_drop, m))
            for index, (m, spec) in enumerate(streams.items())
        }
        ranks = {m: spec.anchor_rank for m, spec in streams.items() if spec.anchor_rank is not None}
        self._anchors = sorted(ranks, key=lambda m: ranks[m])  # best first
        self._rank = {modality: rank for rank, modality in enumerate(self._anchors)}
        self._max_wait_ns = nanoseconds(config.max_wait_s)
        self._slop_ns = nanoseconds(config.slop_s)
        self._tick_period_ns = nanoseconds(config.tick_period_s)
        self._jump_back_ns = nanoseconds(config.jump_back_s)
        self._now_ns = 0
        self._equal: set[K] = set()  # streams whose stamp in the last set was the anchor's
        self._epoch = 0
        self._epoch_ns: int | None = None  # steady time the epoch began
        self._went_back_ns: int | None = None  # steady time at which streams began an epoch on their own
        self._sequence = 0
        self._lost: frozenset[K] = frozenset()
        self._anchor: K | None = None
        self._floor_ns: int | None = None  # the next set's stamp is above this
        self._last_set_ns: int | None = None  # stamp of the last set of this epoch
        self._next_tick_ns: int | None = None  # None: not before what anchors may have come
        self._awaited = 0  # bits of the streams that the next set waits for
        self._last_absent: Mapping[K, Absence] = {}
        self._due_ns: int | None = None
        self._deaf_ns = self._deaf_until_ns = 0  # for how long, and until when, nobody listened the last time
        self._look_again = False  # something changed that may release a set at the next call
        self._released: list[MatchedSet[K, S]] = []

    @property
    def epoch(self) -> int:
        """Number of time jumps so far."""
        return self._epoch

    @property
    def anchor(self) -> K | None:
        """The stream whose stamps the sets carry now; None: a tick, or nothing yet."""
        return self._anchor

    @property
    def counters(self) -> Mapping[K, Mapping[str, int]]:
        """Per stream: how many messages were dropped or noted, by reason (see `Stream`)."""
        return {key: dict(stream.counters) for key, stream in self._streams.items()}

    @property
    def just_went_back(self) -> bool:
        """Whether the stamps themselves began this epoch within the last `jump_back_s`.

        A clock that is reported to have jumped now is then no second jump.
        """
        return self._recent(self._went_back_ns)

    def clock_offset_ns(self, key: K, *, sure: bool = False) -> int | None:
        """How much older than the anchor's the stamps of a paired stream are when they arrive, if too much.

        Then it cannot be told which of its samples belongs to a set, and none is paired. Stamps equal to the
        nanosecond were taken from one another, whatever the lag. None: fine, or nothing to compare with; when
        it has to be `sure`, also while so few came of either that this machine's load may have held them up.
        """
        stream, anchor = self._streams[key], self._anchor
        if anchor is None or anchor == key or stream.spec.window_ns or key in self._equal:
            return None
        reference = self._streams[anchor]
        known = not sure or (stream.timing.lag_is_sure and reference.timing.lag_is_sure)
        if reference.spec.window_ns or not known:
            return None
        return stream.timing.clock_offset_ns(reference.timing)

    def missed(self, key: K) -> Missed | None:
        """Why none of a stream's samples has been in a set for long; None: not so, or nothing tells."""
        stream, anchor = self._streams[key], self._anchor
        if anchor is None or anchor == key or self.clock_offset_ns(key) is not None:
            return None
        slop_ns = stream.timing.slop_ns(self._slop_ns)
        return stream.misses.explained(
            stream.timing,
            self._streams[anchor].timing,
            window_ns=stream.spec.window_ns,
            slop_ns=slop_ns,
            max_wait_ns=self._max_wait_ns,
        )

    def ahead_ns(self, key: K) -> int | None:
        """How far the stamps of a stream with a window lie ahead of their arrival, if the anchor's do not."""
        stream, anchor = self._streams[key], self._anchor
        if anchor is None or anchor == key or not stream.spec.window_ns:
            return None
        return stream.timing.ahead_ns(self._streams[anchor].timing)

    def add(self, key: K, sample: S) -> list[MatchedSet[K, S]]:
        """Take one sample in; returns the sets that are out because of it or of its time of arrival."""
        now_ns = sample.arrival_ns
        if self._look_again or (self._due_ns is not None and self._due_ns <= now_ns):
            self._fire(now_ns)
        elif now_ns > self._now_ns:
            self._now_ns = now_ns
        stream = self._streams.get(key)
        if stream is not None:
            verdict = stream.admit(sample, self._now_ns)
            if verdict is Verdict.IN_ORDER or verdict is Verdict.REORDERED:
                stream.misses.note_sample(sample.stamp_ns, self._floor_ns)
                if self._floor_ns is not None and sample.stamp_ns <= self._floor_ns + self._slop_ns:
                    self._count_late(key, sample.stamp_ns, self._floor_ns)
            elif verdict is not Verdict.REJECTED and verdict is not Verdict.LEAPT:
                self._consider_jump(stream)
            if verdict is not Verdict.REJECTED and self._concerns(key, stream):
                self._pump(self._now_ns)
        return self._take() if self._released else []

    def advance(self, now_ns: int) -> list[MatchedSet[K, S]]:
        """Let the steady time pass; returns the sets whose deadlines it reached."""
        self._fire(now_ns)
        return self._take()

    def next_deadline_ns(self) -> int | None:
        """Steady time at which `advance` has something to do; None: not before another sample."""
        return self._now_ns if self._look_again else self._due_ns

    def set_lost(self, lost: Collection[K]) -> None:
        """Streams that are never waited for and never anchor. Takes effect at the next `advance` or `add`."""
        if len(lost) != len(self._lost) or not self._lost.issuperset(lost):
            self._lost = frozenset(lost)
            self._look_again = True

    def excuse(self, silence_ns: int, until_ns: int) -> None:
        """Nobody listened for `silence_ns`, until `until_ns`: no stream is taken for dead because of it."""
        self._deaf_ns, self._deaf_until_ns = silence_ns, until_ns

    def reset(self) -> None:
        """Drop every sample and begin a new epoch: the clock that stamps come from has jumped."""
        for stream in self._streams.values():
            stream.clear()
        self._begin_epoch()

    def _take(self) -> list[MatchedSet[K, S]]:
        released, self._released = self._released, []
        return released

    def _fire(self, now_ns: int) -> None:
        """Do everything due up to `now_ns`, each at its own time."""
        while self._due_ns is not None and self._due_ns <= now_ns:
            self._now_ns = max(self._now_ns, self._due_ns)
            self._pump(self._now_ns)
        self._now_ns = max(self._now_ns, now_ns)
        if self._look_again:
            self._pump(self._now_ns)

    def _concerns(self, key: K, stream: Stream[S]) -> bool:
        """Whether a sample just taken in can release a set or change the anchor."""
        if self._awaited:
            if self._awaited & stream.bit:
                return True
        elif key == self._anchor:
            return True
        if self._anchor is None:
            return True
        return stream.spec.anchor_rank is not None and self._rank[key] < self._rank[self._anchor]

    def _pump(self, now_ns: int) -> None:
        """Release what is ready at `now_ns` and note when to look again."""
        self._elect(now_ns)
        self._look_again = False
        self._awaited = 0
        while True:
            head = self._head(now_ns)
            if head is None:
                break
            deadline_ns = head.arrival_ns + self._max_wait_ns
            if self._anchor is not None and now_ns < deadline_ns:
                self._awaited = self._unsettled(head.stamp_ns, deadline_ns)
                if self._awaited:
                    self._due_ns = min(deadline_ns, self._overdue_ns(self._anchor))
                    return
            self._release(head, now_ns)
        self._due_ns = self._idle_due_ns(now_ns)

    def _elect(self, now_ns: int) -> None:
        """Let the first stream by rank that is live, on time and not behind anchor the sets."""
        best = self._best(now_ns)
        if best is None and self._only_behind(now_ns):
            self._begin_epoch()
            self._went_back_ns = now_ns
            best = self._best(now_ns)
        before = self._anchor
        if best is before:
            return
        if best is None:
            self._next_tick_ns = now_ns
        elif before is None or self._rank[best] < self._rank[before]:
            self._finish_before(best, now_ns)
        else:
            # What came while the old anchor was waited for is history: start with the newest.
            stamps_ns = self._streams[best].stamps_ns
            if len(stamps_ns) > 1 and (self._floor_ns is None or stamps_ns[-2] > self._floor_ns):
                self._floor_ns = stamps_ns[-2]
            self._last_set_ns = None  # the output was silent for long enough
        self._anchor = best

    def _finish_before(self, best: K, now_ns: int) -> None:
        """Send out the set in waiting unless the new anchor's first one covers its moment."""
        if self._anchor is None:
            return
        head, first = self._head(now_ns), self._streams[best].first_after(self._floor_ns)
        if head is not None and first is not None and head.stamp_ns < first.stamp_ns - self._slop_ns:
            self._release(head, now_ns)

    def _best(self, now_ns: int) -> K | None:
        """The first stream by rank that can anchor."""
        for key in self._anchors:
            newest_ns = self._streams[key].newest_ns
            if newest_ns is not None and self._live(key, now_ns) and not self._behind(newest_ns):
                return key
        return None

    def _live(self, key: K, now_ns: int) -> bool:
        return key not in self._lost and now_ns < self._overdue_ns(key)

    def _behind(self, newest_ns: int) -> bool:
        """Whether a stream's time lies far before the last set."""
        return self._floor_ns is not None and self._floor_ns - newest_ns > self._jump_back_ns

    def _only_behind(self, now_ns: int) -> bool:
        """Whether streams are live, but every one is behind."""
        live = (stream.newest_ns for key, stream in self._streams.items() if self._live(key, now_ns))
        newest_ns = [ns for ns in live if ns is not None]
        return bool(newest_ns) and self._behind(max(newest_ns))

    def _overdue_ns(self, key: K) -> int:
        """Steady time from which a stream, silent since its last message, no longer anchors."""
        stream = self._streams[key]
        arrival_ns = stream.arrival_ns or 0
        overdue_ns = arrival_ns + (stream.timing.period_ns or self._tick_period_ns) + self._max_wait_ns
        if arrival_ns < self._deaf_until_ns:
            overdue_ns += min(self._deaf_ns, self._deaf_until_ns - arrival_ns)
        return overdue_ns

    def _head(self, now_ns: int) -> S | None:
        """The sample whose stamp the next set carries, if it has come."""
        if self._anchor is not None:
            stream = self._streams[self._anchor]
            floor_ns = self._floor_ns
            if stream.spec.anchor_period_ns and floor_ns is not None and self._last_set_ns is not None:
                # Half a sample of jitter does not cost a whole one.
                spacing_ns = stream.spec.anchor_period_ns - stream.timing.period_ns // 2
                floor_ns = max(floor_ns, self._last_set_ns + spacing_ns - 1)
            return stream.first_after(floor_ns)
        source = self._tick_source()
        if source is not None and self._next_tick_ns is None:  # what anchors may be about to come
            self._next_tick_ns = now_ns + self._tick_period_ns + self._max_wait_ns
        return source if now_ns >= (self._next_tick_ns or 0) else None

    def _tick_source(self) -> S | None:
        """The newest sample above the last set: of a live stream that never anchors, else of any that sends.

        The latter are lost or recovering: their sets say that nothing is usable, which beats silence.
        """
        fresh = [
            key
            for key, stream in self._streams.items()
            if stream.samples and (self._floor_ns is None or stream.stamps_ns[-1] > self._floor_ns)
        ]
        live = [m for m in fresh if m not in self._rank and m not in self._lost]
        newest = max(live or fresh, key=lambda m: self._streams[m].stamps_ns[-1], default=None)
        return None if newest is None else self._streams[newest].samples[-1]

    def _idle_due_ns(self, now_ns: int) -> int | None:
        """When to look again with no set in waiting."""
        if self._anchor is not None:
            return self._overdue_ns(self._anchor)
        return max(self._next_tick_ns or 0, now_ns) if self._tick_source() is not None else None

    def _unsettled(self, moment_ns: int, deadline_ns: int) -> int:
        """Bits of the live streams whose part in the set of `moment_ns` may still improve in time.

        One that would anchor if it were not overdue has been waited for already.
        """
        bits = 0
        worst = len(self._rank)
        rank = worst if self._anchor is None else self._rank[self._anchor]
        for key, stream in self._streams.items():
            if key == self._anchor or stream.arrival_ns is None or key in self._lost:
                continue
            if self._rank.get(key, worst) < rank:
                continue
            slop_ns = stream.timing.slop_ns(self._slop_ns)
            if not stream.settled(moment_ns, slop_ns=slop_ns, deadline_ns=deadline_ns):
                bits |= stream.bit
        return bits

    def _release(self, head: S, now_ns: int) -> None:
        moment_ns = head.stamp_ns
        deadline_ns = head.arrival_ns + self._max_wait_ns
        samples: dict[K, tuple[S, ...]] = {}
        absent: dict[K, Absence] = {}
        for key, stream in self._streams.items():
            slop_ns = 0 if key == self._anchor else stream.timing.slop_ns(self._slop_ns)
            chosen = stream.select(moment_ns, slop_ns)
            if chosen and chosen[0].stamp_ns == moment_ns:
                self._equal.add(key)
            else:
                self._equal.discard(key)
            if chosen and self.clock_offset_ns(key) is not None:
                chosen = ()
            if chosen:
                samples[key] = chosen
                stream.note_used(chosen)
                stream.misses.forget()
            else:
                absent[key] = self._absence(key, stream, moment_ns, deadline_ns)
                if absent[key] in (Absence.LATE, Absence.OUT_OF_SLOP):
                    stream.misses.note_set(stream.stamps_ns, moment_ns)
                else:
                    stream.misses.forget()
            if stream.spec.window_ns:
                kept_ns = stream.spec.window_ns * (2 if stream.spec.lasting else 1)
                stream.forget_before(moment_ns - kept_ns + 1)
            else:
                stream.forget_before(chosen[0].stamp_ns + 1 if chosen else moment_ns - self._slop_ns)
        self._released.append(
            MatchedSet(
                sequence=self._sequence,
                epoch=self._epoch,
                stamp_ns=moment_ns,
                anchor=self._anchor,
                samples=samples,
                absent=absent,
                anchor_arrival_ns=head.arrival_ns,
                anchor_received_ns=head.received_ns,
                released_ns=now_ns,
            )
        )
        self._sequence += 1
        self._last_absent = absent
        self._last_set_ns = moment_ns
        self._floor_ns = moment_ns
        if self._anchor is None:
            self._next_tick_ns = now_ns + self._tick_period_ns

    def _absence(self, key: K, stream: Stream[S], moment_ns: int, deadline_ns: int) -> Absence:
        if stream.arrival_ns is None:
            return Absence.NEVER
        if key in self._lost:
            return Absence.LOST
        if self.clock_offset_ns(key) is not None:
            return Absence.OUT_OF_SLOP
        slop_ns = stream.timing.slop_ns(self._slop_ns)
        settled = stream.settled(moment_ns, slop_ns=slop_ns, deadline_ns=deadline_ns)
        return Absence.OUT_OF_SLOP if settled else Absence.LATE

    def _count_late(self, key: K, stamp_ns: int, floor_ns: int) -> None:
        """Count a sample that came after the set it belongs to was out."""
        stream = self._streams[key]
        if stream.spec.window_ns:
            late = stamp_ns <= floor_ns
        elif self._last_absent.get(key) is Absence.LATE:
            late = stamp_ns <= floor_ns + stream.timing.slop_ns(self._slop_ns)
        else:
            late = stamp_ns < floor_ns - self._slop_ns
        if late:
            stream.note_late(stamp_ns)

    def _consider_jump(self, stream: Stream[S]) -> None:
        """Tell a jump of all time from one stream that went back alone."""
        if self._recent(self._epoch_ns) and stream.quarantined:
            stream.rebase(self._now_ns)  # the last to follow a jump that was already recognised
            return
        gone_back = [s for s in self._streams.values() if s.quarantined or self._recent(s.rebased_ns)]
        messages = sum(s.quarantined or _JUMP_MESSAGES for s in gone_back)
        if len(gone_back) < 2 or messages < _JUMP_MESSAGES:
            return
        for other in self._streams.values():
            if other.quarantined:
                other.rebase(self._now_ns)
            elif not self._recent(other.rebased_ns):
                other.clear()
        self._begin_epoch()
        self._went_back_ns = self._now_ns

    def _recent(self, at_ns: int | None) -> bool:
        return at_ns is not None and self._now_ns - at_ns <= self._jump_back_ns

    def _begin_epoch(self) -> None:
        self._epoch += 1
        self._epoch_ns = self._now_ns
        self._floor_ns = None
        self._last_set_ns = None
        self._anchor = None
        self._next_tick_ns = None
        self._awaited = 0
        self._last_absent = {}
        self._due_ns = None
        self._look_again = True
