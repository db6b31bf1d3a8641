"""Ground truth beside a recording: labels.jsonl read, and detections scored against it."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sentryfuse_core.errors import BagError
from sentryfuse_core.preprocess.geometry import GEOMETRY
from sentryfuse_core.safe_files import check_regular, text_lines
from sentryfuse_core.sync.match import nearest
from sentryfuse_core.types import Detection

__all__ = ["NEAR_NS", "Truth", "load_labels", "matched"]

NEAR_NS = 60_000_000  # a label further off in time says nothing of a moment: things move 0.5 m and more
_DISTANCE_M = 4.0


class Truth:
    """Boxes in the network's region by time."""

    def __init__(self, stamps_ns: Sequence[int], boxes: Sequence[tuple[Detection, ...]]) -> None:
        order = sorted(range(len(stamps_ns)), key=stamps_ns.__getitem__)
        self._stamps_ns = [stamps_ns[index] for index in order]
        self._boxes = [boxes[index] for index in order]
        self.labels = tuple(sorted({box.label for moment in boxes for box in moment}))

    def __len__(self) -> int:
        """Number of labelled moments."""
        return len(self._stamps_ns)

    def at(self, stamp_ns: int) -> tuple[Detection, ...]:
        """The boxes of the label nearest in time."""
        return self.near(stamp_ns, most_ns=sys.maxsize) or ()

    def near(self, stamp_ns: int, *, most_ns: int = NEAR_NS) -> tuple[Detection, ...] | None:
        """The boxes of the nearest label, None where it is further than `most_ns` from `stamp_ns`."""
        index = nearest(self._stamps_ns, stamp_ns, most_ns)
        return None if index is None else self._boxes[index]


def load_labels(path: Path) -> Truth:
    """Read labels.jsonl; boxes whose centre is outside the network's region are left out."""
    stamps_ns: list[int] = []
    boxes: list[tuple[Detection, ...]] = []
    number = 0
    try:
        check_regular(path)
        for line in text_lines(path.read_bytes()):
            number += 1
            if not line.strip():
                continue
            entry = json.loads(line)
            if not isinstance(entry, dict) or not isinstance(entry.get("boxes"), list):
                raise ValueError("give an object with stamp_ns and a list of boxes")  # noqa: TRY004, TRY301
            stamps_ns.append(int(entry["stamp_ns"]))
            boxes.append(tuple(box for box in map(_box, entry["boxes"]) if _in_region(box)))
    except Exception as error:  # a line can hold anything
        reason = f"{type(error).__name__} {error}" if isinstance(error, KeyError) else str(error)
        place = f"line {number}: " if number else ""
        raise BagError(
            f"cannot read the labels {path}: {place}{' '.join(reason.split())[:200]}; record them again"
        ) from error
    return Truth(stamps_ns, boxes)


def _box(entry: Mapping[str, Any]) -> Detection:
    """A labelled box; whatever else is said of it is not asked for."""
    numbers = [float(entry[name]) for name in ("x", "y", "z", "length", "width", "height", "yaw")]
    if not all(map(math.isfinite, numbers)):
        raise ValueError(f"a box of {numbers} is none")
    x, y, z, length, width, height, yaw = numbers
    return Detection(str(entry["label"]), -1, 1.0, x, y, z, length, width, height, yaw)


def _in_region(box: Detection) -> bool:
    region = GEOMETRY
    return region.x_min_m <= box.x < region.x_max_m and region.y_min_m <= box.y < region.y_max_m


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
