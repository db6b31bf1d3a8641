"""The warm-up in two parts: what a node needs to begin with at once, all else while it runs."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Mapping

from sentryfuse_core.runtime.backend import Backend, times_of
from sentryfuse_core.runtime.bank import Bank
from sentryfuse_core.types import ModalitySet

__all__ = ["WarmUp"]

_FIXED = 0.3  # of the time with all sensors: what no sensor's absence takes away
_SHARE = 0.2  # of the time that goes on with the warm-up may take


class WarmUp:
    """Times a backend's sub-networks. What is not timed yet is guessed from its multiply-accumulates.

    The widest level with all sensors is timed at once: so most sets begin. The other levels with all sensors
    come next, since a budget chooses among them. A backend that is still opening runs other code meanwhile:
    it is timed anew once it has done so.

    Attributes:
        through: whether nothing is left to be timed.
    """

    def __init__(self, backend: Backend, bank: Bank) -> None:
        self.through = False
        self._backend = backend
        self._bank = bank
        self._everything, self._widest = ModalitySet.all(), bank.loaded.start
        times_ms = times_of(backend.run, bank, self._everything, self._widest)
        self._table = {(self._everything.bits, self._widest): statistics.median(times_ms)}
        self._known = set() if backend.opening else set(self._table)  # what is not timed once more
        self._rest = self._timed()
        self._free_s = 0.0  # when the next may be timed

    def guesses(self) -> Mapping[tuple[int, int], float]:
        """Milliseconds by (mask bits, level), as far as anything is known now."""
        bits, found = self._everything.bits, dict(self._table)
        for level in self._bank.loaded:
            share = self._share(self._everything, level, of=self._widest)
            found.setdefault((bits, level), share * self._table[bits, self._widest])
            for mask in ModalitySet.subsets():
                share = self._share(mask, level, of=level)
                found.setdefault((mask.bits, level), share * found[bits, level])
        return found

    def go_on(self) -> Mapping[tuple[int, int], float] | None:
        """Time a bit more, at most a fifth of the time; the whole table where enough of it is new, else None.

        To be called again and again by the thread that runs the network, when nothing waits for it.
        """
        began_s = time.perf_counter()
        if began_s < self._free_s or self._backend.opening:
            return None
        news = next(self._rest, None)
        ended_s = time.perf_counter()
        self._free_s = ended_s + (ended_s - began_s) * (1.0 / _SHARE - 1.0)
        self.through = news is None
        return self.guesses() if news or self.through else None

    def _timed(self) -> Iterator[bool]:
        """A run or two at a time, so that no set waits for more; ends early where the backend fails.

        True is what is told at once: how long all sensors take.
        """
        for mask in reversed(ModalitySet.subsets()):
            timed = False
            for level in self._bank.loaded:
                if (mask.bits, level) in self._known:
                    continue
                times_ms = []
                for time_ms in times_of(self._backend.run, self._bank, mask, level):
                    times_ms.append(time_ms)
                    yield False
                self._table[mask.bits, level] = statistics.median(times_ms)
                timed = True
            if timed and mask == self._everything:
                yield True

    def _share(self, mask: ModalitySet, level: int, *, of: int) -> float:
        """Of the time that all sensors take at level `of`, by multiply-accumulates."""
        work = self._bank.plan(mask, level, "").gmacs / self._bank.plan(self._everything, of, "").gmacs
        return _FIXED + (1.0 - _FIXED) * work
