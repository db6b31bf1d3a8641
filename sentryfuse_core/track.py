"""Track: one object that is followed from set to set."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from sentryfuse_core.types import ModalitySet

__all__ = ["Track", "TrackState"]

Matrix: TypeAlias = NDArray[np.floating[Any]]


class TrackState(IntEnum):
    """How sure it is that the object is there; the numbers are those of FusedTrack.msg."""

    TENTATIVE = 0  # not likely enough to be believed
    CONFIRMED = 1  # believed, and found in this set
    COASTING = 2  # believed, and not found in this set: where it is follows from its motion


@dataclass(frozen=True)
class Track:
    """An object in the base frame: its box as of the set, in m and rad, and its motion."""

    identity: int  # counts up from 1 within an epoch, never used again
    label: str
    class_id: int
    state: TrackState
    score: float  # mean of what its detections scored, 0..1
    existence: float  # chance that it is there, 0..1
    x: float
    y: float
    z: float
    length: float
    width: float
    height: float
    yaw: float
    vx: float  # m/s along the base frame's axes
    vy: float
    turn_rate: float  # rad/s
    covariance: Matrix = field(compare=False)  # [6, 6] of x, y, vx, vy, yaw and turn_rate
    age_s: float  # since it was found first
    unseen_s: float  # since it was found last; 0: in this set
    seen_by: ModalitySet  # the sensors used when it was found last
    detection: int | None = None  # which of the set's detections it is
    # [S, 2] x and y in the last S sets, oldest first
    trail: Matrix = field(default_factory=lambda: np.zeros((0, 2)), compare=False)
