"""Copies of messages with one field changed, and where each type keeps its bulk data."""

from __future__ import annotations

import array
import copy
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from sentryfuse_core.convert.fields import row_step
from sentryfuse_core.errors import InvalidMessageError
from sentryfuse_core.faults.hit import Hit

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "believed_step",
    "changed",
    "emptied",
    "is_cloud",
    "is_image",
    "is_imu",
    "noisy",
    "payload_path",
    "truncate",
]


def is_image(message: Any) -> bool:
    """Whether it looks like a raw or a compressed image."""
    return (hasattr(message, "step") and hasattr(message, "encoding")) or hasattr(message, "format")


def is_cloud(message: Any) -> bool:
    """Whether it looks like a PointCloud2."""
    return hasattr(message, "point_step")


def is_imu(message: Any) -> bool:
    """Whether it looks like an Imu."""
    return hasattr(message, "linear_acceleration")


def payload_path(message: Any) -> tuple[str, ...] | None:
    """Where the bulk data lies: `data`, or deeper in the two families of audio messages."""
    if hasattr(message, "data"):
        return ("data",)
    for owner in ((), ("audio",), ("audio", "audio_data"), ("audio_data",)):
        inner = message
        for name in owner:
            inner = getattr(inner, name, None)
        if owner and hasattr(inner, "data"):
            return (*owner, "data")
        for name in ("float32_data", "int32_data", "int24_data", "int16_data", "int8_data", "uint8_data"):
            if len(getattr(inner, name, ())):
                return (*owner, name)
    return None


def changed(message: Any, path: tuple[str, ...], change: Callable[[Any], Any]) -> Any:
    """A copy of `message` with the field at `path` put through `change`; an array stays the container it was.

    A number in the path picks an item of a list.
    """
    name, rest = path[0], path[1:]
    inner = message[int(name)] if name.isdecimal() else getattr(message, name)
    if rest:
        value = changed(inner, rest, change)
    elif isinstance(inner, (bytes, bytearray)):
        value = _like(inner, change(np.frombuffer(inner, np.uint8)))
    elif isinstance(inner, (array.array, np.ndarray)) or (isinstance(inner, list) and _numbers(inner)):
        value = _like(inner, change(np.asarray(inner)))
    else:
        value = change(inner)
    if name.isdecimal():
        return [value if index == int(name) else item for index, item in enumerate(message)]
    altered = copy.copy(message)
    setattr(altered, name, value)
    return altered


def emptied(message: Any, path: tuple[str, ...]) -> Any:
    """A copy of `message` with nothing in the array at `path`."""
    return changed(message, path, lambda values: values[:0])


def believed_step(declared: int, *, rows: int, row_bytes: int, size: int) -> int | None:
    """Bytes from row to row, as whoever reads the message takes them; None where it would be refused."""
    if rows <= 0 or row_bytes <= 0:
        return None
    try:
        return row_step(declared, name="step", rows=rows, row_bytes=row_bytes, size=size, shape="")
    except InvalidMessageError:
        return None


def truncate(message: Any, hit: Hit) -> Any:
    """Keep the first `keep` of the payload; sizes in the header fields still promise all of it."""
    path = payload_path(message)
    if path is None:
        return message
    return changed(message, path, lambda data: data[: int(len(data) * hit.options["keep"])])


def noisy(values: NDArray[Any], sigma: float, random: np.random.Generator) -> NDArray[Any]:
    """Integers or floats plus white noise of `sigma` of their full scale, clipped to what they can hold."""
    integer = np.issubdtype(values.dtype, np.integer)
    scale = np.iinfo(values.dtype).max if integer else 1.0
    spoilt = values + sigma * scale * random.standard_normal(values.shape, np.float32)
    if integer:
        limits = np.iinfo(values.dtype)
        spoilt = np.clip(np.rint(spoilt), limits.min, limits.max)
    return np.asarray(spoilt.astype(values.dtype))


def _numbers(values: list[Any]) -> bool:
    return bool(values) and isinstance(values[0], (int, float))


def _like(old: Any, values: NDArray[Any]) -> Any:
    """`values` as the container that `old` is; rclpy takes array.array at once, an ndarray item by item."""
    if isinstance(old, array.array):
        typed = array.array(old.typecode)
        typed.frombytes(np.ascontiguousarray(values).tobytes())
        return typed
    if isinstance(old, (bytes, bytearray)):
        return type(old)(values.tobytes())
    return np.ascontiguousarray(values) if isinstance(old, np.ndarray) else values.tolist()
