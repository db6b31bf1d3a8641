"""sensor_msgs/Imu to readings."""

from __future__ import annotations

from typing import Any

import numpy as np

from sentryfuse_core.convert.fields import number, read
from sentryfuse_core.errors import InvalidMessageError
from sentryfuse_core.types import FloatArray, ImuReading

__all__ = ["imu_reading"]

LARGEST = 1e6  # rad/s or m/s^2: beyond any sensor, but nothing that later sums could not hold


def imu_reading(message: Any) -> ImuReading:
    """Angular velocity and acceleration; None for one whose covariance begins with -1, 'field absent'."""
    reading = ImuReading(_vector(message, "angular_velocity"), _vector(message, "linear_acceleration"))
    if reading.angular_velocity is None and reading.linear_acceleration is None:
        raise InvalidMessageError("empty", "both covariances begin with -1, which means absent")
    return reading


def _vector(message: Any, name: str) -> FloatArray | None:
    covariance = read(message, f"{name}_covariance")
    try:
        absent = bool(covariance[0] == -1.0)
    except (TypeError, IndexError, KeyError, ValueError):
        raise InvalidMessageError("wrong_type", f"{name}_covariance is no list of 9 numbers") from None
    if absent:
        return None
    vector = read(message, name)
    values = [number(vector, axis) for axis in "xyz"]
    if max(map(abs, values)) > LARGEST:
        raise InvalidMessageError("out_of_range", f"{name} = {values}")
    return np.array(values)
