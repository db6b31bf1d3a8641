"""One moment of a recording that is no bag, through the robot's own preprocessing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sentryfuse_core.config import Config, override
from sentryfuse_core.errors import DatasetError, InvalidMessageError
from sentryfuse_core.lab.datasets.driving import Box, LabelledFrame, labelled
from sentryfuse_core.lab.datasets.files import read_bytes
from sentryfuse_core.lab.datasets.vocabulary import LABELS
from sentryfuse_core.planar import EgoState, EgoStep, Velocity, ahead
from sentryfuse_core.preprocess import camera
from sentryfuse_core.preprocess.assemble import Preprocessor
from sentryfuse_core.types import (
    CompressedFrame,
    ImageFrame,
    ImuReading,
    Intrinsics,
    Modality,
    Payload,
    PointCloud,
    PointField,
    Pose,
    Sample,
    SyncedSet,
)

__all__ = ["Moment", "MomentReader", "Readings", "pose_of"]

_NAMES = ("x", "y", "z", "intensity")


@dataclass(frozen=True, eq=False)
class Readings:
    """An IMU's recording, by rising stamp."""

    stamps_ns: NDArray[np.int64]  # [N]
    gyro: NDArray[np.float64]  # [N, 3] rad/s
    accel: NDArray[np.float64]  # [N, 3] m/s^2, gravity included
    pose: Pose  # to the base frame
    speed: NDArray[np.float64] | None = None  # [N, 2] m/s along x and y; None: not known


@dataclass(frozen=True, eq=False)
class Moment:
    """Where the data of one moment lie, and how the sensors sit in the base frame."""

    stamp_ns: int
    image: Path | None  # None: the set has no camera
    image_stamp_ns: int
    intrinsics: Intrinsics  # width and height 0: those of the image
    camera_pose: Pose
    cloud: Path | None  # float32 records, x, y, z and intensity first; None: the set has no lidar
    lidar_pose: Pose
    imu: Readings | None = None


