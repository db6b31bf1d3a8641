"""What a recording knows of each frame by all of its frames: tracked forwards and backwards, and joined."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sentryfuse_core.boxes import Floats, FrameBoxes, Ints
from sentryfuse_core.config import TrackingConfig
from sentryfuse_core.planar import EgoStep, step
from sentryfuse_core.tracking.findable import findable
from sentryfuse_core.tracking.follow import headings
from sentryfuse_core.tracking.motion import half_turn
from sentryfuse_core.tracking.noise import place_noise
from sentryfuse_core.tracking.objects import Objects
from sentryfuse_core.tracking.pairs import likeliest_pairs
from sentryfuse_core.tracking.profiles import profiles
from sentryfuse_core.tracking.tracker import STANDING, Tracker
from sentryfuse_core.types import ModalitySet

__all__ = ["Glimpse", "Hindsight", "in_hindsight"]

_FOUND = 0.5  # chance that a frame finds what is there: the teacher is not evaluated here


@dataclass(frozen=True, eq=False)
class Glimpse:
    """One frame: what was found in it, and how the robot came to it from the frame before."""

    found: FrameBoxes
    dt_s: float  # since the frame before, above 0; neither is read in the first frame
    way: EgoStep = STANDING


@dataclass(frozen=True, eq=False)
class Hindsight:
    """N objects of one frame, known from the frames before and after it; places are smoothed."""

    boxes: FrameBoxes  # scores: means of what was found of each object
    hits: Ints  # [N] frames in which it was found
    share: Floats  # [N] of the frames from its first to its last detection: those in which it was found

    def __len__(self) -> int:
        return len(self.hits)


def in_hindsight(
    glimpses: Sequence[Glimpse], labels: Sequence[str], *, used: ModalitySet, over_ground: bool = True
) -> list[Hindsight]:
    """The objects of each of the consecutive frames of one recording, found by the sensors `used`.

    `over_ground`: the ways tell how the robot went; else its turns alone, and speeds are relative to it.
    Two runs of the robot's own tracker meet in every frame, one that comes from the recording's beginning
    and one from its end; what both follow at one place is one object, also where this frame missed it.
    """
    ahead = _follow(glimpses, labels, used, over_ground=over_ground)
    nexts = [*glimpses[1:], *glimpses[-1:]]  # how the last frame was left is not read
    back = [
        Glimpse(glimpse.found, after.dt_s, step(after.way, EgoStep()))
        for glimpse, after in zip(glimpses, nexts, strict=True)
    ]
    behind = _follow(back[::-1], labels, used, over_ground=over_ground)[::-1]
    known, periods_s = profiles(labels) if over_ground else None, [glimpse.dt_s for glimpse in glimpses[1:]]
    period_s = float(np.median(periods_s)) if periods_s else 1.0
    return [_joined(*both, period_s, known) for both in zip(ahead, behind, strict=True)]


def _follow(
    glimpses: Sequence[Glimpse], labels: Sequence[str], used: ModalitySet, *, over_ground: bool
) -> list[Objects]:
    """The objects of every frame, in the order that is given."""
    tracker, known = Tracker(TrackingConfig(), labels), profiles(labels)
    chance = findable(used, lambda _: [_FOUND] * len(labels))
    followed = []
    for index, glimpse in enumerate(glimpses):
        found = glimpse.found
        objects = tracker.step(
            found,
            glimpse.dt_s if index else 0.0,
            findable=chance,
            noise=place_noise(found.boxes[:, :2], known[found.classes, 3], used),
            seen_by=used.bits,
            ego=glimpse.way if index else STANDING,
            over_ground=over_ground,
        )
        followed.append(objects.take(np.arange(len(objects))))
    return followed


def _joined(before: Objects, after: Objects, period_s: float, known: Floats | None) -> Hindsight:
    """What both runs follow at one place; places weighed by how sure either is of them.

    `known` are the classes' profiles where motion tells headings.
    """
    same = before.classes[:, None] == after.classes[None]
    first, second = likeliest_pairs(
        before.states[:, :2],
        before.covariances[:, :2, :2],
        before.sizes,
        after.states[:, :2],
        after.covariances[:, :2, :2],
        after.sizes,
        alike=np.where(same, 0.0, np.inf),
        gate=TrackingConfig().gate,
    )
    before, after = before.take(first), after.take(second)
    sure, other = (np.linalg.inv(item.covariances[:, :2, :2]) for item in (before, after))
    places = np.linalg.solve(
        sure + other, sure @ before.states[:, :2, None] + other @ after.states[:, :2, None]
    )[:, :, 0]
    weights = np.stack((before.hits, after.hits)) / (before.hits + after.hits)
    yaws = before.states[:, 4] if known is None else headings(before, known)
    yaws = yaws + weights[1] * half_turn(after.states[:, 4] - yaws)
    rest = np.column_stack((before.heights, before.sizes, before.scores)) * weights[0][:, None]
    rest = rest + np.column_stack((after.heights, after.sizes, after.scores)) * weights[1][:, None]
    hits = before.hits + after.hits - ((before.unseen_s == 0.0) & (after.unseen_s == 0.0))
    frames = np.round((before.age_s + after.age_s) / period_s) + 1
    return Hindsight(
        FrameBoxes(
            np.column_stack((places, rest[:, :4], yaws)), before.classes, 1.0 / (1.0 + np.exp(-rest[:, 4]))
        ),
        hits,
        np.minimum(hits / frames, 1.0),
    )
