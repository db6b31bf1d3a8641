"""One moment of a recording that is no bag, through the robot's own preprocessing, ahead or all around."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sentryfuse_core.config import Config, override
from sentryfuse_core.config.sectors import sector_yaws_deg
from sentryfuse_core.errors import DatasetError, InvalidMessageError
from sentryfuse_core.lab.datasets.driving import Box, LabelledFrame, labelled
from sentryfuse_core.lab.datasets.files import read_bytes
from sentryfuse_core.lab.datasets.vocabulary import LABELS
from sentryfuse_core.planar import EgoState, EgoStep, Velocity, ahead, turned
from sentryfuse_core.preprocess import camera, lidar
from sentryfuse_core.preprocess.assemble import Preprocessor
from sentryfuse_core.preprocess.sectors import sector_axes, seen_from
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

__all__ = ["SIDES", "Moment", "MomentReader", "Picture", "Readings", "pose_of"]

_AROUND = "all_around"
SIDES = len(sector_yaws_deg(_AROUND))
"""How many frames a moment gives where cameras look all around."""
_NAMES = ("x", "y", "z", "intensity")
_MOST_BELOW_0 = 0.01  # share of a cloud's intensities, which no lidar measures so


@dataclass(frozen=True, eq=False)
class Readings:
    """An IMU's recording, by rising stamp."""

    stamps_ns: NDArray[np.int64]  # [N]
    gyro: NDArray[np.float64]  # [N, 3] rad/s
    accel: NDArray[np.float64]  # [N, 3] m/s^2, gravity included
    pose: Pose  # to the base frame
    speed: NDArray[np.float64] | None = None  # [N, 2] m/s along x and y; None: not known


@dataclass(frozen=True, eq=False)
class Picture:
    """Where the image of one camera lies, and how the camera sits in the base frame."""

    path: Path
    stamp_ns: int
    intrinsics: Intrinsics  # width and height 0: those of the image
    pose: Pose


@dataclass(frozen=True, eq=False)
class Moment:
    """Where the data of one moment lie, and how the lidar sits in the base frame."""

    stamp_ns: int
    pictures: Mapping[str, Picture]  # by the camera's name; empty: the set has no camera
    cloud: Path | None  # float32 records, x, y, z and intensity first; None: the set has no lidar
    lidar_pose: Pose
    imu: Readings | None = None


