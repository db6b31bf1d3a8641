"""Spoils point clouds of any layout: a blocked sector, missing points, noise, a turn, nothing at all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from sentryfuse_core.faults.corruption.payload import believed_step, changed, emptied, is_cloud
from sentryfuse_core.faults.hit import Hit

__all__ = ["blocked", "empty", "noise", "not_a_number", "on_points", "turned"]

_FLOATS = {7: "f4", 8: "f8"}  # sensor_msgs/PointField FLOAT32 and FLOAT64
# Changes the writable coordinates x, y and z, each [height, width], in place.
Change: TypeAlias = Callable[[Sequence[NDArray[Any]], Hit], None]


def on_points(change: Change) -> Callable[[Any, Hit], Any]:
    """The fault of a message that `change` makes of its points."""

    def spoil(message: Any, hit: Hit) -> Any:
        def spoil_data(data: NDArray[Any]) -> NDArray[Any]:
            spoilt = np.array(data, np.uint8)
            axes = _axes(message, spoilt)
            if axes:
                change(axes, hit)
            return spoilt

        return changed(message, ("data",), spoil_data) if is_cloud(message) else message

    return spoil


def _axes(message: Any, data: NDArray[np.uint8]) -> list[NDArray[Any]]:
    """Writable views [height, width] of x, y and z in `data`; none when the cloud is not as it says."""
    order = ">" if message.is_bigendian else "<"
    fields = {field.name: field for field in message.fields}
    row_bytes = message.width * message.point_step
    row_step = believed_step(message.row_step, rows=message.height, row_bytes=row_bytes, size=len(data))
    if row_step is None:
        return []
    found: list[NDArray[Any]] = []
    for name in ("x", "y", "z"):
        field = fields.get(name)
        if field is None or field.datatype not in _FLOATS:
            return []
        kind = np.dtype(order + _FLOATS[field.datatype])
        if field.offset + kind.itemsize > message.point_step:
            return []
        shape, strides = (message.height, message.width), (row_step, message.point_step)
        found.append(np.ndarray(shape, kind, data.data, field.offset, strides))
    return found


def _remove(axes: Sequence[NDArray[Any]], chosen: NDArray[np.bool_]) -> None:
    for axis in axes:
        axis[chosen] = np.nan


def blocked(axes: Sequence[NDArray[Any]], hit: Hit) -> None:
    """Make every return between the bearings `from_deg` and `to_deg` of the sensor's frame NaN."""
    width_deg = (hit.options["to_deg"] - hit.options["from_deg"]) % 360.0
    bearing_deg = np.degrees(np.arctan2(axes[1], axes[0]))
    _remove(axes, (bearing_deg - hit.options["from_deg"]) % 360.0 <= width_deg)


def not_a_number(axes: Sequence[NDArray[Any]], hit: Hit) -> None:
    """Make a `share` of the points NaN."""
    _remove(axes, hit.random.random(axes[0].shape) < hit.options["share"])


def noise(axes: Sequence[NDArray[Any]], hit: Hit) -> None:
    """Add white noise of `sigma`, in m, to every coordinate."""
    for axis in axes:
        axis[...] = axis + hit.options["sigma"] * hit.random.standard_normal(axis.shape, np.float32)


def turned(axes: Sequence[NDArray[Any]], hit: Hit) -> None:
    """Turn all points to the right by `yaw_deg`: the sensor was turned to the left, its pose was not."""
    x, y, _ = axes
    angle_rad = -np.radians(hit.options["yaw_deg"])
    before, cosine, sine = x.copy(), np.cos(angle_rad), np.sin(angle_rad)
    x[...] = cosine * before - sine * y
    y[...] = sine * before + cosine * y


def empty(message: Any, _: Hit) -> Any:
    """Leave a well-formed cloud of no points."""
    if not is_cloud(message):
        return message
    bare = emptied(message, ("data",))
    bare.height, bare.width, bare.row_step = 1, 0, 0
    return bare
