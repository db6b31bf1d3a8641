"""Ground truth of a recording by time, and detections scored against it."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from pathlib import Path

from sentryfuse_core.preprocess.geometry import GEOMETRY
from sentryfuse_core.replay.labels import TrueBox, read_labels
from sentryfuse_core.sync.match import nearest
from sentryfuse_core.types import Detection

__all__ = ["NEAR_NS", "Truth", "in_region", "load_labels", "matched"]

NEAR_NS = 60_000_000  # a label further off in time says nothing of a moment: things move 0.5 m and more
_DISTANCE_M = 4.0


class Truth:
    """Boxes in the network's region by time; `stamps_ns` are of the labelled moments, in order."""

    def __init__(self, stamps_ns: Sequence[int], boxes: Sequence[tuple[Detection, ...]]) -> None:
        order = sorted(range(len(stamps_ns)), key=stamps_ns.__getitem__)
        self.stamps_ns = [stamps_ns[index] for index in order]
        self._boxes = [boxes[index] for index in order]
        self.labels = tuple(sorted({box.label for moment in boxes for box in moment}))

    @property
    def followed(self) -> bool:
        """Whether every box says who it is, and nobody is twice in one moment."""
        names = [[box.identity if isinstance(box, TrueBox) else None for box in real] for real in self._boxes]
        return any(names) and all(None not in one and len(set(one)) == len(one) for one in names)

    def at(self, stamp_ns: int) -> tuple[Detection, ...]:
        """The boxes of the label nearest in time."""
        return self.near(stamp_ns, most_ns=sys.maxsize) or ()

    def near(self, stamp_ns: int, *, most_ns: int = NEAR_NS) -> tuple[Detection, ...] | None:
        """The boxes of the nearest label, None where it is further than `most_ns` from `stamp_ns`."""
        index = nearest(self.stamps_ns, stamp_ns, most_ns)
        return None if index is None else self._boxes[index]


def load_labels(path: Path) -> Truth:
    """Read labels.jsonl; boxes whose centre is outside the network's region are left out."""
    moments = list(read_labels(path))
    return Truth(
        [moment.stamp_ns for moment in moments],
        [tuple(box for box in moment.boxes if in_region(box.x, box.y)) for moment in moments],
    )


def in_region(x: float, y: float) -> bool:
    """Whether the network sees this place, in m in the base frame."""
    region = GEOMETRY
    return region.x_min_m <= x < region.x_max_m and region.y_min_m <= y < region.y_max_m


def matched(detections: Sequence[Detection], truth: Sequence[Detection]) -> int:
    """How many boxes of `truth` are found: as many of the best detections as there are boxes get a guess.

    Best first, each takes the nearest free box of its class whose centre is at most 4 m away on the
    ground. `detections` are ordered by falling score.
    """
    free = list(truth)
    for guess in detections[: len(truth)]:
        near = [
            (math.hypot(guess.x - box.x, guess.y - box.y), index)
            for index, box in enumerate(free)
            if box.label == guess.label
        ]
        distance_m, index = min(near, default=(math.inf, -1))
        if distance_m <= _DISTANCE_M:
            del free[index]
    return len(truth) - len(free)
