"""Tracks on KITTI by the 3-D protocol of AB3DMOT: CLEAR MOT at an IoU of .25, kept by their mean score.

Weng et al., '3D Multi-Object Tracking: A Baseline and New Evaluation Metrics' (IROS 2020), whose evaluation
is KITTI's with boxes in space. Hidden (occlusion above 2), cut-off and similar objects are neither missed
nor found; a track that pairs with nothing is not wrong where nothing is labelled, nor where it is at most 25
pixels high.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from sentryfuse_core.boxes import Floats, Ints
from sentryfuse_core.lab.datasets.kitti_tracking import KittiTruth
from sentryfuse_core.lab.scoring.overlap import overlaps, paired

__all__ = [
    "LEAST_IOU",
    "KittiCounts",
    "SequenceTracks",
    "TrackBoxes",
    "best_threshold",
    "in_regions",
    "threshold_table",
]

LEAST_IOU = 0.25
_LEAST_HEIGHT_PX = 25.0
_IN_REGION = 0.5  # share of a box in the picture that lies where nothing is labelled
_THRESHOLDS = 50  # that the best is chosen among


@dataclass(frozen=True, eq=False)
class TrackBoxes:
    """What a tracker says in one frame."""

    identities: Ints  # [T]
    scores: Floats  # [T]
    boxes: Floats  # [T, 7]
    pixels: Floats  # [T, 4] left, top, right, bottom


@dataclass(frozen=True)
class KittiCounts:
    """Errors over sequences; they add up."""

    boxes: int = 0  # true ones that count
    missed: int = 0
    false: int = 0
    switches: int = 0

    @property
    def mota(self) -> float:
        """1 less the share of errors."""
        return 1.0 - (self.missed + self.false + self.switches) / max(1, self.boxes)

    def __add__(self, other: KittiCounts) -> KittiCounts:
        return KittiCounts(
            self.boxes + other.boxes,
            self.missed + other.missed,
            self.false + other.false,
            self.switches + other.switches,
        )


class SequenceTracks:
    """Tracks of one sequence beside its truth; overlaps are computed once for all thresholds."""

    def __init__(self, truth: Sequence[KittiTruth], tracks: Sequence[TrackBoxes]) -> None:
        identities = np.concatenate([np.zeros(0, np.int64), *(made.identities for made in tracks)])
        self.scores = np.concatenate([np.zeros(0), *(made.scores for made in tracks)])
        names, number = np.unique(identities, return_inverse=True)
        count = np.bincount(number, minlength=len(names))
        sums = np.bincount(number, weights=self.scores, minlength=len(names))
        means = (sums / np.maximum(count, 1))[number]
        ends = np.cumsum([len(made.identities) for made in tracks])[:-1]
        self._frames = [
            (true, made.identities, mean, overlaps(true.boxes, made.boxes), _excused(true, made))
            for true, made, mean in zip(truth, tracks, np.split(means, ends), strict=True)
            if len(true.identities) or len(made.identities)
        ]

    def counts(self, threshold: float) -> KittiCounts:
        """Errors of the tracks whose mean score is `threshold` or more."""
        boxes = missed = false = 0
        histories: dict[int, list[tuple[int, bool]]] = {}  # of each object: track or -1, ignored
        for true, identities, means, overlap, excused in self._frames:
            kept = means >= threshold
            rows, columns = paired(overlap, (overlap >= LEAST_IOU) & kept)
            names = np.full(len(true.identities), -1)
            names[rows] = identities[columns]
            wrong = kept & ~excused
            wrong[columns] = False
            false += int(wrong.sum())
            counted = true.ignored == 0
            boxes += int(counted.sum())
            missed += int((counted & (names < 0)).sum())
            for who, name, counts in zip(
                true.identities.tolist(), names.tolist(), counted.tolist(), strict=True
            ):
                histories.setdefault(who, []).append((name, not counts))
        return KittiCounts(boxes, missed, false, sum(map(_switches, histories.values())))


def threshold_table(parts: Sequence[SequenceTracks]) -> tuple[Floats, list[list[KittiCounts]]]:
    """Mean scores that tracks may have to reach, and the errors of every part at each of them."""
    scores = np.unique(np.concatenate([np.zeros(1), *(part.scores for part in parts)]).round(3))
    tried = np.unique(np.quantile(scores, np.linspace(0.0, 0.98, _THRESHOLDS)))
    return tried, [[part.counts(float(one)) for one in tried] for part in parts]


def best_threshold(table: Sequence[Sequence[KittiCounts]]) -> int:
    """Which of the thresholds gives the best MOTA over all rows of the table together."""
    totals = [sum(column, KittiCounts()).mota for column in zip(*table, strict=True)]
    return int(np.argmax(totals))


def in_regions(pixels: Floats, regions: Floats) -> NDArray[np.bool_]:
    """Which boxes [K, 4] of the picture lie mostly in one of the regions [R, 4]."""
    low = np.maximum(pixels[:, None, :2], regions[None, :, :2])
    high = np.minimum(pixels[:, None, 2:], regions[None, :, 2:])
    shared = np.maximum(high - low, 0.0).prod(axis=-1)
    own = np.maximum((pixels[:, 2:] - pixels[:, :2]).prod(axis=1), 1e-9)
    return np.asarray((shared / own[:, None] > _IN_REGION).any(axis=1))


def _excused(true: KittiTruth, made: TrackBoxes) -> NDArray[np.bool_]:
    low = made.pixels[:, 3] - made.pixels[:, 1] <= _LEAST_HEIGHT_PX
    return np.asarray(low | in_regions(made.pixels, true.regions))


def _switches(history: Sequence[tuple[int, bool]]) -> int:
    """How often an object changes its track; where it is ignored, its track is forgotten."""
    switches, last = 0, history[0][0]
    for (before, _), (name, ignored) in pairwise(history):
        if ignored:
            last = -1
            continue
        switches += int(last >= 0 and name >= 0 and before >= 0 and name != last)
        last = name if name >= 0 else last
    return switches
