"""Makes messages contradict themselves, as broken drivers do; what comes out can still be serialised."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from sentryfuse_core.faults.corruption.payload import (
    Options,
    changed,
    emptied,
    is_cloud,
    is_image,
    is_imu,
    payload_path,
)

__all__ = ["malformed"]

_U32 = 2**32 - 1
Change = tuple[str, Any]  # a field, dots for nested ones, and what is put there; None empties an array
_STAMPS: tuple[Change, ...] = (
    ("header.stamp.sec", -5),
    ("header.stamp.sec", 2**31 - 1),
    ("header.stamp.nanosec", _U32),
)
_IMAGE: tuple[Change, ...] = (
    ("height", _U32),
    ("height", 0),
    ("width", _U32),
    ("width", 0),
    ("encoding", "no_such_encoding"),
    ("encoding", ""),
    ("data", None),
)
_COMPRESSED: tuple[Change, ...] = (("data", None), ("data", b"\xff\xd8\xff\xd9"), ("data", b"not an image"))
_CLOUD: tuple[Change, ...] = (
    ("point_step", 0),
    ("point_step", 1),
    ("point_step", _U32),
    ("width", _U32),
    ("height", _U32),
    ("height", 0),
    ("fields", None),
    ("fields.0.name", "y"),
    ("fields.1.datatype", 99),
    ("fields.2.offset", _U32),
    ("fields.2.offset", 0),
    ("data", None),
)
_IMU: tuple[Change, ...] = (
    ("angular_velocity.x", math.nan),
    ("angular_velocity.z", math.inf),
    ("linear_acceleration.y", -math.inf),
    ("linear_acceleration.z", 1e300),
    ("angular_velocity_covariance.0", math.nan),
    ("linear_acceleration_covariance.0", math.nan),
)
_AUDIO: tuple[Change, ...] = (
    ("channels", 0),
    ("channels", 255),
    ("sample_rate_hz", 0),
    ("sample_rate_hz", _U32),
    ("encoding", "no_such_encoding"),
    ("audio.info.channels", 0),
    ("audio.info.rate", 0),
    ("info.channels", 0),
    ("info.rate", 0),
    ("layout.data_offset", _U32),
    ("layout.dim.0.size", 0),
    ("layout.dim.0.size", _U32),
)


def malformed(message: Any, options: Options, random: np.random.Generator) -> Any:
    """With probability `share`, make one field contradict the others, chosen at random."""
    if random.random() >= options["share"]:
        return message
    changes = [change for change in (*_STAMPS, *_changes(message)) if _has(message, change[0].split("."))]
    if not changes:
        return message
    name, value = changes[random.integers(len(changes))]
    return _put(message, tuple(name.split(".")), value)


def _changes(message: Any) -> tuple[Change, ...]:
    if is_imu(message):
        return _IMU
    if is_cloud(message):
        return _CLOUD
    if is_image(message):
        return _IMAGE if hasattr(message, "step") else _COMPRESSED
    path = payload_path(message)
    return _AUDIO if path is None else (*_AUDIO, (".".join(path), None))


def _has(message: Any, path: list[str]) -> bool:
    for name in path:
        if name.isdecimal():
            if not int(name) < len(message):
                return False
            message = message[int(name)]
        elif hasattr(message, name):
            message = getattr(message, name)
        else:
            return False
    return True


def _put(message: Any, path: tuple[str, ...], value: Any) -> Any:
    if value is None:
        return emptied(message, path)
    if path[-1].isdecimal():  # an element of an array of numbers

        def element(values: Any) -> Any:
            spoilt = np.array(values, np.float64)
            spoilt[int(path[-1])] = value
            return spoilt

        return changed(message, path[:-1], element)
    if isinstance(value, bytes):
        return changed(message, path, lambda _: np.frombuffer(value, np.uint8))
    return changed(message, path, lambda _: value)
