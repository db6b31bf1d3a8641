"""sensor_msgs/PointCloud2 of any layout to clouds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from sentryfuse_core.convert.fields import array_view, flag, integer, read, row_step, text
from sentryfuse_core.errors import InvalidMessageError
from sentryfuse_core.types import PointCloud, PointField

__all__ = ["INTENSITY_NAMES", "TIME_NAMES", "point_cloud"]

_KINDS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 8: "f8"}  # of sensor_msgs/PointField
# In the order of preference.
INTENSITY_NAMES = ("intensity", "i", "intensities", "reflectivity", "remission")
TIME_NAMES = ("t", "time", "timestamp", "time_stamp", "offset_time")


def point_cloud(message: Any) -> PointCloud:
    """A cloud whose records and used fields are known to lie inside its data."""
    height, width, point_step, declared_step = (
        integer(message, name) for name in ("height", "width", "point_step", "row_step")
    )
    if height < 0 or width < 0 or point_step < 0:
        raise InvalidMessageError("bad_size", f"{height} x {width} points of {point_step} bytes")
    fields, time = _fields(read(message, "fields"), point_step)
    data = array_view(message, "data", np.uint8)
    if height * width == 0 or data.size == 0:
        raise InvalidMessageError("empty", f"height {height} x width {width} points, {data.size} bytes")
    shape, row_bytes = f"height {height} x width {width} x point_step {point_step}", width * point_step
    step = row_step(
        declared_step, name="row_step", rows=height, row_bytes=row_bytes, size=data.size, shape=shape
    )
    return PointCloud(height, width, point_step, step, flag(message, "is_bigendian"), fields, data, time)


def _fields(declared: Any, point_step: int) -> tuple[tuple[PointField, ...], PointField | None]:
    """The coordinates and, if there is one, an intensity: x, y, z first, checked; and the time."""
    if not isinstance(declared, Sequence):
        raise InvalidMessageError("wrong_type", f"fields is a {type(declared).__name__}, not a sequence")
    by_name: dict[str, Any] = {}
    for item in declared:
        name = text(item, "name")
        if name in by_name and name in ("x", "y", "z", *INTENSITY_NAMES):
            if all(integer(item, key) == integer(by_name[name], key) for key in ("offset", "datatype")):
                continue  # told twice, not contradicted
            raise InvalidMessageError("overlapping_fields", f"two fields are called {name!r}")
        by_name[name] = item
    if not all(name in by_name for name in ("x", "y", "z")):
        raise InvalidMessageError("no_xyz_fields", f"fields are {', '.join(by_name)[:100] or 'none'}")
    used = ["x", "y", "z", *[name for name in INTENSITY_NAMES if name in by_name][:1]]
    fields = tuple(_field(by_name[name], name, point_step) for name in used)
    _check_overlap(fields)
    return fields, next(
        (_time(by_name[name], name, point_step) for name in TIME_NAMES if name in by_name), None
    )


def _time(item: Any, name: str, point_step: int) -> PointField | None:
    """The points' time, where it can be read: a cloud is none the worse without."""
    try:
        return _field(item, name, point_step)
    except InvalidMessageError:
        return None


def _field(item: Any, name: str, point_step: int) -> PointField:
    datatype, offset = integer(item, "datatype"), integer(item, "offset")
    kind = _KINDS.get(datatype)
    if kind is None or (name in ("x", "y", "z") and kind not in ("f4", "f8")):
        raise InvalidMessageError("bad_field_type", f"field {name!r} has datatype {datatype}")
    end = offset + np.dtype(kind).itemsize
    if offset < 0 or end > point_step:
        detail = f"field {name!r} ends at byte {end}, point_step is {point_step}"
        raise InvalidMessageError("field_outside_point", detail)
    return PointField(name, offset, kind)


def _check_overlap(fields: Iterable[PointField]) -> None:
    end, last = 0, ""
    for item in sorted(fields, key=lambda field: field.offset):
        if item.offset < end:
            raise InvalidMessageError("overlapping_fields", f"{item.name!r} begins inside {last!r}")
        end, last = item.offset + np.dtype(item.kind).itemsize, item.name
