"""Objects: what a tracker knows of all it follows, one row for each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sentryfuse_core.boxes import Floats, Ints
from sentryfuse_core.tracking.motion import SIZE

__all__ = ["TRAIL", "Objects"]

TRAIL = 20  # sets of which an object's places are kept


@dataclass(eq=False)
class Objects:
    """N objects. Places and speeds are in the base frame of the last set."""

    identities: Ints  # [N]
    classes: Ints  # [N]
    states: Floats  # [N, 6] see `motion`
    covariances: Floats  # [N, 6, 6]
    heights: Floats  # [N] z of the centre, m
    sizes: Floats  # [N, 3] length, width, height, m
    exists: Floats  # [N] probability
    scores: Floats  # [N] logit, mean over the detections
    hits: Ints  # [N] detections so far
    age_s: Floats  # [N] since its first detection
    unseen_s: Floats  # [N] since its last
    seen_by: Ints  # [N] bits of the sensors used for that
    trails: Floats  # [N, TRAIL, 2] places in the last sets, the newest last, NaN before its first

    def __len__(self) -> int:
        return len(self.identities)

    @classmethod
    def none(cls) -> Objects:
        """No objects."""
        whole, real = np.zeros(0, np.int64), np.zeros(0)
        return cls(
            identities=whole,
            classes=whole,
            states=np.zeros((0, SIZE)),
            covariances=np.zeros((0, SIZE, SIZE)),
            heights=real,
            sizes=np.zeros((0, 3)),
            exists=real,
            scores=real,
            hits=whole,
            age_s=real,
            unseen_s=real,
            seen_by=whole,
            trails=np.zeros((0, TRAIL, 2)),
        )

    def take(self, rows: NDArray[Any]) -> Objects:
        """The objects of these rows, integers or booleans."""
        return Objects(**{name: values[rows] for name, values in vars(self).items()})

    def plus(self, others: Objects) -> Objects:
        """These and the others."""
        return Objects(
            **{name: np.concatenate((values, getattr(others, name))) for name, values in vars(self).items()}
        )