class MomentReader:
    """Makes labelled frames of the moments of one drive, in the order of time.

    `columns` are the numbers in a record of a cloud, `full_scale` the intensity that counts as 1.
    """

    def __init__(self, *, columns: int, full_scale: float, labels: Sequence[str] = LABELS) -> None:
        self._columns, self._labels = columns, labels
        self._config = override(Config(), {"lidar.intensity_full_scale": full_scale})
        self._preprocess = Preprocessor(self._config, measures=True)
        self._last_ns = 0  # stamp of the moment before

    def __call__(self, moment: Moment, boxes: Sequence[Box]) -> LabelledFrame:
        """Camera, lidar and, where readings are near, IMU; raises DatasetError naming the file."""
        samples: dict[str, tuple[Sample, ...]] = {}
        if moment.image is not None:
            image = self._image(moment.image)
            intrinsics = moment.intrinsics
            if not intrinsics.width:
                intrinsics = replace(intrinsics, width=image.width, height=image.height)
            self._preprocess.set_intrinsics(intrinsics)
            self._preprocess.placer.give(Modality.CAMERA, moment.camera_pose)
            samples[Modality.CAMERA] = (_sample(Modality.CAMERA, moment.image_stamp_ns, image),)
        if moment.cloud is not None:
            self._preprocess.placer.give(Modality.LIDAR, moment.lidar_pose)
            cloud = self._cloud(moment.cloud)
            samples[Modality.LIDAR] = (_sample(Modality.LIDAR, moment.stamp_ns, cloud),)
        if moment.imu is not None:
            self._preprocess.placer.give(Modality.IMU, moment.imu.pose)
            window = round(self._config.imu.window_s * 1e9)
            readings = _readings(moment.imu, moment.stamp_ns, window)
            samples |= {Modality.IMU: readings} if readings else {}
        stamp = moment.stamp_ns
        anchor = Modality.CAMERA if moment.cloud is None else Modality.LIDAR
        synced = SyncedSet(0, 0, stamp, anchor, samples, {}, stamp, stamp, stamp)
        prepared = self._preprocess(synced, synced.present)
        for name, error in prepared.invalid.items():
            path = moment.image if name == Modality.CAMERA else moment.cloud
            raise DatasetError(f"{path} cannot be used ({error}); copy it again") from error
        frame = labelled(
            prepared.inputs,
            boxes,
            labels=self._labels,
            stamp_ns=moment.stamp_ns,
            points=self._preprocess.points,
        )
        last_ns, self._last_ns = self._last_ns or stamp, stamp
        return frame if moment.imu is None else _moved(frame, moment.imu, last_ns, stamp)

    def _image(self, path: Path) -> ImageFrame:
        data = np.frombuffer(read_bytes(path), np.uint8)
        try:
            pixels = np.ascontiguousarray(camera.decode(CompressedFrame(path.suffix[1:], data)))
        except InvalidMessageError as error:
            raise DatasetError(f"{path} is no readable image; download or copy it again") from error
        height, width, _ = pixels.shape
        return ImageFrame(height, width, 3 * width, "rgb8", is_bigendian=False, data=pixels.reshape(-1))

    def _cloud(self, path: Path) -> PointCloud:
        data, step = np.frombuffer(read_bytes(path), np.uint8), 4 * self._columns
        if data.size % step:
            raise DatasetError(
                f"{path} has {data.size} bytes, no multiple of {step}: it is truncated; copy it again"
            )
        fields = tuple(PointField(name, 4 * index, "f4") for index, name in enumerate(_NAMES))
        return PointCloud(1, data.size // step, step, data.size, is_bigendian=False, fields=fields, data=data)


def _sample(modality: Modality, stamp_ns: int, payload: Payload) -> Sample:
    return Sample(modality, stamp_ns, stamp_ns, stamp_ns, modality.value, payload, 0)


def _readings(imu: Readings, stamp_ns: int, window_ns: int) -> tuple[Sample, ...]:
    """Those in (stamp - window, stamp], as in a set; where there are none, the nearest within a window."""
    first, last = np.searchsorted(imu.stamps_ns, [stamp_ns - window_ns, stamp_ns], side="right")
    chosen: Sequence[Any] = range(first, last)
    if not chosen and len(imu.stamps_ns):
        nearest = int(np.abs(imu.stamps_ns - stamp_ns).argmin())
        chosen = [nearest] if abs(int(imu.stamps_ns[nearest]) - stamp_ns) <= window_ns else []
    return tuple(
        _sample(Modality.IMU, int(imu.stamps_ns[index]), ImuReading(imu.gyro[index], imu.accel[index]))
        for index in chosen
    )


def _moved(frame: LabelledFrame, imu: Readings, from_ns: int, to_ns: int) -> LabelledFrame:
    """The frame with the way of the base, the speed of the IMU being taken for its own.

    The axes of an IMU that tells speeds are those of the base but for a small turn.
    """
    middle_ns = (from_ns + to_ns) / 2
    columns = (imu.gyro[:, 2], *([] if imu.speed is None else imu.speed.T))
    rate, *along = (float(np.interp(middle_ns, imu.stamps_ns, column)) for column in columns)
    x, y = along or (0.0, 0.0)
    way = ahead(EgoState(from_ns, EgoStep(), Velocity(x, y, rate)), to_ns).pose
    return replace(frame, way=way, over_ground=bool(along))


def pose_of(rotation: NDArray[np.float64], translation: NDArray[np.float64]) -> Pose:
    """The pose of a rotation matrix [3, 3], as exact as it was written down, and a translation [3] in m."""
    from scipy.spatial.transform import Rotation  # of the extra `lab`

    x, y, z, w = Rotation.from_matrix(rotation).as_quat().tolist()
    return Pose((float(translation[0]), float(translation[1]), float(translation[2])), (x, y, z, w))
