"""Detection metrics by the rules of nuScenes: AP by centre distance, errors of true positives, a summary."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sentryfuse_core.boxes import Floats, FrameBoxes
from sentryfuse_core.evaluation.matching import DISTANCES_M, Matches, match_frames

__all__ = ["DetectionMetrics", "average_precision", "evaluate_detections", "metrics_of"]

NDS_TERMS = ("map", "ate", "ase", "aoe")  # velocity and attribute errors have no counterpart here
_MAP_WEIGHT = 5.0  # against 1 of every error, as in NDS
_MIN_RECALL = _MIN_PRECISION = 0.1
_POINTS = 101
_FIRST = round(100 * _MIN_RECALL) + 1  # the point of least recall is itself left out
_RECALLS = np.linspace(0.0, 1.0, _POINTS)


@dataclass(frozen=True)
class DetectionMetrics:
    """Figures over all frames; means over classes are plain, and a class never there has AP 0, errors 1."""

    map: float  # mean of `ap` over classes and distances
    ap: Mapping[str, Mapping[float, float]]  # by label and distance in m
    ate: Mapping[str, float]  # m, by label: mean centre distance on the ground
    ase: Mapping[str, float]  # 1 - IoU of the sizes
    aoe: Mapping[str, float]  # rad
    boxes: int  # true ones
    frames: int

    @property
    def mean_ate(self) -> float:
        """Mean translation error over classes, m."""
        return _mean(self.ate)

    @property
    def mean_ase(self) -> float:
        """Mean scale error over classes."""
        return _mean(self.ase)

    @property
    def mean_aoe(self) -> float:
        """Mean orientation error over classes, rad."""
        return _mean(self.aoe)

    @property
    def nds(self) -> float:
        """(5 mAP + sum of 1 - min(1, error)) / 8 over `NDS_TERMS`; nuScenes' NDS has two errors more."""
        errors = (self.mean_ate, self.mean_ase, self.mean_aoe)
        kept = sum(1.0 - min(1.0, error) for error in errors)
        return (_MAP_WEIGHT * self.map + kept) / (_MAP_WEIGHT + len(errors))

    def to_mapping(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "map": self.map,
            "ap": {
                label: {f"{metres:g}": ap for metres, ap in own.items()} for label, own in self.ap.items()
            },
            "ate_m": {**self.ate, "mean": self.mean_ate},
            "ase": {**self.ase, "mean": self.mean_ase},
            "aoe_rad": {**self.aoe, "mean": self.mean_aoe},
            "nds": self.nds,
            "nds_terms": list(NDS_TERMS),
            "boxes": self.boxes,
            "frames": self.frames,
        }


def evaluate_detections(
    truth: Sequence[FrameBoxes],
    found: Sequence[FrameBoxes],
    *,
    labels: Sequence[str],
    half_turn: Collection[str] = (),
) -> DetectionMetrics:
    """Metrics of detections against the truth of the same frames, as nuscenes-devkit 1.2.0 computes them.

    Args:
        truth: one a frame; scores are not read.
        found: one a frame, in the same order.
        labels: names of the classes.
        half_turn: labels whose heading is only known up to half a turn (nuScenes: barriers).
    """
    return metrics_of(match_frames(truth, found, class_count=len(labels)), labels=labels, half_turn=half_turn)


def metrics_of(
    matches: Matches, *, labels: Sequence[str], half_turn: Collection[str] = ()
) -> DetectionMetrics:
    """Metrics of detections that are already matched."""
    ap: dict[str, dict[float, float]] = {}
    errors: dict[str, dict[str, float]] = {"ate": {}, "ase": {}, "aoe": {}}
    for index, label in enumerate(labels):
        own = matches.classes == index
        boxes = int(matches.truth_count[:, index].sum())
        scores, hits = matches.scores[own], matches.hit[own]
        ap[label] = {
            metres: average_precision(hits[:, column], boxes) for column, metres in enumerate(DISTANCES_M)
        }
        heading = _wrapped(matches.heading[own], math.pi if label in half_turn else 2 * math.pi)
        for kind, error in (("ate", matches.translation[own]), ("ase", matches.scale[own]), ("aoe", heading)):
            errors[kind][label] = _true_positive_error(error, matches.right[own], scores, boxes)
    return DetectionMetrics(
        map=float(np.mean([list(own.values()) for own in ap.values()])),
        ap=ap,
        **errors,
        boxes=int(matches.truth_count.sum()),
        frames=matches.frames,
    )


def average_precision(hit: Floats, boxes: float, weights: Floats | None = None) -> float:
    """Area of precision above 0.1 over recall above 0.1, scaled to 0..1 (devkit: `calc_ap`).

    Args:
        hit: [N] bool, whether each detection of a class is right, best first.
        boxes: true boxes of the class, by the same weights.
        weights: [N] how often each detection counts; once unless given.
    """
    counted = np.ones(len(hit)) if weights is None else weights
    right = np.cumsum(hit * counted)
    if boxes <= 0 or not len(hit) or right[-1] <= 0:
        return 0.0
    seen = np.cumsum(counted)
    known = seen > 0
    precision = np.interp(_RECALLS, right[known] / boxes, right[known] / seen[known], right=0)
    above = np.maximum(precision[_FIRST:] - _MIN_PRECISION, 0.0)
    return float(above.mean()) / (1.0 - _MIN_PRECISION)


def _true_positive_error(error: Floats, right: Floats, scores: Floats, boxes: int) -> float:
    """Mean over recalls above 0.1 of the error's running mean (devkit: `calc_tp`); 1 without such recalls.

    `error` [N] of the detections that are `right` [N], best first.
    """
    if boxes == 0 or not right.any():
        return 1.0
    running = np.cumsum(error[right]) / np.arange(1, int(right.sum()) + 1)
    reached = np.interp(_RECALLS, np.cumsum(right) / boxes, scores, right=0)  # score at each recall
    last = int(np.flatnonzero(reached)[-1]) if reached.any() else 0
    if last < _FIRST:
        return 1.0
    resampled = np.interp(reached[::-1], scores[right][::-1], running[::-1])[::-1]
    return float(resampled[_FIRST : last + 1].mean())


def _wrapped(angle: Floats, period: float) -> Floats:
    """The smallest size of angles [N] that are known up to `period`, rad."""
    wrapped: Floats = np.abs((angle + period / 2) % period - period / 2)
    return wrapped


def _mean(by_label: Mapping[str, float]) -> float:
    return sum(by_label.values()) / len(by_label)
