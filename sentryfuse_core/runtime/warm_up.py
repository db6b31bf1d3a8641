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

    With all sensors every level is timed at once: so most sets begin, and a budget chooses among them. A
    backend that is still opening runs other code meanwhile: it is timed anew once it has done so.
    """

    def __init__(self, backend: Backend, bank: Bank) -> None:
        self._backend = backend
        self._bank = bank
        everything = ModalitySet.all()
        self._table = {(everything.bits, level): self._time(everything, level) for level in bank.loaded}
        self._known = set() if backend.opening else set(self._table)  # what is not timed once more
        self._rest = self._timed()
        self._free_s = 0.0  # when the next may be timed

    def guesses(self) -> Mapping[tuple[int, int], float]:
        """Milliseconds by (mask bits, level), as far as anything is known now."""
        everything = ModalitySet.all()
        found = dict(self._table)
        for mask in ModalitySet.subsets():
            for level in self._bank.loaded:
                work = (self._bank.plan(which, level, "").gmacs for which in (mask, everything))
                share = _FIXED + (1.0 - _FIXED) * next(work) / next(work)
                found.setdefault((mask.bits, level), share * self._table[everything.bits, level])
        return found

    def go_on(self) -> Mapping[tuple[int, int], float] | None:
        """Time a bit more, at most a fifth of the time; the whole table once it is through, before that None.

        To be called again and again by the thread that runs the network, when nothing waits for it.
        """
        began_s = time.perf_counter()
        if began_s < self._free_s or self._backend.opening:
            return None
        done = next(self._rest, True)
        ended_s = time.perf_counter()
        self._free_s = ended_s + (ended_s - began_s) * (1.0 / _SHARE - 1.0)
        return self.guesses() if done else None

    def _timed(self) -> Iterator[bool]:
        """A run or two at a time, so that no set waits for more; ends early where the backend fails."""
        for mask in ModalitySet.subsets():
            for level in self._bank.loaded:
                if (mask.bits, level) in self._known:
                    continue
                times_ms = []
                for time_ms in times_of(self._backend.run, self._bank, mask, level):
                    times_ms.append(time_ms)
                    yield False
                self._table[mask.bits, level] = statistics.median(times_ms)

    def _time(self, mask: ModalitySet, level: int) -> float:
        return statistics.median(times_of(self._backend.run, self._bank, mask, level))
