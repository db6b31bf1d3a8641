"""FrameBoxes: the boxes of one frame, found or true, as tracker and metrics read them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sentryfuse_core.errors import EvaluationError

__all__ = ["Floats", "FrameBoxes", "Ints"]

Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.integer[Any]]


@dataclass(frozen=True, eq=False)
class FrameBoxes:
    """K boxes of one frame, in any order; raises EvaluationError for what is no box."""

    boxes: Floats  # [K, 7] x, y, z, length, width, height (m), yaw (rad)
    classes: Ints  # [K] index into the labels
    scores: Floats  # [K]; ones for truth

    def __post_init__(self) -> None:
        shapes = (self.boxes.shape, self.classes.shape, self.scores.shape)
        count = len(self.classes)
        if shapes != ((count, 7), (count,), (count,)):
            raise EvaluationError(f"shapes {shapes} are not [K, 7], [K] and [K]")
        if not (np.isfinite(self.boxes).all() and np.isfinite(self.scores).all()):
            raise EvaluationError("a box or a score is not finite; leave it out")
        if (self.boxes[:, 3:6] <= 0.0).any():
            raise EvaluationError("a box has a side of 0 m or less; leave it out")

    def __len__(self) -> int:
        return len(self.classes)

    @classmethod
    def none(cls) -> FrameBoxes:
        """A frame without boxes."""
        return cls(np.zeros((0, 7)), np.zeros(0, np.int64), np.zeros(0))

    def take(self, index: NDArray[Any]) -> FrameBoxes:
        """The boxes at `index`, integers or booleans."""
        return FrameBoxes(self.boxes[index], self.classes[index], self.scores[index])
