"""KITTI's object layout: training/{image_2,velodyne,calib,label_2}, one camera and one lidar, no IMU.

Cars and vans are cars, people walking or sitting pedestrians, cyclists cyclists; DontCare, Misc, trucks and
trams are left out, and so are part of the background. Only what camera 2 sees is labelled.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from sentryfuse_core.errors import DatasetError
from sentryfuse_core.lab.datasets.driving import Box, Drive, DrivingSet, LabelledFrame, labelled
from sentryfuse_core.lab.datasets.files import need_folder, read_lines
from sentryfuse_core.lab.datasets.kitti_calibration import (
    LIDAR_POSE,
    NAMES,
    KittiCalibration,
    object_calibration,
)
from sentryfuse_core.lab.datasets.moments import Moment, MomentReader

__all__ = ["KittiObject", "is_kitti_object", "load_kitti_object"]

LAYOUT = "kitti-object"
_FOLDERS = {"image_2": "images", "velodyne": "clouds", "calib": "calibration", "label_2": "labels"}
_AT_ONCE = 256  # frames that are decoded and kept together


def is_kitti_object(root: Path) -> bool:
    """Whether the folder looks like this layout."""
    return (_frames_folder(root) / "label_2").is_dir()


def load_kitti_object(root: Path) -> DrivingSet:
    """All labelled frames; raises DatasetError for folders or files that are missing.

    Which frames validate is taken from ImageSets/train.txt and val.txt where they are.
    """
    reader = KittiObject(root)
    notes = [reader.ignored()]
    splits = _splits(root)
    if splits:
        lost = len(set(reader.names) - {name for names in splits.values() for name in names})
        notes += [f"{lost} frames are in neither ImageSets/train.txt nor val.txt: left out"] if lost else []
    else:
        splits = {"": reader.names}
        notes.append(
            "no ImageSets/train.txt and val.txt: frames of one recording can be in train and in val, "
            "so that scores are too good"
        )
    drives = []
    for split, names in splits.items():
        known = sorted(set(names) & set(reader.names))
        for first in range(0, len(known), _AT_ONCE):
            part = known[first : first + _AT_ONCE]
            drives.append(reader.drive(part, split))
    return DrivingSet(LAYOUT, root, tuple(drives), tuple(filter(None, notes)))


class KittiObject:
    """The frames of a folder by name."""

    def __init__(self, root: Path) -> None:
        self.folder = _frames_folder(root)
        for name, what in _FOLDERS.items():
            need_folder(self.folder / name, f"download KITTI object's {what} and unpack them into {root}")
        self.names = sorted(path.stem for path in (self.folder / "label_2").glob("*.txt"))
        if not self.names:
            raise DatasetError(f"{self.folder / 'label_2'} holds no .txt; download KITTI object's labels")
        for name in self.names:
            for path in self.files(name):
                if not path.is_file():
                    raise DatasetError(
                        f"no {path} for label_2/{name}.txt; unpack KITTI object's "
                        f"{_FOLDERS[path.parent.name]} into {root}"
                    )

    def files(self, name: str) -> list[Path]:
        """What a frame is made of."""
        image = self.folder / "image_2" / f"{name}.png"
        jpeg = image.with_suffix(".jpg")
        return [
            jpeg if jpeg.is_file() else image,
            self.folder / "velodyne" / f"{name}.bin",
            self.folder / "calib" / f"{name}.txt",
            self.folder / "label_2" / f"{name}.txt",
        ]

    def calibration(self, name: str) -> KittiCalibration:
        """How the sensors sit at this frame."""
        return object_calibration(self.files(name)[2])

    def boxes(self, name: str) -> tuple[Box, ...]:
        """Labels of the detector's classes; raises DatasetError with file and line for a damaged one."""
        path, calibration = self.files(name)[3], self.calibration(name)
        found = (_label(path, number, line, calibration) for number, line in _labels(path))
        return tuple(box for box in found if box is not None)

    def frame(self, name: str, read: MomentReader | None = None) -> LabelledFrame:
        """One frame; `read` keeps the camera's maps from one frame to the next."""
        image, cloud, _, _ = self.files(name)
        calibration = self.calibration(name)
        pose = calibration.camera_pose
        moment = Moment(0, image, 0, calibration.intrinsics, pose, cloud, LIDAR_POSE)
        return labelled((read or _reader())(moment), self.boxes(name))

    def drive(self, names: Sequence[str], split: str) -> Drive:
        """Some of the frames."""

        def frames() -> Iterator[LabelledFrame]:
            read = _reader()
            return (self.frame(name, read) for name in names)

        files = [path for name in names for path in self.files(name)]
        return Drive(f"{names[0]}-{names[-1]}", split, files, len(names), frames)

    def ignored(self) -> str:
        """How many labels are of no class of the detector; reads, and so checks, all of them."""
        left: Counter[str] = Counter()
        for name in self.names:
            self.boxes(name)
            kinds = (line.split()[0] for _, line in _labels(self.files(name)[3]))
            left.update(kind for kind in kinds if NAMES[kind] is None)
        listing = ", ".join(f"{count} {kind}" for kind, count in sorted(left.items()))
        return f"labels that are no class of the detector are background: {listing}" if left else ""


def _reader() -> MomentReader:
    return MomentReader(columns=4, full_scale=1.0)


def _frames_folder(root: Path) -> Path:
    return root if (root / "label_2").is_dir() else root / "training"


def _splits(root: Path) -> dict[str, list[str]]:
    """Names by split, where lists of them lie in the folder, above it or in training/."""
    for folder in (root / "ImageSets", root.parent / "ImageSets", root / "training" / "ImageSets"):
        if (folder / "train.txt").is_file() and (folder / "val.txt").is_file():
            return {
                split: [line.strip() for line in read_lines(folder / f"{split}.txt") if line.strip()]
                for split in ("train", "val")
            }
    return {}


def _labels(path: Path) -> list[tuple[int, str]]:
    """Numbers and texts of the lines that are not empty."""
    return [(number, line) for number, line in enumerate(read_lines(path, empty=True), 1) if line.strip()]


def _label(path: Path, number: int, line: str, calibration: KittiCalibration) -> Box | None:
    """A line: type, truncated, occluded, alpha, 2-D box (4), height, width, length, x, y, z, rotation_y."""
    kind, *texts = line.split()
    if kind not in NAMES:
        known = ", ".join(NAMES)
        raise DatasetError(f"{path}:{number}: unknown class {kind!r:.40}; KITTI has {known}")
    try:
        height, width, length, x, y, z, turn = (float(text) for text in texts[7:14])
    except ValueError as error:
        raise DatasetError(f"{path}:{number}: {len(texts)} values, {error}; copy the labels again") from error
    if not all(map(math.isfinite, (height, width, length, x, y, z, turn))):
        raise DatasetError(f"{path}:{number}: a value is not finite; copy the labels again")
    label = NAMES[kind]
    return None if label is None else calibration.box(label, (length, width, height), [x, y, z], turn)
