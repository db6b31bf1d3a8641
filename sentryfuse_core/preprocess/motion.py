"""Rotations: of a sensor against the base frame, and of the robot between two moments."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from sentryfuse_core.clock import NS_PER_S
from sentryfuse_core.rotation import IDENTITY, Rotation, pose_rotation
from sentryfuse_core.types import ImuReading, Pose, Sample

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["IDENTITY", "Rotation", "angle_rad", "mean_rate", "pose_rotation", "telling", "turned"]
Vector: TypeAlias = NDArray[np.floating[Any]]  # [3]


def angle_rad(rotation: Rotation) -> float:
    """The angle a rotation turns by."""
    return math.acos(min(max((float(rotation.trace()) - 1.0) / 2.0, -1.0), 1.0))


def telling(samples: Sequence[Sample], *, full_scale_rad_s: float) -> tuple[Sample, ...]:
    """The readings that say how fast the sensor turns: one at the end of its range does not."""
    rates = ((sample, cast("ImuReading", sample.payload).angular_velocity) for sample in samples)
    return tuple(
        sample
        for sample, rate in rates
        if rate is not None and all(abs(value) < full_scale_rad_s for value in rate.tolist())
    )


def turned(samples: Sequence[Sample], imu_pose: Pose, *, from_ns: int, to_ns: int) -> Rotation:
    """What turns a base-frame vector of `from_ns` into the base frame of `to_ns`, from the gyro's readings.

    Rates are interpolated linearly between readings and held beyond them, which are tens of
    milliseconds at most. Without a gyro the answer is no rotation.
    """
    angle = _angle(samples, imu_pose, min(from_ns, to_ns), max(from_ns, to_ns))
    if angle is None:
        return IDENTITY
    # The attitude at the end seen from the start.
    forward: Rotation = np.asarray(cv2.Rodrigues(angle)[0], float)
    return forward.T if to_ns > from_ns else forward


def mean_rate(samples: Sequence[Sample], imu_pose: Pose, *, from_ns: int, to_ns: int) -> Vector | None:
    """Mean angular velocity [3] along base axes in rad/s, by the same readings; None without a gyro."""
    angle = _angle(samples, imu_pose, from_ns, to_ns)
    return None if angle is None else angle * (NS_PER_S / (to_ns - from_ns))


def _angle(samples: Sequence[Sample], imu_pose: Pose, start_ns: int, end_ns: int) -> Vector | None:
    """Angles [3] about base axes in rad from one moment to a later one."""
    if start_ns == end_ns:  # as for the anchor of every set
        return None
    readings = _rates(tuple(samples))
    if readings is None:
        return None
    stamps_ns, rates = readings
    times_ns = (stamps_ns - start_ns).astype(float)
    span_ns = float(end_ns - start_ns)
    knots_ns = np.unique(np.concatenate([[0.0, span_ns], times_ns[(times_ns > 0.0) & (times_ns < span_ns)]]))
    at_knots = np.stack([np.interp(knots_ns, times_ns, rates[:, axis]) for axis in range(3)], axis=-1)
    steps_s = np.diff(knots_ns)[:, None] / NS_PER_S
    angle = (0.5 * (at_knots[1:] + at_knots[:-1]) * steps_s).sum(axis=0)  # small: axes may be summed
    return np.asarray(pose_rotation(imu_pose) @ angle)


@lru_cache(maxsize=2)  # of one IMU several turns are asked for each set
def _rates(samples: tuple[Sample, ...]) -> tuple[NDArray[np.int64], NDArray[np.floating[Any]]] | None:
    """Stamps [N] in ns and rates [N, 3] in the sensor's axes; None without a gyro."""
    read = [(sample.stamp_ns, cast("ImuReading", sample.payload).angular_velocity) for sample in samples]
    readings = [(stamp_ns, rate) for stamp_ns, rate in read if rate is not None]
    if not readings:
        return None
    return np.array([stamp_ns for stamp_ns, _ in readings]), np.array([rate for _, rate in readings])
