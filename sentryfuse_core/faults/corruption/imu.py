"""Spoils IMU readings: stuck, at full scale, noisy or not a number."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from sentryfuse_core.faults.corruption.payload import Options, is_imu

if TYPE_CHECKING:
    import numpy as np

__all__ = ["AXES", "altered", "saturated", "stuck"]

AXES = tuple((name, axis) for name in ("angular_velocity", "linear_acceleration") for axis in "xyz")


def altered(message: Any, change: Callable[[int, float], float]) -> Any:
    """A copy with `change(index in AXES, reading)` in place of each reading."""
    spoilt = copy.copy(message)
    for index, (name, axis) in enumerate(AXES):
        if axis == "x":
            setattr(spoilt, name, copy.copy(getattr(message, name)))
        setattr(getattr(spoilt, name), axis, float(change(index, getattr(getattr(message, name), axis))))
    return spoilt


def stuck(message: Any, first: Any, options: Options) -> Any:
    """Repeat the readings of `first` on every axis, or on the one that `axis` counts in AXES."""
    if not (is_imu(message) and is_imu(first)):
        return message
    chosen = int(options["axis"])
    held = [getattr(getattr(first, name), axis) for name, axis in AXES]
    return altered(message, lambda index, value: held[index] if chosen in (-1, index) else value)


def saturated(message: Any, options: Options, _: np.random.Generator) -> Any:
    """Put every axis at full scale, on the side it was."""
    if not is_imu(message):
        return message
    scales = [options["gyro_rad_s"]] * 3 + [options["accel_m_s2"]] * 3
    return altered(message, lambda index, value: math.copysign(scales[index], value))
