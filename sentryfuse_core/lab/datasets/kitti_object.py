"""KITTI's object layout: training/{image_2,velodyne,calib,label_2}, one camera and one lidar, no IMU.

Cars and vans are cars, people walking or sitting pedestrians, cyclists cyclists; DontCare, Misc, trucks and
trams are left out, and so are part of the background. Only what camera 2 sees is labelled.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import partial
from pathlib import Path

from sentryfuse_core.errors import DatasetError
from sentryfuse_core.lab.datasets.driving import Box, Drive, DrivingSet, LabelledFrame
from sentryfuse_core.lab.datasets.files import need_folder, read_lines
from sentryfuse_core.lab.datasets.kitti_calibration import (
    NAMES,
    VELODYNE_HEIGHT_M,
    KittiCalibration,
    check_known,
    lidar_pose,
    object_calibration,
)
from sentryfuse_core.lab.datasets.moments import Moment, MomentReader, Picture
from sentryfuse_core.lab.datasets.view import KITTI_VIEW
from sentryfuse_core.lab.datasets.vocabulary import USUAL, Vocabulary
from sentryfuse_core.types import Modality, ModalitySet

__all__ = ["frame_boxes", "is_kitti_object", "load_kitti_object"]

LAYOUT = "kitti-object"
_FOLDERS = {"image_2": "images", "velodyne": "clouds", "calib": "calibration", "label_2": "labels"}
_SENSORS = {"image_2": "camera", "velodyne": "lidar"}  # a set has one of them at least
_AT_ONCE = 256  # frames that are decoded and kept together


def is_kitti_object(root: Path) -> bool:
    """Whether the folder looks like this layout."""
    return (_frames_folder(root) / "label_2").is_dir()


def load_kitti_object(
    root: Path, *, vocabulary: Vocabulary = USUAL, lidar_height_m: float = VELODYNE_HEIGHT_M
) -> DrivingSet:
    """All labelled frames; raises DatasetError for folders or files that are missing.

    Without image_2 frames have no camera, and without velodyne no lidar. Which frames validate is taken from
    ImageSets/train.txt and val.txt where they are.
    """
    folder, boxes, left = _frames_folder(root), {}, Counter[str]()
    lacking = [name for name in _SENSORS if not (folder / name).is_dir()]
    for name, what in _FOLDERS.items():
        if name not in lacking or len(lacking) == len(_SENSORS):
            need_folder(folder / name, f"download KITTI object's {what} and unpack them into {root}")
    for label in sorted((folder / "label_2").glob("*.txt")):
        for path in _files(folder, label.stem):
            if not path.is_file():
                raise DatasetError(
                    f"no {path} for label_2/{label.name}; unpack KITTI object's "
                    f"{_FOLDERS[path.parent.name]} into {root}"
                )
        boxes[label.stem] = frame_boxes(
            folder, label.stem, left, vocabulary=vocabulary, lidar_height_m=lidar_height_m
        )
    if not boxes:
        raise DatasetError(f"{folder / 'label_2'} holds no .txt; download KITTI object's labels")
    notes = [f"no {name} in it: its frames have no {_SENSORS[name]}" for name in lacking]
    if left:
        listing = ", ".join(f"{count} {kind}" for kind, count in sorted(left.items()))
        notes.append(f"labels that are no class of the detector are background: {listing}")
    splits = _splits(root)
    if splits:
        lost = len(boxes.keys() - {name for names in splits.values() for name in names})
        notes += [f"{lost} frames are in neither ImageSets/train.txt nor val.txt: left out"] if lost else []
    else:
        splits = {"": list(boxes)}
        notes.append(
            "no ImageSets/train.txt and val.txt: frames of one recording can be in train and in val, "
            "so that scores are too good"
        )
    make = partial(_frames, folder, vocabulary, lidar_height_m)
    drives = [
        drive for split, names in splits.items() for drive in _drives(folder, split, boxes, names, make)
    ]
    if not drives:
        raise DatasetError(
            f"ImageSets/train.txt and val.txt of {root} name no frame of {folder / 'label_2'}; "
            f"write names as it has them, such as {min(boxes)}"
        )
    return DrivingSet(LAYOUT, root, tuple(drives), tuple(notes), vocabulary.labels)


def _drives(
    folder: Path,
    split: str,
    boxes: Mapping[str, tuple[Box, ...]],
    names: Collection[str],
    make: Callable[[Mapping[str, tuple[Box, ...]]], Iterator[LabelledFrame]],
) -> Iterator[Drive]:
    """The frames `names`, one drive by their order, in parts that are decoded and kept together."""
    known = sorted(boxes.keys() & set(names))
    for first in range(0, len(known), _AT_ONCE):
        part = {name: boxes[name] for name in known[first : first + _AT_ONCE]}
        files = [path for name in part for path in _files(folder, name)]
        name = f"{known[first]}-{[*part][-1]}"
        sensors = (Modality(kind) for where, kind in _SENSORS.items() if (folder / where).is_dir())
        yield Drive(
            name,
            split,
            files,
            len(part),
            partial(make, part),
            KITTI_VIEW,
            sensors=ModalitySet.of(*sensors),
            part=range(first, first + len(part)),
        )


def frame_boxes(
    folder: Path,
    name: str,
    left: Counter[str],
    *,
    vocabulary: Vocabulary = USUAL,
    lidar_height_m: float = VELODYNE_HEIGHT_M,
) -> tuple[Box, ...]:
    """Labels of the detector's classes in frame `name`; those of other kinds are counted in `left`.

    Raises DatasetError with file and line for a damaged one.
    """
    *_, calib, path = _files(folder, name)
    calibration, found = object_calibration(calib, lidar_height_m=lidar_height_m), []
    for number, line in enumerate(read_lines(path, empty=True), 1):
        if line.strip():
            kind, box = _label(path, number, line, calibration, vocabulary)
            if box is None:
                left[kind] += 1
            else:
                found.append(box)
    return tuple(found)


def _frames(
    folder: Path, vocabulary: Vocabulary, lidar_height_m: float, boxes: Mapping[str, tuple[Box, ...]]
) -> Iterator[LabelledFrame]:
    read = MomentReader(columns=4, full_scale=1.0, labels=vocabulary.labels)
    for name in boxes:
        files = {path.parent.name: path for path in _files(folder, name)}
        calibration = object_calibration(files["calib"], lidar_height_m=lidar_height_m)
        pictures: dict[str, Picture] = {}
        if (image := files.get("image_2")) is not None:
            pictures[Modality.CAMERA] = Picture(image, 0, calibration.intrinsics, calibration.camera_pose)
        moment = Moment(0, pictures, files.get("velodyne"), lidar_pose(lidar_height_m))
        yield from read(moment, boxes[name])


def _files(folder: Path, name: str) -> list[Path]:
    """What a frame is made of: image, cloud, calibration, labels; none of a sensor that has no folder."""
    image = folder / "image_2" / f"{name}.jpg"
    files = [
        image if image.is_file() else image.with_suffix(".png"),
        folder / "velodyne" / f"{name}.bin",
        folder / "calib" / f"{name}.txt",
        folder / "label_2" / f"{name}.txt",
    ]
    return [path for path in files if path.parent.name not in _SENSORS or path.parent.is_dir()]


def _frames_folder(root: Path) -> Path:
    return root if (root / "label_2").is_dir() else root / "training"


def _splits(root: Path) -> dict[str, list[str]]:
    """Names by split, where lists of them lie in the folder, above it or in training/.

    Raises DatasetError for one in both.
    """
    for folder in (root / "ImageSets", root.parent / "ImageSets", root / "training" / "ImageSets"):
        if (folder / "train.txt").is_file() and (folder / "val.txt").is_file():
            splits = {
                split: [line.strip() for line in read_lines(folder / f"{split}.txt") if line.strip()]
                for split in ("train", "val")
            }
            if both := sorted(set(splits["train"]).intersection(splits["val"])):
                raise DatasetError(
                    f"{folder} has {both[0]} in train.txt and in val.txt ({len(both)} such frames); "
                    "what is learned from cannot judge, keep each in one"
                )
            return splits
    return {}


def _label(
    path: Path, number: int, line: str, calibration: KittiCalibration, vocabulary: Vocabulary
) -> tuple[str, Box | None]:
    """Type and box of a line; the box is None where the type is no class of the detector.

    A line: type, truncated, occluded, alpha, 2-D box (4), height, width, length, x, y, z, rotation_y.
    """
    kind, *texts = line.split()
    check_known(f"{path}:{number}", kind, vocabulary)
    try:
        height, width, length, x, y, z, turn = (float(text) for text in texts[7:14])
    except ValueError as error:
        raise DatasetError(f"{path}:{number}: {len(texts)} values, {error}; copy the labels again") from error
    if (label := vocabulary.of(kind, NAMES.get(kind))) is None:
        return kind, None
    try:
        return kind, calibration.box(label, (length, width, height), [x, y, z], turn)
    except ValueError as error:
        raise DatasetError(f"{path}:{number}: {error}; leave it out") from error
