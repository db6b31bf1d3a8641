"""Spoils IMU readings: stuck, at full scale, noisy or not a number."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from sentryfuse_core.faults.corruption.payload import is_imu
from sentryfuse_core.faults.hit import Hit
from sentryfuse_core.types import FloatArray

__all__ = ["noise", "not_a_number", "on_readings", "saturated", "stuck"]

_AXES = tuple((name, axis) for name in ("angular_velocity", "linear_acceleration") for axis in "xyz")
# Takes the readings [6] (gyro, then acceleration) and those of the event's first message; returns new ones.
Change: TypeAlias = Callable[[FloatArray, FloatArray, Hit], FloatArray]


def on_readings(change: Change) -> Callable[[Any, Hit], Any]:
    """The fault of a message that `change` makes of its readings."""

    def spoil(message: Any, hit: Hit) -> Any:
        if not is_imu(message):
            return message
        first = _readings(hit.keep_first(message))
        spoilt = copy.copy(message)
        for (name, axis), value in zip(_AXES, change(_readings(message), first, hit), strict=True):
            if axis == "x":
                setattr(spoilt, name, copy.copy(getattr(message, name)))
            setattr(getattr(spoilt, name), axis, float(value))
        return spoilt

    return spoil


def _readings(message: Any) -> FloatArray:
    return np.array([getattr(getattr(message, name), axis) for name, axis in _AXES], np.float64)


def stuck(readings: FloatArray, first: FloatArray, hit: Hit) -> FloatArray:
    """Repeat the first readings on every axis, or on the one that `axis` counts."""
    chosen = int(hit.options["axis"])
    return np.where([chosen in (-1, index) for index in range(6)], first, readings)


def saturated(readings: FloatArray, _: FloatArray, hit: Hit) -> FloatArray:
    """Put every axis at full scale, on the side it was."""
    return np.copysign([hit.options["gyro_rad_s"]] * 3 + [hit.options["accel_m_s2"]] * 3, readings)


def noise(readings: FloatArray, _: FloatArray, hit: Hit) -> FloatArray:
    """Add white noise of `sigma`, in rad/s and m/s^2."""
    return readings + hit.options["sigma"] * hit.random.standard_normal(6)


def not_a_number(readings: FloatArray, _: FloatArray, hit: Hit) -> FloatArray:
    """Make all readings of a `share` of the messages NaN."""
    return np.full(6, np.nan) if hit.random.random() < hit.options["share"] else readings
