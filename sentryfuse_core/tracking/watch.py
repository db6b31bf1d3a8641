"""The sensors that look at each sector: what they find where, how exactly, and who saw what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sentryfuse_core.boxes import Floats, Ints
from sentryfuse_core.preprocess.sectors import owners, seen_from
from sentryfuse_core.tracking.findable import Recall, findable
from sentryfuse_core.tracking.noise import place_noise
from sentryfuse_core.tracking.tracker import Findable
from sentryfuse_core.types import ModalitySet

__all__ = ["Watch", "found_by", "noise_around", "watched"]


@dataclass(frozen=True)
class Watch:
    """One sector in one set."""

    yaw_rad: float
    used: ModalitySet
    recall: Recall  # what any of its sensors find


def watched(watches: Sequence[Watch]) -> Findable:
    """What all of them find: where regions overlap, what the better one finds."""
    each = [(watch.yaw_rad, findable(watch.used, watch.recall)) for watch in watches]
    if len(each) == 1 and each[0][0] == 0.0:
        return each[0][1]

    def chance(places: Floats, classes: Ints) -> Floats:
        found = np.stack([own(seen_from(places, yaw), classes) for yaw, own in each])
        best: Floats = found.max(axis=0)
        return best

    return chance


def noise_around(places: Floats, classes_m: Floats, watches: Sequence[Watch]) -> Floats:
    """`[K, 2, 2]` variances as `place_noise` has them, of boxes that the sector around each found."""
    noise = place_noise(places, classes_m, watches[0].used)
    for index in range(1, len(watches)):
        own = owners(places, [watch.yaw_rad for watch in watches]) == index
        noise[own] = place_noise(places[own], classes_m[own], watches[index].used)
    return noise


def found_by(places: Floats, watches: Sequence[Watch]) -> Ints:
    """Bits `[K]` of the sensors that looked where each box was found."""
    bits = np.array([watch.used.bits for watch in watches])
    if len(bits) == 1:
        return np.broadcast_to(bits, len(places))
    owner = owners(places, [watch.yaw_rad for watch in watches])
    return np.where(owner < 0, np.bitwise_or.reduce(bits), bits[owner])
