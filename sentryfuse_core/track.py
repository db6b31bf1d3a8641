"""Track: one object that is followed from set to set."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sentryfuse_core.types import ModalitySet

__all__ = ["Track", "TrackState"]


class TrackState(IntEnum):
    """How sure it is that the object is there; the numbers are those of FusedTrack.msg."""

    TENTATIVE = 0  # has never been likely enough to be believed
    CONFIRMED = 1  # is believed, and was found in this set
    COASTING = 2  # was believed, and was not found in this set: where it is follows from its motion


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
    covariance: tuple[float, ...]  # 6 x 6 by rows: x, y, vx, vy, yaw, turn_rate
    age_s: float  # since it was found first
    unseen_s: float  # since it was found last; 0: in this set
    seen_by: ModalitySet  # the sensors used when it was found last
    detection: int | None = None  # which of the set's detections it is
    trail: tuple[tuple[float, float], ...] = ()  # where it was in the last sets, oldest first, x and y
