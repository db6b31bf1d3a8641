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
from sentryfuse_core.lab.datasets.files import read_bytes
from sentryfuse_core.preprocess import camera
from sentryfuse_core.preprocess.assemble import Preprocessor
from sentryfuse_core.preprocess.tensors import ModelInput
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


@dataclass(frozen=True, eq=False)
class Moment:
    """Where the data of one moment lie, and how the sensors sit in the base frame."""

    stamp_ns: int
    image: Path
    image_stamp_ns: int
    intrinsics: Intrinsics  # width and height 0: those of the image
    camera_pose: Pose
    cloud: Path  # float32 records, x, y, z and intensity first
    lidar_pose: Pose
    imu: Readings | None = None


class MomentReader:
    """Makes inputs of the moments of one drive, in the order of time.

    `columns` are the numbers in a record of a cloud, `full_scale` the intensity that counts as 1.
    """

    def __init__(self, *, columns: int, full_scale: float) -> None:
        self._columns = columns
        self._config = override(Config(), {"lidar.intensity_full_scale": full_scale})
        self._preprocess = Preprocessor(self._config)

    def __call__(self, moment: Moment) -> ModelInput:
        """Inputs of camera, lidar and, where readings are near, IMU; raises DatasetError naming the file."""
        image = self._image(moment.image)
        intrinsics = moment.intrinsics
        if not intrinsics.width:
            intrinsics = replace(intrinsics, width=image.width, height=image.height)
        self._preprocess.set_intrinsics(intrinsics)
        self._preprocess.placer.give(Modality.CAMERA, moment.camera_pose)
        self._preprocess.placer.give(Modality.LIDAR, moment.lidar_pose)
        samples: dict[str, tuple[Sample, ...]] = {
            Modality.CAMERA: (_sample(Modality.CAMERA, moment.image_stamp_ns, image),),
            Modality.LIDAR: (_sample(Modality.LIDAR, moment.stamp_ns, self._cloud(moment.cloud)),),
        }
        if moment.imu is not None:
            self._preprocess.placer.give(Modality.IMU, moment.imu.pose)
            window = round(self._config.imu.window_s * 1e9)
            readings = _readings(moment.imu, moment.stamp_ns, window)
            samples |= {Modality.IMU: readings} if readings else {}
        stamp = moment.stamp_ns
        synced = SyncedSet(0, 0, stamp, Modality.LIDAR, samples, {}, stamp, stamp, stamp)
        prepared = self._preprocess(synced, synced.present)
        for name, error in prepared.invalid.items():
            path = moment.image if name == Modality.CAMERA else moment.cloud
            raise DatasetError(f"{path} cannot be used ({error}); copy it again") from error
        return prepared.inputs

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


def pose_of(rotation: NDArray[np.float64], translation: NDArray[np.float64]) -> Pose:
    """The pose of a rotation matrix [3, 3], as exact as it was written down, and a translation [3] in m."""
    from scipy.spatial.transform import Rotation  # of the extra `lab`

    x, y, z, w = Rotation.from_matrix(rotation).as_quat().tolist()
    return Pose((float(translation[0]), float(translation[1]), float(translation[2])), (x, y, z, w))
