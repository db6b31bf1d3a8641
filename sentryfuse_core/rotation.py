"""Rotation matrices of poses."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from sentryfuse_core.types import Pose

__all__ = ["IDENTITY", "Rotation", "pose_rotation"]

Rotation: TypeAlias = NDArray[np.floating[Any]]  # [3, 3]
IDENTITY: Rotation = np.eye(3)


@lru_cache(maxsize=256)  # sensors sit where they sat, and each set asks several times
def pose_rotation(pose: Pose) -> Rotation:
    """The matrix that turns vectors of the sensor's frame into the base frame, not to be written to."""
    x, y, z, w = (np.asarray(pose.quaternion) / np.linalg.norm(pose.quaternion)).tolist()
    rotation = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )
    rotation.setflags(write=False)
    return rotation
