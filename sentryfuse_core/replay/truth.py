"""Ground truth beside a recording: labels.jsonl read, and detections scored against it."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sentryfuse_core.errors import BagError
from sentryfuse_core.preprocess.geometry import GEOMETRY
from sentryfuse_core.safe_files import check_regular, text_lines
from sentryfuse_core.sync.match import nearest
from sentryfuse_core.types import Detection

__all__ = ["NEAR_NS", "TrueBox", "Truth", "in_region", "load_labels", "matched"]

NEAR_NS = 60_000_000  # a label further off in time says nothing of a moment: things move 0.5 m and more
_DISTANCE_M = 4.0


@dataclass(frozen=True)
class TrueBox(Detection):
    """A labelled box, and what its label says beyond that."""

    identity: int | str | None = None  # the same for one object in all labels; None: not told
    velocity: tuple[float, float] | None = None  # m/s over ground, along x and y


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
            boxes.append(tuple(box for box in map(_box, entry["boxes"]) if in_region(box.x, box.y)))
    except Exception as error:  # a line can hold anything
        reason = f"{type(error).__name__} {error}" if isinstance(error, KeyError) else str(error)
        place = f"line {number}: " if number else ""
        raise BagError(
            f"cannot read the labels {path}: {place}{' '.join(reason.split())[:200]}; record them again"
        ) from error
    return Truth(stamps_ns, boxes)


def _box(entry: Mapping[str, Any]) -> TrueBox:
    """A labelled box; beyond `id` and `velocity`, where they are such, nothing else is asked for."""
    numbers = [float(entry[name]) for name in ("x", "y", "z", "length", "width", "height", "yaw")]
    if not all(map(math.isfinite, numbers)):
        raise ValueError(f"a box of {numbers} is none")
    x, y, z, length, width, height, yaw = numbers
    identity = entry.get("id")
    known = isinstance(identity, (int, str)) and not isinstance(identity, bool)
    return TrueBox(
        str(entry["label"]),
        -1,
        1.0,
        x,
        y,
        z,
        length,
        width,
        height,
        yaw,
        identity=identity if known else None,
        velocity=_velocity(entry.get("velocity")),
    )


def _velocity(told: Any) -> tuple[float, float] | None:
    """Two finite numbers in a list, or nothing."""
    if not isinstance(told, list) or len(told) != 2:
        return None
    if not all(isinstance(value, (int, float)) and math.isfinite(value) for value in told):
        return None
    return float(told[0]), float(told[1])


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
