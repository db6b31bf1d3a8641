"""Backlog: puts messages that waited in an executor's queues back into the order in which they came."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterator
from typing import Generic, TypeVar

from sentryfuse_core.clock import NS_PER_MS

__all__ = ["OVERDUE_NS", "Backlog"]

OVERDUE_NS = 5 * NS_PER_MS  # of a message or a timer: more, and a callback held up the executor

M = TypeVar("M")


class Backlog(Generic[M]):
    """Holds messages while others, still in the executor's queues, may have come before them.

    An executor handles one message of every input that has some before it handles the next of any. An input
    that such a round passed over had none when the round began, after all that the round handled had come.
    Where nothing waited, a message goes through at once.
    """

    def __init__(self, inputs: int) -> None:
        self._inputs = range(inputs)
        self.behind = False  # the executor may have messages in its queues that came some time ago
        self._held: list[tuple[int, int, int, M]] = []  # a heap by arrival
        self._number = itertools.count()
        self._arrivals_ns: dict[int, int] = {}  # of the newest message of every input
        self._stirred = False  # a message was handled since the last look
        self._round: dict[int, int] = {}  # arrivals of the inputs that spoke since one of them spoke twice
        self._last_round: dict[int, int] = {}

    def heard(self, index: int, came_ns: int, waited_ns: int) -> int:
        """Note that a message of an input is handled; returns its arrival, never before the input's last."""
        arrival_ns = self._arrivals_ns[index] = max(came_ns, self._arrivals_ns.get(index, came_ns))
        self._stirred = True
        self.behind |= waited_ns > OVERDUE_NS
        if index in self._round:
            self._last_round, self._round = self._round, {}
        self._round[index] = arrival_ns
        return arrival_ns

    def hold(self, index: int, arrival_ns: int, message: M) -> None:
        """Keep a message until `ready` hands it out."""
        heapq.heappush(self._held, (arrival_ns, next(self._number), index, message))

    def ready(self, now_ns: int) -> Iterator[tuple[int, int, M]]:
        """Input, arrival and message of each before which none can come any more, in their order."""
        until_ns = min(map(self._complete_ns, self._inputs)) if self.behind else now_ns
        while self._held and self._held[0][0] <= until_ns:
            arrival_ns, _, index, message = heapq.heappop(self._held)
            yield index, arrival_ns, message

    def _complete_ns(self, index: int) -> int:
        """Time up to which every message of an input has been handled."""
        if index in self._round or index in self._last_round:
            return self._arrivals_ns[index]
        return max(self._last_round.values(), default=0)

    def look(self, late_ns: int) -> bool:
        """Whether all queues are empty, asked by a timer that is `late_ns` behind.

        They are once nothing was handled between two looks: what waits in a queue goes before the second.
        """
        if late_ns > OVERDUE_NS and not self.behind:
            self.behind = self._stirred = True
        if self.behind and self._stirred:
            self._stirred = False
            return False
        self.behind = False
        return True
