"""KITTI tracking: labels and public detections of whole sequences, without pictures or clouds.

The layout is labels/SEQUENCE.txt as KITTI gives them and detections/CLASS_SEQUENCE.txt as AB3DMOT does:
frame, type, 2-D box (pixels), score, height, width, length, x, y, z (camera frame, on the ground),
rotation_y, alpha. Boxes come out in a frame with x ahead, y left and z up at the camera.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sentryfuse_core.boxes import Floats, FrameBoxes, Ints
from sentryfuse_core.errors import DatasetError
from sentryfuse_core.lab.datasets.files import need_folder, read_lines

__all__ = ["KINDS", "KittiTruth", "SeenBoxes", "detections", "sequences", "truth"]

KINDS = {  # a class, and what is too like it to be called wrong
    "Car": ("Van",),
    "Pedestrian": ("Person", "Person_sitting"),
    "Cyclist": (),
}
_LABEL_COLUMNS, _DETECTION_COLUMNS = 17, 15
_REMEDY = "unpack the KITTI tracking labels and AB3DMOT's PointRCNN detections there"


@dataclass(frozen=True, eq=False)
class KittiTruth:
    """What is labelled in one frame, of one class."""

    identities: Ints  # [G]
    boxes: Floats  # [G, 7] x, y, z, length, width, height (m), yaw (rad)
    ignored: Ints  # [G] 1: hidden, cut off or another class like it; neither missed nor found
    regions: Floats  # [R, 4] left, top, right, bottom (pixels) where nothing is labelled


@dataclass(frozen=True, eq=False)
class SeenBoxes:
    """Detections of one frame, and where they are in the picture."""

    boxes: FrameBoxes  # of the class 0; scores as the detector gives them, not 0..1
    pixels: Floats  # [K, 4] left, top, right, bottom


def sequences(root: Path) -> list[str]:
    """Names of the sequences that are labelled; raises DatasetError where there is none."""
    folder = need_folder(root / "labels", _REMEDY)
    need_folder(root / "detections", _REMEDY)
    found = sorted(path.stem for path in folder.glob("*.txt"))
    if not found:
        raise DatasetError(f"{folder} holds no .txt; {_REMEDY}")
    return found


def truth(root: Path, sequence: str, kind: str) -> list[KittiTruth]:
    """Every frame of a sequence from its first to its last label."""
    path = root / "labels" / f"{sequence}.txt"
    rows = [_row(path, number, line.split()) for number, line in enumerate(read_lines(path), 1)]
    return [
        _frame([row for row in rows if row.frame == frame], kind)
        for frame in range(max((row.frame for row in rows), default=-1) + 1)
    ]


def detections(root: Path, sequence: str, kind: str, *, frames: int) -> list[SeenBoxes]:
    """Detections of frames 0 to `frames` - 1."""
    path = root / "detections" / f"{kind}_{sequence}.txt"
    lines = [line for line in read_lines(path, empty=True) if line.strip()]
    table = np.array(
        [_numbers(path, number, line.split(","), _DETECTION_COLUMNS) for number, line in enumerate(lines, 1)]
    ).reshape(-1, _DETECTION_COLUMNS)
    if not (table[:, 7:10] > 0.0).all():
        number = int(np.argmax((table[:, 7:10] <= 0.0).any(axis=1))) + 1
        raise DatasetError(f"{path}:{number}: a box has a side of 0 m or less; download the file again")
    boxes = _boxes(table[:, 7:14])
    return [
        SeenBoxes(FrameBoxes(boxes[own], np.zeros(int(own.sum()), np.int64), table[own, 6]), table[own, 2:6])
        for own in (table[:, 0] == frame for frame in range(frames))
    ]


@dataclass(frozen=True)
class _Row:
    frame: int
    identity: int
    kind: str
    numbers: tuple[float, ...]  # truncation, occlusion, alpha, pixels [4], size and place [7]


def _row(path: Path, number: int, words: Sequence[str]) -> _Row:
    if len(words) < _LABEL_COLUMNS:
        raise DatasetError(
            f"{path}:{number}: {len(words)} columns, not {_LABEL_COLUMNS}; download the file again"
        )
    frame, identity, *numbers = _numbers(path, number, [*words[:2], *words[3:]], _LABEL_COLUMNS - 1)
    return _Row(int(frame), int(identity), words[2], tuple(numbers))


def _numbers(path: Path, number: int, words: Sequence[str], columns: int) -> list[float]:
    """The words as finite numbers; raises DatasetError with file and line."""
    try:
        values = [float(word) for word in words]
    except ValueError as error:
        raise DatasetError(f"{path}:{number}: {error}; download the file again") from error
    if len(values) < columns or not all(map(math.isfinite, values)):
        raise DatasetError(
            f"{path}:{number}: not {columns} finite numbers in {' '.join(words)[:80]!r}; "
            "download the file again"
        )
    return values[:columns]


def _frame(rows: Sequence[_Row], kind: str) -> KittiTruth:
    own = [row for row in rows if row.kind in (kind, *KINDS[kind]) and row.identity >= 0]
    return KittiTruth(
        identities=np.array([row.identity for row in own], np.int64),
        boxes=_boxes(np.array([row.numbers[7:14] for row in own]).reshape(-1, 7)),
        ignored=np.array(
            [row.kind != kind or row.numbers[0] > 0 or row.numbers[1] > 2 for row in own], np.int64
        ),
        regions=np.array([row.numbers[3:7] for row in rows if row.kind == "DontCare"]).reshape(-1, 4),
    )


def _boxes(rows: Floats) -> Floats:
    """[N, 7] of height, width, length, x, y, z, rotation_y in the camera's frame."""
    height, width, length, x, y, z, turned = rows.T
    return np.column_stack((z, -x, height / 2 - y, length, width, height, -turned - math.pi / 2))
