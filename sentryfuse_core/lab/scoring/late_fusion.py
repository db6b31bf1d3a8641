"""The usual way to be robust: one detector a sensor, and their boxes put together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sentryfuse_core.boxes import FrameBoxes

__all__ = ["late_fusion"]

_APART_M = 2.0  # of two boxes of a class whose centres are nearer, the better is kept


def late_fusion(parts: Sequence[Sequence[FrameBoxes]]) -> list[FrameBoxes]:
    """The union of what each of `parts` found, frame by frame, less doubles of the same class.

    Scores of different detectors compete, so that they should be calibrated.
    """
    return [_without_doubles(frames) for frames in zip(*parts, strict=True)]


def _without_doubles(frames: Sequence[FrameBoxes]) -> FrameBoxes:
    scores = np.concatenate([frame.scores for frame in frames])
    order = np.argsort(-scores, kind="stable")
    boxes = np.concatenate([frame.boxes for frame in frames])[order]
    classes = np.concatenate([frame.classes for frame in frames])[order]
    near = np.hypot(*(boxes[:, None, :2] - boxes[:, :2]).transpose(2, 0, 1)) < _APART_M
    near &= classes[:, None] == classes
    kept = np.ones(len(order), bool)
    for row in range(len(order)):
        if kept[row]:
            kept[row + 1 :] &= ~near[row, row + 1 :]
    return FrameBoxes(boxes[kept], classes[kept], scores[order][kept])
