"""KITTI's raw layout: synchronised drives with camera 2, Velodyne, OXTS as IMU, and tracklets as labels.

A folder is the root, a date or one drive. The IMU is the OXTS at 100 Hz where the unsynchronised drive
(`..._extract`) lies beside the synchronised one, else the one reading of each frame at 10 Hz.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sentryfuse_core.errors import DatasetError
from sentryfuse_core.lab.datasets.driving import Drive, DrivingSet, LabelledFrame
from sentryfuse_core.lab.datasets.files import NO_STAMP, need_folder, read_lines, stamps_ns
from sentryfuse_core.lab.datasets.kitti_calibration import (
    VELODYNE_HEIGHT_M,
    KittiCalibration,
    lidar_pose,
    numbers,
    rigid,
)
from sentryfuse_core.lab.datasets.kitti_tracklets import read_tracklets
from sentryfuse_core.lab.datasets.moments import Moment, MomentReader, Picture, Readings, pose_of
from sentryfuse_core.lab.datasets.view import KITTI_VIEW
from sentryfuse_core.lab.datasets.vocabulary import USUAL, Vocabulary
from sentryfuse_core.types import Modality, ModalitySet

__all__ = ["drive_folders", "load_kitti_raw"]

LAYOUT = "kitti-raw"
_TRACKLETS = "tracklet_labels.xml"
_SENSORS = ("velodyne_points", "image_02")  # a drive has one of them at least
_ACCEL, _GYRO = slice(11, 14), slice(17, 20)  # ax ay az and wx wy wz of an OXTS line: x front, y left, z up
_SPEED = slice(8, 10)  # vf and vl: forwards and to the left


def drive_folders(root: Path) -> list[Path]:
    """The synchronised drives of a folder, by name."""
    if any((root / name).is_dir() for name in _SENSORS):
        return [root]
    patterns = (f"{above}/{name}" for above in ("*", "*/*") for name in _SENSORS)
    found = {path.parent for pattern in patterns for path in root.glob(pattern)}
    return sorted(path for path in found if not path.name.endswith("_extract"))


def load_kitti_raw(
    root: Path,
    *,
    vocabulary: Vocabulary = USUAL,
    lidar_height_m: float = VELODYNE_HEIGHT_M,
    plain: bool = False,
) -> DrivingSet:
    """All drives with tracklets; raises DatasetError where there is none, or one lacks something else.

    `plain`: all drives, and none is labelled.
    Without image_02 frames have no camera, and without velodyne_points no lidar.
    """
    folders = drive_folders(root)
    if not folders:
        raise DatasetError(f"no drive in {root}: looked for */velodyne_points; give KITTI raw's folder")
    known = [folder for folder in folders if plain or (folder / _TRACKLETS).is_file()]
    if not known:
        raise DatasetError(f"no {folders[0] / _TRACKLETS}; download the tracklets of the drives")
    notes = [f"{folder.name} has no {_TRACKLETS}: left out" for folder in folders if folder not in known]
    drives = []
    for folder in known:
        drive, told = _drive(folder, vocabulary, lidar_height_m, plain=plain)
        drives.append(drive)
        notes += [f"{folder.name}: {note}" for note in told]
    return DrivingSet(LAYOUT, root, tuple(drives), tuple(notes), vocabulary.labels)


def _numbered(folder: Path, pattern: str) -> dict[str, Path]:
    """The files whose name is a frame's number, by that; others (._0000000001.png) are not the data set's."""
    return {path.stem: path for path in folder.glob(pattern) if path.stem.isascii() and path.stem.isdigit()}


def _drive(
    folder: Path, vocabulary: Vocabulary, lidar_height_m: float, *, plain: bool
) -> tuple[Drive, list[str]]:
    """One drive, checked, and what is to be said of it."""
    need_folder(folder / "oxts" / "data", "unpack the whole synchronised drive")
    images, image_stamps = _stream(folder / "image_02", "*.[pj][np]g")
    clouds, stamps = _stream(folder / "velodyne_points", "*.bin")
    there = [files for files in (images, clouds) if files is not None]
    timed = [found for found in (stamps, image_stamps) if found is not None]
    names = _complete(folder, there, timed)
    place = folder if (folder / "calib_velo_to_cam.txt").is_file() else folder.parent
    calibration = _calibration(place, lidar_height_m)
    readings = _oxts_folder(folder)
    imu, at_hz = _oxts(readings, place, lidar_height_m)
    boxes, left = (
        ({}, "")
        if plain
        else read_tracklets(folder / _TRACKLETS, vocabulary=vocabulary, lidar_height_m=lidar_height_m)
    )

    def frames() -> Iterator[LabelledFrame]:
        read = MomentReader(columns=4, full_scale=1.0, labels=vocabulary.labels)
        pose = calibration.camera_pose
        for name in names:
            index = int(name)
            pictures: dict[str, Picture] = {}
            if images is not None:
                stamp_ns = int(timed[-1][index])
                pictures[Modality.CAMERA] = Picture(images[name], stamp_ns, calibration.intrinsics, pose)
            moment = Moment(
                int(timed[0][index]),
                pictures,
                None if clouds is None else clouds[name],
                lidar_pose(lidar_height_m),
                imu,
            )
            yield from read(moment, boxes.get(index, ()))

    lost = len(set().union(*there)) - len(names)
    lacking = [name for name, files in (("camera", images), ("lidar", clouds)) if files is None]
    notes = [f"no {name} in it: its frames have none" for name in lacking]
    notes += [f"{lost} frames lack image, cloud or stamp: left out"] if lost else []
    notes += [f"tracklets that are no class of the detector: {left}"] if left else []
    texts = ("calib_cam_to_cam.txt", "calib_velo_to_cam.txt", "calib_imu_to_velo.txt")
    files = [*([] if plain else [folder / _TRACKLETS]), *(place / name for name in texts)]
    sensors = [folder / name for name in _SENSORS if (folder / name).is_dir()]
    files += [one / "timestamps.txt" for one in (*sensors, readings)]
    files += [paths[name] for name in names for paths in there]
    recorded = {Modality.CAMERA: images, Modality.LIDAR: clouds, Modality.IMU: imu}
    drive = Drive(
        folder.name,
        "",
        files,
        len(names),
        frames,
        KITTI_VIEW,
        labelled=not plain,
        sensors=ModalitySet.of(*(kind for kind, own in recorded.items() if own is not None)),
    )
    return drive, [*notes, f"IMU at {at_hz:.0f} Hz"]


def _stream(folder: Path, pattern: str) -> tuple[dict[str, Path] | None, NDArray[np.int64] | None]:
    """Files by frame and stamps of a sensor; None for a sensor that the drive does not have."""
    if not folder.is_dir():
        return None, None
    files = need_folder(folder / "data", "unpack the whole synchronised drive")
    return _numbered(files, pattern), stamps_ns(folder / "timestamps.txt")


def _complete(
    folder: Path, there: Sequence[Mapping[str, Path]], timed: Sequence[NDArray[np.int64]]
) -> list[str]:
    """The frames that have a file and a stamp of every sensor; raises DatasetError where there is none."""
    both = sorted(set(there[0]).intersection(*there))
    if not both:
        raise DatasetError(f"{folder} has no frame with an image and a .bin cloud; unpack it again")
    last = max(map(int, both))
    if last >= min(map(len, timed)):
        raise DatasetError(f"{folder}: timestamps.txt ends before frame {last}; download the drive again")
    # An empty line of timestamps.txt is the stamp of a frame that was not recorded.
    names = [name for name in both if all(stamps[int(name)] != NO_STAMP for stamps in timed)]
    if not names:
        raise DatasetError(f"{folder}: no frame has both stamps in timestamps.txt; download the drive again")
    return names


def _calibration(place: Path, lidar_height_m: float) -> KittiCalibration:
    cameras, lidar = place / "calib_cam_to_cam.txt", place / "calib_velo_to_cam.txt"
    width, height = numbers(cameras, "S_rect_02", 2).tolist()
    rectified = rigid(numbers(cameras, "R_rect_00", 3, 3), np.zeros(3))
    moved = rigid(numbers(lidar, "R", 3, 3), numbers(lidar, "T", 3))
    projection = numbers(cameras, "P_rect_02", 3, 4)
    return KittiCalibration(projection, rectified @ moved, int(width), int(height), lidar_height_m)


def _oxts_folder(folder: Path) -> Path:
    """Where the readings lie: beside the drive those at 100 Hz, else in it."""
    fast = folder.with_name(folder.name.replace("_sync", "_extract")) / "oxts"
    return fast if (fast / "data").is_dir() else folder / "oxts"


def _oxts(source: Path, place: Path, lidar_height_m: float) -> tuple[Readings, float]:
    """The readings of a folder and their rate in Hz."""
    imu = place / "calib_imu_to_velo.txt"
    pose = pose_of(numbers(imu, "R", 3, 3), numbers(imu, "T", 3) + np.array([0.0, 0.0, lidar_height_m]))
    stamps = stamps_ns(source / "timestamps.txt")
    found = sorted(_numbered(source / "data", "*.txt").items())
    if not found or int(found[-1][0]) >= len(stamps):
        raise DatasetError(
            f"{source} has {len(found)} readings, {len(stamps)} stamps; unpack the drive again"
        )
    paths = [path for name, path in found if stamps[int(name)] != NO_STAMP]
    if not paths:
        raise DatasetError(f"{source / 'timestamps.txt'} has no stamps; unpack the drive again")
    rows = np.stack([_reading(path) for path in paths])
    taken = stamps[[int(path.stem) for path in paths]]
    order = np.unique(taken, return_index=True)[1]  # some unsynchronised stamps repeat or go back
    taken, rows = taken[order], rows[order]
    period_ns = float(np.median(np.diff(taken))) if len(taken) > 1 else 1e8
    return Readings(taken, rows[:, _GYRO], rows[:, _ACCEL], pose, rows[:, _SPEED]), 1e9 / period_ns


def _reading(path: Path) -> NDArray[np.float64]:
    """The first 20 values of an OXTS file."""
    try:
        values = np.array([float(text) for text in read_lines(path)[0].split()])
    except ValueError as error:
        raise DatasetError(f"{path}: {error}; unpack the drive again") from error
    if values.size < _GYRO.stop or not np.isfinite(values[: _GYRO.stop]).all():
        raise DatasetError(f"{path} has {values.size} values, not 30 finite ones; unpack the drive again")
    return values[: _GYRO.stop]
