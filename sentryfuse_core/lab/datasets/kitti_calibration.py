"""KITTI's calibration: camera, lidar and labels in the base frame.

The base frame has the axes of the Velodyne and its origin on the ground below it; the Velodyne is taken to
be 1.73 m above the ground, as KITTI's sensor sketch has it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sentryfuse_core.errors import DatasetError
from sentryfuse_core.lab.datasets.driving import Box
from sentryfuse_core.lab.datasets.files import numbers_by_key
from sentryfuse_core.lab.datasets.moments import pose_of
from sentryfuse_core.lab.datasets.vocabulary import Vocabulary
from sentryfuse_core.types import Intrinsics, Pose

__all__ = [
    "NAMES",
    "VELODYNE_HEIGHT_M",
    "KittiCalibration",
    "check_known",
    "lidar_pose",
    "numbers",
    "object_calibration",
    "rigid",
]

VELODYNE_HEIGHT_M = 1.73
# Class of the detector by KITTI's name; None: not one of its classes, left out.
NAMES: dict[str, str | None] = {
    "Car": "car",
    "Van": "car",
    "Pedestrian": "pedestrian",
    "Person_sitting": "pedestrian",
    "Person (sitting)": "pedestrian",
    "Cyclist": "cyclist",
    "Truck": None,
    "Tram": None,
    "Misc": None,
    "DontCare": None,
}


@dataclass(frozen=True, eq=False)
class KittiCalibration:
    """Left colour camera (2) and Velodyne."""

    projection: NDArray[np.float64]  # [3, 4] P2: rectified camera coordinates to pixels
    to_camera: NDArray[np.float64]  # [4, 4] Velodyne to rectified camera coordinates
    width: int = 0  # of the images, in pixels; 0: not told
    height: int = 0
    lidar_height_m: float = VELODYNE_HEIGHT_M  # above the ground

    @property
    def intrinsics(self) -> Intrinsics:
        """Those of P2: images are rectified, so there is no distortion."""
        fx, fy, cx, cy = (float(self.projection[place]) for place in ((0, 0), (1, 1), (0, 2), (1, 2)))
        return Intrinsics(self.width, self.height, fx, fy, cx, cy)

    @property
    def camera_pose(self) -> Pose:
        """Camera 2 in the base frame: P2 also says how far it is from camera 0."""
        centre = -np.linalg.solve(self.projection[:, :3], self.projection[:, 3])
        rotation, translation = self._from_camera()
        return pose_of(rotation, rotation @ centre + translation + self._up())

    def box(self, label: str, size: tuple[float, float, float], bottom: list[float], turn: float) -> Box:
        """A label: length, width, height; bottom centre in rectified camera axes; rotation_y in rad."""
        length, width, height = size
        rotation, translation = self._from_camera()
        x, y, z = (
            rotation @ (np.array(bottom) - [0.0, height / 2.0, 0.0]) + translation + self._up()
        ).tolist()
        ahead = rotation @ [math.cos(turn), 0.0, -math.sin(turn)]
        return Box(label, x, y, z, length, width, height, math.atan2(ahead[1], ahead[0]))

    def _up(self) -> NDArray[np.float64]:
        return np.array([0.0, 0.0, self.lidar_height_m])

    def _from_camera(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        rotation = self.to_camera[:3, :3].T
        return rotation, -rotation @ self.to_camera[:3, 3]


def check_known(where: str, kind: str, vocabulary: Vocabulary) -> None:
    """Raises DatasetError, led by `where`, for a class of a label that nobody told the meaning of."""
    if kind not in NAMES and not vocabulary.knows(kind):
        raise DatasetError(
            f"{where}: unknown class {kind!r:.40}; KITTI has {', '.join(NAMES)}: "
            f"correct it, or --map {kind:.40}=CLASS"
        )


def rigid(rotation: NDArray[np.float64], translation: NDArray[np.float64]) -> NDArray[np.float64]:
    """[4, 4] of a rotation [3, 3] and a translation [3]."""
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = rotation, translation
    return matrix


def numbers(path: Path, key: str, *shape: int) -> NDArray[np.float64]:
    """The numbers of `key` in a calibration file; raises DatasetError where there are not as many."""
    found = numbers_by_key(path).get(key)
    if found is None or found.size != math.prod(shape):
        raise DatasetError(
            f"{path} has no {key} of {math.prod(shape)} numbers; download the calibration again"
        )
    return found.reshape(shape)


def lidar_pose(height_m: float) -> Pose:
    """The Velodyne in the base frame."""
    return Pose((0.0, 0.0, height_m), (0.0, 0.0, 0.0, 1.0))


def object_calibration(path: Path, *, lidar_height_m: float = VELODYNE_HEIGHT_M) -> KittiCalibration:
    """A file of the object layout; raises DatasetError for one that lacks P2, R0_rect or Tr_velo_to_cam."""
    moved = numbers(path, "Tr_velo_to_cam", 3, 4)
    rectified = rigid(numbers(path, "R0_rect", 3, 3), np.zeros(3))
    return KittiCalibration(
        numbers(path, "P2", 3, 4),
        rectified @ rigid(moved[:, :3], moved[:, 3]),
        lidar_height_m=lidar_height_m,
    )
