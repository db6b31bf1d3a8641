"""Our tracker and the plain one over KITTI's public detections, each scored on what it was not fitted to.

Nothing of the robot's motion is used. Scores of our tracker are calibrated by a logistic fit on the *other*
sequences; the plain one takes raw scores, as its authors have it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sentryfuse_core.boxes import Floats, FrameBoxes, Ints
from sentryfuse_core.config import TrackingConfig
from sentryfuse_core.lab.datasets.kitti_tracking import KittiTruth, SeenBoxes, detections, truth
from sentryfuse_core.lab.scoring.calibration import Calibrator, fit_calibrator
from sentryfuse_core.lab.scoring.kitti_tracks import (
    LEAST_IOU,
    KittiCounts,
    SequenceTracks,
    TrackBoxes,
    best_threshold,
    in_regions,
    threshold_table,
)
from sentryfuse_core.lab.scoring.overlap import overlaps
from sentryfuse_core.lab.scoring.plain_tracker import PlainTracker
from sentryfuse_core.tracking.tracker import Tracker

__all__ = ["KittiResult", "run_kitti"]

_DT_S = 0.1
_LABELS = ("car", "pedestrian", "cyclist")
_TOLD = 0.3  # probability of being there from which a track is told; the threshold comes after that
_HALF_VIEW_RAD = math.radians(38.0)  # of camera 2, outside which PointRCNN finds nothing
_FOUND, _HARDLY = 0.5, 0.05  # chance that the detector finds what is in view, and what is not
_NEAREST_M, _FADES_M = 3.0, 90.0


@dataclass(frozen=True)
class KittiResult:
    """One tracker on one class."""

    chosen: KittiCounts  # at the threshold that is best on all these sequences: it has seen what is scored
    crossed: KittiCounts  # each sequence at the threshold that is best on the others
    threshold: float
    step_ms: tuple[float, ...]  # of every step


def run_kitti(root: Path, sequences: Sequence[str], kind: str) -> Mapping[str, KittiResult]:
    """'plain' and 'ours' on one class over the sequences."""
    truths = {name: truth(root, name, kind) for name in sequences}
    seen = {name: detections(root, name, kind, frames=len(truths[name])) for name in sequences}
    claims = {name: _claims(truths[name], seen[name]) for name in sequences}
    made: dict[str, list[SequenceTracks]] = {"plain": [], "ours": []}
    times: dict[str, list[float]] = {"plain": [], "ours": []}
    for name in sequences:
        others = [claims[other] for other in sequences if other != name]
        calibrate = fit_calibrator(*(np.concatenate(columns) for columns in zip(*others, strict=True)))
        for tracker, tracks in (
            ("plain", _plain(seen[name], times["plain"])),
            ("ours", _ours(seen[name], kind, calibrate, times["ours"])),
        ):
            made[tracker].append(SequenceTracks(truths[name], tracks))
    return {tracker: _result(parts, times[tracker]) for tracker, parts in made.items()}


def _result(parts: Sequence[SequenceTracks], step_ms: Sequence[float]) -> KittiResult:
    tried, table = threshold_table(parts)
    best = best_threshold(table)
    others = [best_threshold([*table[:number], *table[number + 1 :]]) for number in range(len(table))]
    return KittiResult(
        chosen=sum((row[best] for row in table), KittiCounts()),
        crossed=sum((row[own] for row, own in zip(table, others, strict=True)), KittiCounts()),
        threshold=float(tried[best]),
        step_ms=tuple(step_ms),
    )


def _claims(truths: Sequence[KittiTruth], seen: Sequence[SeenBoxes]) -> tuple[Floats, Ints]:
    """Scores 0..1, not calibrated, of all detections that are judged, and whether they are right."""
    scores, right = [np.zeros(0)], [np.zeros(0, bool)]
    for true, found in zip(truths, seen, strict=True):
        overlap = overlaps(found.boxes.boxes, true.boxes)
        best = overlap.argmax(axis=1) if len(true.boxes) else np.zeros(len(found.boxes), int)
        hit = overlap.max(axis=1, initial=0.0) >= LEAST_IOU
        ignored = hit & (true.ignored[best] == 1) if len(true.boxes) else hit
        judged = ~ignored & ~in_regions(found.pixels, true.regions)
        scores.append(_squashed(found.boxes.scores)[judged])
        right.append(hit[judged])
    return np.concatenate(scores), np.concatenate(right)


def _squashed(scores: Floats) -> Floats:
    """PointRCNN's scores are logits."""
    return np.asarray(1.0 / (1.0 + np.exp(-scores)))


def _plain(seen: Sequence[SeenBoxes], step_ms: list[float]) -> list[TrackBoxes]:
    tracker, tracks, first = PlainTracker(), [], 0
    pixels = np.concatenate([np.zeros((0, 4)), *(found.pixels for found in seen)])
    for found in seen:
        tags = np.arange(first, first + len(found.boxes))
        first += len(found.boxes)
        began_s = time.perf_counter()
        identities, scores, boxes, last = tracker.step(found.boxes, tags)
        step_ms.append((time.perf_counter() - began_s) * 1e3)
        tracks.append(TrackBoxes(identities, scores, boxes, pixels[last]))
    return tracks


def _ours(
    seen: Sequence[SeenBoxes], kind: str, calibrate: Calibrator, step_ms: list[float]
) -> list[TrackBoxes]:
    tracker, tracks = Tracker(TrackingConfig(), _LABELS), []
    number = _LABELS.index(kind.lower())
    for found in seen:
        boxes = found.boxes
        claimed = FrameBoxes(boxes.boxes, np.full(len(boxes), number), calibrate(_squashed(boxes.scores)))
        began_s = time.perf_counter()
        objects = tracker.step(claimed, _DT_S, findable=_findable)
        step_ms.append((time.perf_counter() - began_s) * 1e3)
        told = objects.take((objects.exists >= _TOLD) & (objects.unseen_s < _DT_S / 2))
        places = told.states[:, :2]
        placed = np.column_stack((places, told.heights, told.sizes, told.states[:, 4]))
        apart = np.hypot(*np.moveaxis(places[:, None] - boxes.boxes[None, :, :2], -1, 0))
        nearest = apart.argmin(axis=1) if len(boxes) else np.zeros(0, int)
        # The detector's own scale, which all sequences share whatever their calibrator.
        scores = (told.scores - calibrate.offset) / calibrate.slope
        tracks.append(TrackBoxes(told.identities, scores, placed, found.pixels[nearest]))
    return tracks


def _findable(places: Floats, classes: Ints) -> Floats:  # noqa: ARG001 - all classes alike
    """Chance that PointRCNN finds what is there: it looks where the camera does, and less far off."""
    distance = np.hypot(*places.T)
    inside = (np.abs(np.arctan2(places[:, 1], places[:, 0])) < _HALF_VIEW_RAD) & (distance > _NEAREST_M)
    return np.asarray(np.where(inside, _FOUND * np.clip(1.3 - distance / _FADES_M, 0.2, 1.0), _HARDLY))
