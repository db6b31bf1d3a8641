"""Greedy matching of detections to true boxes by centre distance, all frames at once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sentryfuse_core.boxes import Floats, FrameBoxes, Ints
from sentryfuse_core.errors import EvaluationError

__all__ = ["DISTANCES_M", "TP_DISTANCE_M", "Matches", "match_frames"]

DISTANCES_M = (0.5, 1.0, 2.0, 4.0)  # nuScenes detection_cvpr_2019
TP_DISTANCE_M = 2.0  # at which errors of true positives are measured
_TP = DISTANCES_M.index(TP_DISTANCE_M)


@dataclass(frozen=True, eq=False)
class Matches:
    """N detections of F frames, best score first, and what each was matched to."""

    frame: Ints  # [N]
    classes: Ints  # [N]
    scores: Floats  # [N] never rising
    hit: NDArray[np.bool_]  # [N, 4] a true positive at each of DISTANCES_M
    translation: Floats  # [N] m, centre distance on the ground at 2 m matching; NaN: no match
    scale: Floats  # [N] 1 - IoU of the two sizes with centres and headings laid together; NaN: no match
    heading: Floats  # [N] rad, found minus true, not wrapped; NaN: no match
    truth_count: Ints  # [F, C] true boxes of each frame and class

    @property
    def frames(self) -> int:
        """How many frames were matched."""
        return len(self.truth_count)

    @property
    def right(self) -> NDArray[np.bool_]:
        """[N] whether a detection is a true positive at 2 m."""
        found: NDArray[np.bool_] = self.hit[:, _TP]
        return found


def match_frames(truth: Sequence[FrameBoxes], found: Sequence[FrameBoxes], *, class_count: int) -> Matches:
    """Match within frame and class, best score first, each to its nearest box that is still free.

    The rule of nuscenes-devkit 1.2.0 (`eval/detection/algo.py`, `accumulate`), ties included: a match is
    nearer than the distance, not at it, and of equal scores the later detection comes first. Frames do
    not compete for boxes, so that all of them are matched in step, rank by rank.
    """
    if len(truth) != len(found):
        raise EvaluationError(f"{len(truth)} frames of truth for {len(found)} of detections; give one each")
    for part in (*truth, *found):
        if len(part) and not 0 <= part.classes.min() <= part.classes.max() < class_count:
            raise EvaluationError(f"classes {np.unique(part.classes).tolist()} are not below {class_count}")
    every = [FrameBoxes.none(), *found]  # something to put together also where there is no frame
    scores = np.concatenate([part.scores for part in every])
    order = np.argsort(scores, kind="stable")[::-1]  # best first, of equal ones the last comes first
    frame = np.repeat(np.arange(len(found)), [len(part) for part in found])[order]
    guesses = np.concatenate([part.boxes for part in every])[order]
    classes = np.concatenate([part.classes for part in every])[order]
    true_boxes, true_classes = _pad(truth)
    owner = _greedy(frame, guesses, classes, true_boxes, true_classes)
    matched = owner[:, _TP] >= 0
    own = np.full((len(frame), 7), np.nan)
    own[matched] = true_boxes[frame[matched], owner[matched, _TP]]
    counts = (true_classes[:, :, None] == np.arange(class_count)).sum(axis=1)
    return Matches(
        frame=frame,
        classes=classes,
        scores=scores[order],
        hit=owner >= 0,
        translation=np.hypot(*(guesses[:, :2] - own[:, :2]).T),
        scale=_scale_error(guesses[:, 3:6], own[:, 3:6]),
        heading=guesses[:, 6] - own[:, 6],
        truth_count=counts,
    )


def _pad(frames: Sequence[FrameBoxes]) -> tuple[Floats, Ints]:
    """Boxes [F, K, 7] and classes [F, K] of the frames; rows beyond a frame's boxes have class -1."""
    most = max((len(part) for part in frames), default=0)
    boxes = np.zeros((len(frames), max(1, most), 7))
    classes = np.full((len(frames), max(1, most)), -1, np.int64)
    for index, part in enumerate(frames):
        boxes[index, : len(part)] = part.boxes
        classes[index, : len(part)] = part.classes
    return boxes, classes


def _greedy(frame: Ints, guesses: Floats, classes: Ints, true_boxes: Floats, true_classes: Ints) -> Ints:
    """The true box [N, 4] that each detection gets at each distance, -1 for none."""
    owner = np.full((len(frame), len(DISTANCES_M)), -1, np.int64)
    if not len(frame):
        return owner
    limits = np.array(DISTANCES_M)
    taken = np.zeros((len(DISTANCES_M), *true_classes.shape), bool)
    by_frame = np.argsort(frame, kind="stable")  # within a frame still best first
    counts = np.bincount(frame, minlength=len(true_classes))
    starts = np.cumsum(counts) - counts
    for rank in range(int(counts.max())):
        rows = by_frame[starts[counts > rank] + rank]
        frames = frame[rows]
        apart = np.hypot(*np.moveaxis(guesses[rows, None, :2] - true_boxes[frames, :, :2], -1, 0))
        apart[true_classes[frames] != classes[rows, None]] = math.inf
        free = np.where(taken[:, frames], math.inf, apart)  # [4, R, M]
        nearest = free.argmin(axis=2)
        good = np.take_along_axis(free, nearest[..., None], axis=2)[..., 0] < limits[:, None]
        which, row = np.nonzero(good)
        taken[which, frames[row], nearest[which, row]] = True
        owner[rows[row], which] = nearest[which, row]
    return owner


def _scale_error(found: Floats, true: Floats) -> Floats:
    """1 - IoU of boxes [N, 3] laid on each other."""
    shared = np.minimum(found, true).prod(axis=1)
    error: Floats = 1.0 - shared / (found.prod(axis=1) + true.prod(axis=1) - shared)
    return error
