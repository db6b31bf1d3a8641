"""What tracks say of true objects: where, how fast, which way, under which name, and of what is not there.

A track and an object are a pair where they are of one class and their centres at most 2 m apart on the
ground, as detections are judged; of all such pairings the nearest as a whole is taken.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sentryfuse_core.boxes import Floats, Ints
from sentryfuse_core.errors import EvaluationError
from sentryfuse_core.evaluation.matching import TP_DISTANCE_M
from sentryfuse_core.evaluation.tracks import TrackFrame, assigned

__all__ = [
    "SIMILAR_M",
    "Crowd",
    "Moment",
    "MotionScores",
    "kept_identities",
    "pairs",
    "phantoms",
    "score_motion",
    "similarity",
    "track_frames",
]

SIMILAR_M = 4.0  # from here on two centres are nothing alike; half of it is the similarity that pairs
_MOVES_M_S = 1.0  # slower than this a heading is no matter of motion
_STRAIGHT_RAD = math.radians(15.0)


@dataclass(frozen=True, eq=False)
class Crowd:
    """N objects at one moment, true or followed; raises EvaluationError for what is no such thing."""

    identities: Ints  # [N]
    classes: Ints  # [N]
    places: Floats  # [N, 2] m, base frame
    velocities: Floats  # [N, 2] m/s over ground
    headings: Floats  # [N] rad

    def __post_init__(self) -> None:
        count = len(self.identities)
        shapes = (
            self.classes.shape,
            self.headings.shape,
            self.places.shape,
            self.velocities.shape,
        )
        if shapes != ((count,), (count,), (count, 2), (count, 2)):
            raise EvaluationError(f"shapes {shapes} are not [N], [N], [N, 2] and [N, 2]")
        for values in (self.places, self.velocities, self.headings):
            if not np.isfinite(values).all():
                raise EvaluationError("a place, velocity or heading is not finite; leave it out")

    def __len__(self) -> int:
        return len(self.identities)


@dataclass(frozen=True, eq=False)
class Moment:
    """Who is there, and who is said to be there."""

    truth: Crowd
    found: Crowd


@dataclass(frozen=True)
class MotionScores:
    """Errors of all pairs; NaN where there is none."""

    velocity_error_m_s: Mapping[int, float]  # by class: mean length of the difference of velocities
    straight: float  # share of headings within 15 degrees, of what moves faster than 1 m/s
    heading_error_rad: float  # their median
    pairs: int
    moving: int  # pairs whose object moves

    @property
    def mave_m_s(self) -> float:
        """Mean over classes of the velocity error, mAVE."""
        errors = list(self.velocity_error_m_s.values())
        return float(np.mean(errors)) if errors else math.nan


def similarity(truth: Crowd, found: Crowd) -> Floats:
    """`[G, T]` 1 - distance / 4 m on the ground, 0 at least; 0 where the classes are two."""
    apart = np.hypot(*np.moveaxis(truth.places[:, None] - found.places[None], -1, 0))
    same = truth.classes[:, None] == found.classes[None]
    alike: Floats = np.where(same, np.maximum(0.0, 1.0 - apart / SIMILAR_M), 0.0)
    return alike


def pairs(moment: Moment) -> tuple[Ints, Ints]:
    """Rows `[P]` of objects and of tracks that belong together."""
    alike = similarity(moment.truth, moment.found)
    near = alike >= 1.0 - TP_DISTANCE_M / SIMILAR_M
    # More pairs come before nearer ones.
    rows, columns = assigned(np.where(near, len(alike) + 1 + alike, 0.0))
    paired = near[rows, columns]
    return rows[paired], columns[paired]


def track_frames(moments: Sequence[Moment]) -> list[TrackFrame]:
    """What HOTA, CLEAR MOT and identity scores are made of."""
    return [
        TrackFrame(one.truth.identities, one.found.identities, similarity(one.truth, one.found))
        for one in moments
    ]


def score_motion(moments: Sequence[Moment]) -> MotionScores:
    """Errors of velocities and headings over all pairs of all moments."""
    parts = [_errors(one) for one in moments]
    classes, velocity, heading, speed = (
        np.concatenate([np.zeros(0), *(part[index] for part in parts)]) for index in range(4)
    )
    moving = heading[speed > _MOVES_M_S]
    return MotionScores(
        velocity_error_m_s={
            int(kind): float(velocity[classes == kind].mean()) for kind in np.unique(classes)
        },
        straight=float((moving <= _STRAIGHT_RAD).mean()) if len(moving) else math.nan,
        heading_error_rad=float(np.median(moving)) if len(moving) else math.nan,
        pairs=len(classes),
        moving=len(moving),
    )


def _errors(moment: Moment) -> tuple[Floats, Floats, Floats, Floats]:
    """Class, error of velocity (m/s), error of heading (rad) and true speed (m/s) of every pair."""
    truth, found = moment.truth, moment.found
    rows, columns = pairs(moment)
    off = found.velocities[columns] - truth.velocities[rows]
    turned = found.headings[columns] - truth.headings[rows]
    error = np.abs((turned + math.pi) % (2 * math.pi) - math.pi)
    return truth.classes[rows].astype(float), np.hypot(*off.T), error, np.hypot(*truth.velocities[rows].T)


def phantoms(moments: Sequence[Moment]) -> tuple[int, int]:
    """How many tracks never were a true object, and how many there are at all."""
    every: set[int] = set()
    real: set[int] = set()
    for one in moments:
        every.update(one.found.identities.tolist())
        real.update(one.found.identities[pairs(one)[1]].tolist())
    return len(every - real), len(every)


def kept_identities(
    moments: Sequence[Moment], undisturbed: Sequence[Moment], *, before: int, after: int, within: int
) -> tuple[int, int, int]:
    """What a gap between two moments did to the identities of those who were followed when it began.

    Args:
        moments: of the run with the gap.
        undisturbed: the same moments of the same recording, without it.
        before: number of the last moment before the gap.
        after: number of the first after it.
        within: how many moments from there on an object may take to be found again.

    Returns:
        How many have the same identity after as before, of those that the undisturbed run follows at both
        times; those; and all that are there at both times, hidden or not.
    """
    names, again = _names(moments[before]), moments[after : after + within]
    held = {who: [_names(one).get(who) for one in again] for who in names}
    kept = {who for who, later in held.items() if names[who] in later}
    there = {who for who in names if any(who in one.truth.identities for one in again)}
    followed = set(_names(undisturbed[before])) & {
        who for one in undisturbed[after : after + within] for who in _names(one)
    }
    return len(kept & followed), len(there & followed), len(there)


def _names(moment: Moment) -> dict[int, int]:
    """The track of every object that has one."""
    rows, columns = pairs(moment)
    return dict(
        zip(moment.truth.identities[rows].tolist(), moment.found.identities[columns].tolist(), strict=True)
    )
