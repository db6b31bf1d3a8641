"""Spoils point clouds of any layout: a blocked sector, missing points, noise, nothing at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from sentryfuse_core.faults.corruption.payload import Options, changed, emptied, is_cloud

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["blocked", "empty", "missing_points", "noisy_cloud"]

_FLOATS = {7: "f4", 8: "f8"}  # sensor_msgs/PointField FLOAT32 and FLOAT64


def blocked(message: Any, options: Options, _: np.random.Generator) -> Any:
    """Make every return between the bearings `from_deg` and `to_deg` of the sensor's frame NaN."""
    width_deg = (options["to_deg"] - options["from_deg"]) % 360.0

    def spoil(x: NDArray[Any], y: NDArray[Any], _: NDArray[Any]) -> NDArray[np.bool_]:
        bearing_deg = np.degrees(np.arctan2(y, x))
        return np.asarray((bearing_deg - options["from_deg"]) % 360.0 <= width_deg)

    return _cloud_without(message, spoil)


def empty(message: Any, _: Options, __: np.random.Generator) -> Any:
    """Leave a well-formed cloud of no points."""
    if not is_cloud(message):
        return message
    bare = emptied(message, ("data",))
    bare.height, bare.width, bare.row_step = 1, 0, 0
    return bare


def missing_points(message: Any, share: float, random: np.random.Generator) -> Any:
    """Make a `share` of the points NaN."""
    return _cloud_without(message, lambda x, *_: random.random(x.shape) < share)


def noisy_cloud(message: Any, sigma_m: float, random: np.random.Generator) -> Any:
    """Add white noise of `sigma_m` to every coordinate."""

    def spoil(data: NDArray[Any]) -> NDArray[Any]:
        spoilt = np.array(data, np.uint8)
        for axis in _axes(message, spoilt):
            axis[...] = axis + sigma_m * random.standard_normal(axis.shape, np.float32)
        return spoilt

    return changed(message, ("data",), spoil)


def _axes(message: Any, data: NDArray[np.uint8]) -> Iterator[NDArray[Any]]:
    """Writable views [height, width] of x, y and z in `data`; none when the cloud is not as it says."""
    order = ">" if message.is_bigendian else "<"
    fields = {field.name: field for field in message.fields}
    row_step = message.row_step if message.height > 1 else message.width * message.point_step
    for name in ("x", "y", "z"):
        field = fields.get(name)
        if field is None or field.datatype not in _FLOATS:
            return
        kind = np.dtype(order + _FLOATS[field.datatype])
        last = (message.height - 1) * row_step + (message.width - 1) * message.point_step
        if message.height * message.width == 0 or last + field.offset + kind.itemsize > len(data):
            return
        shape, strides = (message.height, message.width), (row_step, message.point_step)
        yield np.ndarray(shape, kind, data.data, field.offset, strides)


def _cloud_without(message: Any, choose: Callable[..., NDArray[np.bool_]]) -> Any:
    """Make the points that `choose(x, y, z)` picks NaN."""
    if not is_cloud(message):
        return message

    def spoil(data: NDArray[Any]) -> NDArray[Any]:
        spoilt = np.array(data, np.uint8)
        axes = list(_axes(message, spoilt))
        if len(axes) == 3:
            chosen = choose(*axes)
            for axis in axes:
                axis[chosen] = np.nan
        return spoilt

    return changed(message, ("data",), spoil)
