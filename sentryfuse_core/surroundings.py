"""What of the surroundings is watched in one set: by sector, and by direction."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from sentryfuse_core.types import ModalitySet

__all__ = ["BEARINGS", "BLIND", "Coverage", "SectorUse", "stretches", "unwatched"]

BEARINGS = 360  # directions that are told apart, one a degree
_WORTH_TELLING_DEG = 5  # a gap of fewer is a shadow


@dataclass(frozen=True)
class SectorUse:
    """What looked at one sector."""

    name: str
    yaw_deg: float  # to the left of ahead
    used: ModalitySet
    level: int
    gmacs: float


@dataclass(frozen=True, eq=False)
class Coverage:
    """Who watches each direction of the base frame: entry i is from i to i + 1 degrees left of ahead."""

    sensors: NDArray[np.uint8]  # [360] bits of the sensors that look there; 0: blind
    range_m: NDArray[np.floating[Any]]  # [360] up to where objects are looked for; 0: blind


def unwatched(coverage: Coverage, bits: int) -> str:
    """The directions that none of the sensors of `bits` watches, in words; empty: there are none to tell."""
    gaps = stretches((coverage.sensors & bits) == 0)
    told = [f"{first} to {last}" for first, last, gap in gaps if gap and last - first >= _WORTH_TELLING_DEG]
    return ", ".join(told)


def stretches(sensors: NDArray[Any]) -> tuple[tuple[int, int, int], ...]:
    """From degree, to degree and value of each stretch of directions with the same `sensors` `[360]`."""
    edges = [0, *(np.flatnonzero(np.diff(sensors)) + 1).tolist(), len(sensors)]
    return tuple((first, last, int(sensors[first])) for first, last in pairwise(edges))


BLIND = Coverage(np.zeros(BEARINGS, np.uint8), np.zeros(BEARINGS))
