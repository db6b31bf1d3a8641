"""Makes messages contradict themselves, as broken drivers do; what comes out can still be serialised."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np

from sentryfuse_core.faults.corruption.payload import (
    changed,
    emptied,
    is_cloud,
    is_image,
    is_imu,
    payload_path,
)
from sentryfuse_core.faults.hit import Hit

__all__ = ["malformed"]

_U32 = 2**32 - 1
# A field, dots for nested ones, and what may be put there; None empties an array.
Changes: TypeAlias = Mapping[str, tuple[Any, ...]]
_STAMPS: Changes = {
    "header.stamp.sec": (-5, 2**31 - 1),
    "header.stamp.nanosec": (_U32,),
}
_IMAGE: Changes = {
    "height": (_U32, 0),
    "width": (_U32, 0),
    "encoding": ("no_such_encoding", ""),
    "data": (None,),
}
_COMPRESSED: Changes = {"data": (None, b"\xff\xd8\xff\xd9", b"not an image")}
_CLOUD: Changes = {
    "point_step": (0, 1, _U32),
    "width": (_U32,),
    "height": (_U32, 0),
    "fields": (None,),
    "fields.0.name": ("y",),
    "fields.1.datatype": (99,),
    "fields.2.offset": (_U32, 0),
    "data": (None,),
}
_IMU: Changes = {
    "angular_velocity.x": (math.nan,),
    "angular_velocity.z": (math.inf,),
    "linear_acceleration.y": (-math.inf,),
    "linear_acceleration.z": (1e300,),
    "angular_velocity_covariance.0": (math.nan,),
    "linear_acceleration_covariance.0": (math.nan,),
}
_AUDIO: Changes = {
    "channels": (0, 255),
    "sample_rate_hz": (0, _U32),
    "encoding": ("no_such_encoding",),
    "audio.info.channels": (0,),
    "audio.info.rate": (0,),
    "info.channels": (0,),
    "info.rate": (0,),
    "layout.data_offset": (_U32,),
    "layout.dim.0.size": (0, _U32),
}


def malformed(message: Any, hit: Hit) -> Any:
    """With probability `share`, make one field contradict the others, chosen at random."""
    if hit.random.random() >= hit.options["share"]:
        return message
    changes = [
        (tuple(name.split(".")), value)
        for name, values in {**_STAMPS, **_changes(message)}.items()
        for value in values
        if _has(message, name.split("."))
    ]
    return _put(message, *changes[hit.random.integers(len(changes))]) if changes else message


def _changes(message: Any) -> Changes:
    if is_imu(message):
        return _IMU
    if is_cloud(message):
        return _CLOUD
    if is_image(message):
        return _IMAGE if hasattr(message, "step") else _COMPRESSED
    path = payload_path(message)
    return _AUDIO if path is None else {**_AUDIO, ".".join(path): (None,)}


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
