"""nuScenes v1.0: front camera or all six, top lidar and the CAN bus's IMU, key frames and their boxes.

The base frame has the axes of the ego frame and its origin on the ground below the lidar, where the
network's lidar is. Cars are cars, adults, children, workers and police officers pedestrians, bicycles with
a rider cyclists; all else, and boxes without a single lidar or radar point, is background.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sentryfuse_core.errors import DatasetError
from sentryfuse_core.lab.datasets.driving import Box, Drive, DrivingSet, LabelledFrame
from sentryfuse_core.lab.datasets.files import read_json
from sentryfuse_core.lab.datasets.moments import (
    SIDES,
    Moment,
    MomentReader,
    Picture,
    Readings,
    pose_of,
)
from sentryfuse_core.lab.datasets.nuscenes_tables import (
    AROUND,
    CAMERA,
    LIDAR,
    Record,
    Tables,
    load_tables,
)
from sentryfuse_core.lab.datasets.vocabulary import USUAL, Vocabulary
from sentryfuse_core.preprocess.motion import pose_rotation
from sentryfuse_core.text import reason_of
from sentryfuse_core.types import Intrinsics, Modality, ModalitySet, Pose

__all__ = ["Scene", "load_nuscenes"]

LAYOUT = "nuscenes"
_PEDESTRIANS = ("adult", "child", "construction_worker", "police_officer")
_RIDEABLE = "vehicle.bicycle"
_CLASSES = {
    "vehicle.car": "car",
    _RIDEABLE: "cyclist",  # with a rider
    **{f"human.pedestrian.{kind}": "pedestrian" for kind in _PEDESTRIANS},
}
_RIDDEN = "cycle.with_rider"
Matrix = NDArray[np.float64]


def load_nuscenes(root: Path, *, vocabulary: Vocabulary = USUAL, around: bool = False) -> DrivingSet:
    """Every scene; a key frame gives the frame ahead or, `around`, one of each side of all the cameras.

    Raises DatasetError for tables or files that are missing.
    """
    tables = load_tables(root, cameras=AROUND if around else (CAMERA,))
    scenes = [Scene(tables, record, vocabulary, around=around) for record in tables.scenes]
    sides = SIDES if around else 1
    drives = [
        Drive(
            one.name,
            "",
            one.files,
            sides * len(one.samples),
            one.frames,
            sensors=one.sensors,
            sides=sides,
        )
        for one in scenes
    ]
    if not drives:
        raise DatasetError(f"{tables.folder / 'scene.json'} has no scene; download the metadata again")
    notes = []
    if without_imu := sum(one.imu_path is None for one in scenes):
        notes.append(
            f"{without_imu} of {len(drives)} scenes have no can_bus/NAME_ms_imu.json: they train without IMU"
        )
    if around and (lacking := sorted(set().union(*(one.lacking for one in scenes)))):
        notes.append(f"key frames without {', '.join(lacking)}: what these alone see has no picture there")
    notes.append("scenes are split by their names' hash, which is not nuScenes' official split")
    return DrivingSet(LAYOUT, tables.root, tuple(drives), tuple(notes), vocabulary.labels)


class Scene:
    """The key frames of one scene."""

    def __init__(
        self, tables: Tables, record: Record, vocabulary: Vocabulary = USUAL, *, around: bool = False
    ) -> None:
        self._tables, self._vocabulary = tables, vocabulary
        # All around sensors go by nuScenes' names; the camera that is alone is called like its kind.
        self._around = AROUND if around else ()
        self._cameras = {name: name for name in self._around} or {Modality.CAMERA.value: CAMERA}
        self.name = str(record["name"])
        with self._reading("sample and sample_data"):
            self.samples = tables.samples_of(record)
            for sample in self.samples:
                for channel in (LIDAR,) if around else (CAMERA, LIDAR):
                    if (sample["token"], channel) not in tables.data:
                        raise DatasetError(f"{self.name} has a sample without {channel}; download it again")
        self.lacking = {
            channel
            for channel in self._cameras.values()
            if not all((sample["token"], channel) in tables.data for sample in self.samples)
        }
        can_bus = tables.root / "can_bus" / f"{self.name}_ms_imu.json"
        self.imu_path = can_bus if can_bus.is_file() else None
        seeing = ModalitySet.of(Modality.CAMERA, Modality.LIDAR)
        self.sensors = seeing | ModalitySet.of(Modality.IMU) if self.imu_path else seeing
        with self._reading("sample_data"):
            pictures_and_clouds = [
                self._path(sample, channel)
                for sample in self.samples
                for channel in (*self._cameras.values(), LIDAR)
                if (sample["token"], channel) in tables.data
            ]
        self.files = [
            *pictures_and_clouds,
            *([can_bus] if self.imu_path else []),
            tables.folder / "sample_annotation.json",
        ]
        for path in self.files:
            if not path.is_file():
                raise DatasetError(f"no {path} of {self.name}; unpack all parts of nuScenes into one folder")

    def _path(self, sample: Record, channel: str) -> Path:
        return self._tables.root / str(self._tables.data[sample["token"], channel]["filename"])

    def frames(self) -> Iterator[LabelledFrame]:
        """Every key frame in order, all around its sides next to each other."""
        labels = self._vocabulary.labels
        read = MomentReader(columns=5, full_scale=255.0, labels=labels, around=self._around)
        imu = None
        if self.imu_path is not None:
            with self._reading("sample_data and calibrated_sensor"):
                below = self._below_lidar(self.samples[0])
            imu = _readings(self.imu_path, below)
        for sample in self.samples:
            with self._reading("sample_data and calibrated_sensor"):
                moment = self._moment(sample, imu)
            yield from read(moment, self.boxes(sample))

    def boxes(self, sample: Record) -> tuple[Box, ...]:
        """The boxes of a key frame in the base frame at the lidar's moment."""
        tables, found = self._tables, []
        with self._reading("ego_pose"):
            ego = tables.poses[tables.data[sample["token"], LIDAR]["ego_pose_token"]]
            to_ego, position = _rotation(ego).T, np.array(ego["translation"])
        for item in tables.annotations[sample["token"]]:
            with self._reading(f"sample_annotation, {item.get('token')},"):
                category = tables.category[item["instance_token"]]
                label = self._vocabulary.of(category, _CLASSES.get(category))
                names = [tables.attribute[token] for token in item["attribute_tokens"]]
                if label is None or (category == _RIDEABLE and label == "cyclist" and _RIDDEN not in names):
                    continue
                if item["num_lidar_pts"] + item["num_radar_pts"] == 0:
                    continue
                centre = to_ego @ (np.array(item["translation"]) - position) - self._below_lidar(sample)
                ahead = to_ego @ _rotation(item)[:, 0]
                width, length, height = item["size"]
                (x, y, z), yaw = centre.tolist(), math.atan2(ahead[1], ahead[0])
                found.append(Box(label, x, y, z, length, width, height, yaw))
        return tuple(found)

    @contextmanager
    def _reading(self, what: str) -> Iterator[None]:
        """Raises DatasetError that names these records where one is not as it should be."""
        try:
            yield
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise DatasetError(
                f"{self._tables.folder}: {what} of {self.name} cannot be used ({reason_of(error)}); "
                "download the metadata again, or correct it"
            ) from error

    def _below_lidar(self, sample: Record) -> Matrix:
        """The base frame's origin in the ego frame."""
        x, y, _ = self._sensor(sample, LIDAR)["translation"]
        return np.array([x, y, 0.0])

    def _sensor(self, sample: Record, channel: str) -> Record:
        tables = self._tables
        return tables.calibration[tables.data[sample["token"], channel]["calibrated_sensor_token"]]

    def _moment(self, sample: Record, imu: Readings | None) -> Moment:
        pictures = {
            name: self._picture(sample, channel)
            for name, channel in self._cameras.items()
            if (sample["token"], channel) in self._tables.data
        }
        return Moment(
            int(self._tables.data[sample["token"], LIDAR]["timestamp"]) * 1000,
            pictures,
            self._path(sample, LIDAR),
            _pose(self._sensor(sample, LIDAR), self._below_lidar(sample)),
            imu,
        )

    def _picture(self, sample: Record, channel: str) -> Picture:
        record, camera = self._tables.data[sample["token"], channel], self._sensor(sample, channel)
        (fx, _, cx), (_, fy, cy), _ = camera["camera_intrinsic"]
        return Picture(
            self._path(sample, channel),
            int(record["timestamp"]) * 1000,
            Intrinsics(int(record["width"]), int(record["height"]), fx, fy, cx, cy),
            _pose(camera, self._below_lidar(sample)),
        )


def _rotation(record: Record) -> Matrix:
    w, x, y, z = record["rotation"]
    return np.asarray(pose_rotation(Pose((0.0, 0.0, 0.0), (x, y, z, w))), np.float64)


def _pose(record: Record, origin: Matrix) -> Pose:
    return pose_of(_rotation(record), np.array(record["translation"]) - origin)


def _readings(path: Path, origin: Matrix) -> Readings:
    """The CAN bus's IMU; its axes are taken to be the ego frame's, which its documentation does not say."""
    try:
        messages = sorted(read_json(path), key=lambda message: int(message["utime"]))
        if not messages:
            raise DatasetError(f"{path} has no message; download the CAN bus again, or remove the file")
        return Readings(
            np.array([int(message["utime"]) * 1000 for message in messages], np.int64),
            np.array([message["rotation_rate"] for message in messages], np.float64).reshape(-1, 3),
            np.array([message["linear_accel"] for message in messages], np.float64).reshape(-1, 3),
            pose_of(np.eye(3), -origin),
        )
    except (KeyError, ValueError, TypeError) as error:
        raise DatasetError(
            f"{path} has a message without all its numbers ({error}); download the CAN bus again"
        ) from error
