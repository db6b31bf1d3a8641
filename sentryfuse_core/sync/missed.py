"""Why a stream that sends is in no set: which limit or clock keeps it out, as far as its timing tells."""

from __future__ import annotations

from collections.abc import Sequence

from sentryfuse_core.sync import match
from sentryfuse_core.sync.timing import Timing
from sentryfuse_core.types import Missed, Why

__all__ = ["Misses"]

# Sets in a row without it while as many messages came; a slow stream has a set near each message.
_ENOUGH = 10
_ANYWHERE_NS = 2**62


class Misses:
    """What became of the messages of one stream since the last set that it was in."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """It was in a set, or is not expected to be."""
        self._sets = self._messages = 0
        self._nearest_ns: int | None = None  # from the moment of a set to the sample nearest to one

    def note_sample(self, stamp_ns: int, last_moment_ns: int | None) -> None:
        """A sample came."""
        self._messages += 1
        if last_moment_ns is not None:
            self._note_distance(stamp_ns - last_moment_ns)

    def note_set(self, stamps_ns: Sequence[int], moment_ns: int) -> None:
        """A set went out without any of these."""
        self._sets += 1
        index = match.nearest(stamps_ns, moment_ns, _ANYWHERE_NS)
        if index is not None:
            self._note_distance(stamps_ns[index] - moment_ns)

    def _note_distance(self, distance_ns: int) -> None:
        if self._nearest_ns is None or abs(distance_ns) < abs(self._nearest_ns):
            self._nearest_ns = distance_ns

    def explained(
        self, timing: Timing, anchor: Timing, *, window_ns: int, slop_ns: int, max_wait_ns: int
    ) -> Missed | None:
        """What keeps the stream out for good; None: nothing does, or it is not told by the timing.

        The least lags are free of load, so a machine that is late is not taken for a stream that is.
        """
        excess_ns = timing.later_than_ns(anchor)
        if min(self._sets, self._messages) < _ENOUGH or excess_ns is None or self._nearest_ns is None:
            return None
        if window_ns:
            behind = excess_ns > max(max_wait_ns, window_ns)
            return Missed(Why.BEHIND, excess_ns, excess_ns + timing.period_ns) if behind else None
        half_ns = min(timing.longest_period_ns, anchor.longest_period_ns) // 2
        if excess_ns - slop_ns > max_wait_ns:
            return Missed(Why.WAIT, excess_ns, excess_ns + half_ns)
        distance_ns = abs(self._nearest_ns)
        if distance_ns > slop_ns:
            by_slop = slop_ns < half_ns and distance_ns <= half_ns * 5 // 4  # no other slop pairs rightly
            return Missed(Why.SLOP, distance_ns, half_ns) if by_slop else None
        late_ns = self._nearest_ns + excess_ns
        return Missed(Why.WAIT, late_ns, excess_ns + half_ns) if late_ns > max_wait_ns else None
