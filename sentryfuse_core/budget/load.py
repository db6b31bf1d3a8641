"""LoadModel: the time of every sub-network now, from its time at warm-up and how slow the machine is."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Iterator, Mapping

from sentryfuse_core.types import Modality, ModalitySet

__all__ = ["WINDOW", "Key", "LoadModel", "work_key"]

Key = tuple[int, int]  # `work_key`, level

WINDOW = 50  # inferences that are looked back on
_ALIKE = 1.35  # a change at a switch up to this factor is the sub-network's, a larger one the machine's
_BITS = len(Modality)  # of a mask
_STEP = 1.1  # by at most this factor each time
_FURTHEST = 1.5  # and a sub-network is taken to differ from its warm-up by at most this


def work_key(sectors: Iterable[ModalitySet]) -> int:
    """One number for the sensors of each sector that the network runs for: of one alone, its mask's bits."""
    key = 0
    for bits in sorted(mask.bits for mask in sectors):
        key = key << _BITS | bits
    return key


def _parts(key: int) -> Iterator[int]:
    """The bits of each mask in it."""
    while key:
        yield key & ((1 << _BITS) - 1)
        key >>= _BITS


class LoadModel:
    """One slow-down for the whole table: what one sub-network takes tells what every other would.

    A slow-down is a measured time over the one expected in the table. Its statistics are over the last
    50 inferences, whichever sub-networks they were of. The load of a machine does not change because
    the level does: a jump of the slow-down at a switch corrects the table, half-way and by at most a
    tenth each time, so that a step of the load at that moment does little harm.
    """

    def __init__(self) -> None:
        self._warm_up: dict[Key, float] = {}
        self._table: dict[Key, float] = {}
        self._recent: deque[float] = deque()
        self._ranked: list[float] = []  # ascending
        self._key: Key | None = None
        self._before = 1.0  # slow-down at the last switch
        self._since: list[float] = []  # slow-downs of the first inferences after it, up to three
        self.count = 0  # inferences observed
        self.take({})

    def take(self, latency_ms: Mapping[Key, float]) -> None:
        """Begin anew with measured milliseconds by (mask bits, level)."""
        self._warm_up, self._table = dict(latency_ms), dict(latency_ms)
        self._recent = deque([1.0] * WINDOW, maxlen=WINDOW)
        self._ranked = sorted(self._recent)
        self._key, self._since = None, [1.0] * 3

    def observe(self, key: Key, infer_ms: float) -> None:
        """Take one measured inference."""
        if not self._table.get(key):
            self._table[key] = self._warm_up[key] = infer_ms / self.now
        slow_down = infer_ms / self._table[key]
        if key != self._key:
            self._switch(key)
        self._recent.append(slow_down)
        if len(self._since) < 3:
            self._since.append(slow_down)
            if len(self._since) == 3:
                self._correct(key, _median(self._since))
        self._ranked = sorted(self._recent)
        self.count += 1

    def _switch(self, key: Key) -> None:
        if self._key is not None:
            if len(self._since) == 2:  # given up after two: they tell as much as three
                self._correct(self._key, min(self._since))
            self._before, self._since = self.now, []
        self._key = key

    def _correct(self, key: Key, slow_down: float) -> None:
        """Lay a jump of the slow-down at the last switch to the sub-network, as far as that is likely."""
        apparent = slow_down / self._before
        if not 1.0 / _ALIKE <= apparent <= _ALIKE:
            return
        warm_up_ms, before_ms = self._warm_up[key], self._table[key]
        after_ms = before_ms * min(max(math.sqrt(apparent), 1.0 / _STEP), _STEP)
        self._table[key] = min(max(after_ms, warm_up_ms / _FURTHEST), warm_up_ms * _FURTHEST)
        gain = self._table[key] / before_ms
        for index in range(-len(self._since), 0):
            self._recent[index] /= gain

    @property
    def now(self) -> float:
        """The slow-down now: the median of the last three, which one odd inference does not move."""
        return _median([self._recent[-1], self._recent[-2], self._recent[-3]])

    def worst(self, place: int, *, up_to: float) -> float:
        """The `place`-largest slow-down of the last 50, 1 being the largest; none above `up_to` counts."""
        counted = bisect_right(self._ranked, up_to)
        return self._ranked[counted - place] if counted >= place else self.now

    def time_ms(self, key: Key, slow_down: float) -> float:
        """What a set would take at this slow-down; 0 when nothing is known of it.

        Before the first one was measured, several sectors take what each of them takes.
        """
        if key not in self._table and key[0] >> _BITS:
            work, level = key
            return sum(self._table.get((bits, level), 0.0) for bits in _parts(work)) * slow_down
        return self._table.get(key, 0.0) * slow_down


def _median(three: list[float]) -> float:
    return sorted(three)[1]
