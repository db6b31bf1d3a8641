"""Which sample belongs to a moment, and whether a better one can still come: pure integer arithmetic."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence

__all__ = ["nearest", "settled", "window"]


def nearest(stamps_ns: Sequence[int], moment_ns: int, slop_ns: int) -> int | None:
    """Index of the stamp nearest to `moment_ns`, at most `slop_ns` away; of two equally near, the older."""
    after = bisect_left(stamps_ns, moment_ns)
    best: int | None = None
    best_distance_ns = slop_ns + 1
    for index in (after - 1, after):
        if 0 <= index < len(stamps_ns):
            distance_ns = abs(stamps_ns[index] - moment_ns)
            if distance_ns < best_distance_ns:
                best, best_distance_ns = index, distance_ns
    return best


def window(stamps_ns: Sequence[int], moment_ns: int, window_ns: int, *, lasting: bool = False) -> slice:
    """Slice of the stamps in (moment - window, moment]; empty where there is none.

    What is `lasting` goes on until the next stamp: the one before the first in the window belongs to it, too,
    unless it lies more than a window before the window.
    """
    begin_ns = moment_ns - window_ns
    first, end = bisect_right(stamps_ns, begin_ns), bisect_right(stamps_ns, moment_ns)
    if lasting and 0 < first < end and stamps_ns[first - 1] > begin_ns - window_ns:
        first -= 1
    return slice(first, end)


def settled(
    moment_ns: int,
    *,
    newest_ns: int,
    shortest_interval_ns: int,
    lag_ns: int,
    reach_ns: int,
    closer: bool,
    deadline_ns: int,
) -> bool:
    """Whether waiting longer cannot improve what a stream gives to `moment_ns`.

    A message at or after the moment has come; or the next one cannot fall within `reach_ns` of it; or it
    cannot arrive before `deadline_ns`, since the stream's messages arrive at least `lag_ns` after their
    stamps. A stream may send a fifth sooner than in the shortest of its recent intervals; unknown (0) proves
    nothing. With `closer` the reach is the distance of the best sample so far, which has to be beaten.
    """
    if newest_ns >= moment_ns:
        return True
    next_ns = newest_ns + max(1, shortest_interval_ns * 4 // 5)  # the earliest
    beyond_ns = next_ns - moment_ns
    if beyond_ns > reach_ns or (closer and beyond_ns == reach_ns):
        return True
    return max(next_ns, moment_ns - reach_ns) + lag_ns > deadline_ns
