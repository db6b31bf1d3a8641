"""Rotations: of a sensor against the base frame, and of the robot between two moments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from sentryfuse_core.clock import NS_PER_S
from sentryfuse_core.types import ImuReading, Pose, Sample

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["IDENTITY", "Rotation", "angle_rad", "pose_rotation", "turned"]

Rotation: TypeAlias = NDArray[np.floating[Any]]  # [3, 3]
IDENTITY: Rotation = np.eye(3)


def pose_rotation(pose: Pose) -> Rotation:
    """The matrix that turns vectors of the sensor's frame into the base frame."""
    x, y, z, w = np.asarray(pose.quaternion) / np.linalg.norm(pose.quaternion)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def angle_rad(rotation: Rotation) -> float:
    """The angle a rotation turns by."""
    return float(np.arccos(np.clip((np.trace(rotation) - 1.0) / 2.0, -1.0, 1.0)))


def turned(samples: Sequence[Sample], imu_pose: Pose, *, from_ns: int, to_ns: int) -> Rotation:
    """What turns a base-frame vector of `from_ns` into the base frame of `to_ns`, from the gyro's readings.

    Rates are interpolated linearly between readings and held beyond them: a set reaches past its IMU
    window by tens of milliseconds at most. Without a gyro the answer is no rotation.
    """
    read = [(sample.stamp_ns, cast("ImuReading", sample.payload).angular_velocity) for sample in samples]
    readings = [(stamp_ns, rate) for stamp_ns, rate in read if rate is not None]
    if not readings or from_ns == to_ns:
        return IDENTITY
    start_ns, end_ns = min(from_ns, to_ns), max(from_ns, to_ns)
    times_ns = np.array([stamp_ns - start_ns for stamp_ns, _ in readings], float)
    rates = np.stack([rate for _, rate in readings])  # [N, 3]
    span_ns = float(end_ns - start_ns)
    knots_ns = np.unique(np.concatenate([[0.0, span_ns], times_ns[(times_ns > 0.0) & (times_ns < span_ns)]]))
    at_knots = np.stack([np.interp(knots_ns, times_ns, rates[:, axis]) for axis in range(3)], axis=-1)
    steps_s = np.diff(knots_ns)[:, None] / NS_PER_S
    angle = (0.5 * (at_knots[1:] + at_knots[:-1]) * steps_s).sum(axis=0)  # small: axes may be summed
    # The attitude at the end seen from the start.
    forward: Rotation = cv2.Rodrigues(pose_rotation(imu_pose) @ angle)[0]
    return forward.T if to_ns > from_ns else forward