class MomentReader:
    """Makes labelled frames of the moments of one drive, in the order of time.

    `columns` are the numbers in a record of a cloud, `full_scale` the intensity that counts as 1. With
    `around`, names of cameras, every moment gives `SIDES` frames: front, left, back and right, of all of them
    that see that side. Without, it gives the one ahead, of the camera that is called like its kind.
    """

    def __init__(
        self,
        *,
        columns: int,
        full_scale: float,
        labels: Sequence[str] = LABELS,
        around: Sequence[str] = (),
    ) -> None:
        self._columns, self._labels = columns, labels
        values: dict[str, Any] = {"lidar.intensity_full_scale": full_scale}
        if around:
            values |= {"sensors": [*around, Modality.LIDAR.value, Modality.IMU.value]}
            values |= {f"{name}.kind": Modality.CAMERA.value for name in around}
            values |= {"output.sectors": _AROUND}
        self._config = override(Config(), values)
        self._preprocess = Preprocessor(self._config, measures=True)
        self._last_ns = 0  # stamp of the moment before

    def __call__(self, moment: Moment, boxes: Sequence[Box]) -> tuple[LabelledFrame, ...]:
        """Cameras, lidar and, where readings are near, IMU; raises DatasetError naming the file.

        The boxes are in the base frame; those of a side's frame lie as seen from there.
        """
        samples: dict[str, tuple[Sample, ...]] = {}
        since: dict[str, tuple[Sample, ...]] = {}  # readings since the moment before
        for name, picture in moment.pictures.items():
            image = self._image(picture.path)
            intrinsics = picture.intrinsics
            if not intrinsics.width:
                intrinsics = replace(intrinsics, width=image.width, height=image.height)
            self._preprocess.set_intrinsics(intrinsics, name)
            self._preprocess.placer.give(name, picture.pose)
            samples[name] = (replace(_sample(Modality.CAMERA, picture.stamp_ns, image), name=name),)
        if moment.cloud is not None:
            self._preprocess.placer.give(Modality.LIDAR, moment.lidar_pose)
            cloud = self._cloud(moment.cloud)
            samples[Modality.LIDAR] = (_sample(Modality.LIDAR, moment.stamp_ns, cloud),)
        if moment.imu is not None:
            self._preprocess.placer.give(Modality.IMU, moment.imu.pose)
            window = round(self._config.imu.window_s * 1e9)
            readings = _readings(moment.imu, moment.stamp_ns, window)
            samples |= {Modality.IMU: readings} if readings else {}
            span = max(moment.stamp_ns - self._last_ns, window) if self._last_ns else window
            since[Modality.IMU] = _readings(moment.imu, moment.stamp_ns, span)
        stamp = moment.stamp_ns
        anchor = Modality.CAMERA if moment.cloud is None else Modality.LIDAR
        synced = SyncedSet(0, 0, stamp, anchor, samples, {}, stamp, stamp, stamp)
        prepared = self._preprocess(synced, samples, readings=since)
        for name, error in prepared.invalid.items():
            path = moment.pictures[name].path if name in moment.pictures else moment.cloud
            raise DatasetError(f"{path} cannot be used ({error}); copy it again") from error
        points = self._preprocess.points  # of the first side, which is ahead
        frames = tuple(
            labelled(
                inputs,
                _seen_from(boxes, yaw),
                labels=self._labels,
                stamp_ns=stamp,
                points=None if points is None else lidar.turned(points, sector_axes(yaw)),
            )
            for inputs, yaw in zip(prepared.views, self._preprocess.yaws_rad, strict=True)
        )
        last_ns, self._last_ns = self._last_ns or stamp, stamp
        if moment.imu is None:
            return frames
        return _moved(frames, self._preprocess.yaws_rad, moment.imu, last_ns, stamp)

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
        # Records of another length can have the right size in all; what is read as intensity tells them.
        if (data.view("<f4")[3 :: self._columns] < 0.0).mean() > _MOST_BELOW_0:
            raise DatasetError(
                f"{path} has intensities below 0, as records of other than {self._columns} numbers give; "
                f"write float32 {', '.join(_NAMES)}{' and one more' * (self._columns > len(_NAMES))}"
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


def _seen_from(boxes: Sequence[Box], yaw_rad: float) -> Sequence[Box]:
    """Boxes of the base frame in the frame of the sector that looks along `yaw_rad`."""
    if yaw_rad == 0.0:
        return boxes
    places = seen_from(np.array([(box.x, box.y) for box in boxes]).reshape(-1, 2), yaw_rad).tolist()
    return [
        replace(box, x=x, y=y, yaw=math.remainder(box.yaw - yaw_rad, math.tau))
        for box, (x, y) in zip(boxes, places, strict=True)
    ]


def _moved(
    frames: Sequence[LabelledFrame], yaws_rad: Sequence[float], imu: Readings, from_ns: int, to_ns: int
) -> tuple[LabelledFrame, ...]:
    """The frames of a moment with the way of the base, the speed of the IMU being taken for its own.

    The axes of an IMU that tells speeds are those of the base but for a small turn.
    """
    middle_ns = (from_ns + to_ns) / 2
    columns = (imu.gyro[:, 2], *([] if imu.speed is None else imu.speed.T))
    rate, *along = (float(np.interp(middle_ns, imu.stamps_ns, column)) for column in columns)
    x, y = along or (0.0, 0.0)
    way = ahead(EgoState(from_ns, EgoStep(), Velocity(x, y, rate)), to_ns).pose
    return tuple(
        replace(frame, way=EgoStep(*turned(way.x, way.y, -yaw), way.yaw), over_ground=bool(along))
        for frame, yaw in zip(frames, yaws_rad, strict=True)
    )


def pose_of(rotation: NDArray[np.float64], translation: NDArray[np.float64]) -> Pose:
    """The pose of a rotation matrix [3, 3], as exact as it was written down, and a translation [3] in m."""
    from scipy.spatial.transform import Rotation  # of the extra `lab`

    x, y, z, w = Rotation.from_matrix(rotation).as_quat().tolist()
    return Pose((float(translation[0]), float(translation[1]), float(translation[2])), (x, y, z, w))
