"""Spoils the content of one message: cut, blackened, blocked, made non-finite or noisy copies.

Every function takes the message, the fault's options and a seeded generator, and returns a copy.
A message of a kind that a fault does not know, or one already too short to hold what it
announces, is returned as it is.
"""

from __future__ import annotations

import array
import copy
import math
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["black", "blocked", "noise", "not_a_number", "truncate"]

Options = Mapping[str, float]
_EIGHT_BIT = (
    "rgb8",
    "bgr8",
    "rgba8",
    "bgra8",
    "mono8",
    *(f"bayer_{p}8" for p in ("rggb", "bggr", "gbrg", "grbg")),
)
_JPEG_QUALITY = 90
_FLOATS = {7: "f4", 8: "f8"}  # sensor_msgs/PointField FLOAT32 and FLOAT64


def truncate(message: Any, options: Options, _: np.random.Generator) -> Any:
    """Keep the first `keep` of the payload; sizes in the header fields still promise all of it."""
    path = _payload_path(message)
    if path is None:
        return message
    return _replaced(message, path, lambda data: data[: int(len(data) * options["keep"])])


def black(message: Any, _: Options, __: np.random.Generator) -> Any:
    """Make a raw or compressed image black."""
    return _image(message, np.zeros_like)


def blocked(message: Any, options: Options, _: np.random.Generator) -> Any:
    """Make every return between the bearings `from_deg` and `to_deg` of the sensor's frame NaN."""
    width_deg = (options["to_deg"] - options["from_deg"]) % 360.0

    def spoil(x: NDArray[Any], y: NDArray[Any], _: NDArray[Any]) -> NDArray[np.bool_]:
        bearing_deg = np.degrees(np.arctan2(y, x))
        return np.asarray((bearing_deg - options["from_deg"]) % 360.0 <= width_deg)

    return _cloud_without(message, spoil)


def not_a_number(message: Any, options: Options, random: np.random.Generator) -> Any:
    """Make a `share` of a cloud's points, or of IMU messages, NaN."""
    if hasattr(message, "linear_acceleration"):
        return _imu(message, lambda _: math.nan) if random.random() < options["share"] else message
    return _cloud_without(message, lambda x, *_: random.random(x.shape) < options["share"])


def noise(message: Any, options: Options, random: np.random.Generator) -> Any:
    """Add white noise of `sigma`: of full scale for images and audio, in SI units for clouds and IMU."""
    sigma = options["sigma"]
    if hasattr(message, "linear_acceleration"):
        return _imu(message, lambda value: value + sigma * random.standard_normal())
    if hasattr(message, "point_step"):
        return _cloud(message, lambda axis: axis + sigma * random.standard_normal(axis.shape, np.float32))
    if hasattr(message, "step") or hasattr(message, "format"):
        return _image(message, lambda pixels: _noisy(pixels, sigma, random))
    path = _payload_path(message)
    if path is None:
        return message
    floats = getattr(message, "encoding", "") == "F32LE"

    def spoil(data: NDArray[Any]) -> NDArray[Any]:
        if data.dtype != np.uint8:
            return _noisy(data, sigma, random)
        kind = np.dtype("<f4" if floats else "<i2")  # bytes of PCM
        whole = data[: len(data) // kind.itemsize * kind.itemsize]
        return _noisy(whole.view(kind), sigma, random).view(np.uint8)

    return _replaced(message, path, spoil)


def _noisy(values: NDArray[Any], sigma: float, random: np.random.Generator) -> NDArray[Any]:
    integer = np.issubdtype(values.dtype, np.integer)
    scale = np.iinfo(values.dtype).max if integer else 1.0
    spoilt = values + sigma * scale * random.standard_normal(values.shape, np.float32)
    if integer:
        limits = np.iinfo(values.dtype)
        spoilt = np.clip(np.rint(spoilt), limits.min, limits.max)
    return np.asarray(spoilt.astype(values.dtype))


def _payload_path(message: Any) -> tuple[str, ...] | None:
    """Where the bulk data lies: `data`, or deeper in the two families of audio messages."""
    if hasattr(message, "data"):
        return ("data",)
    audio = getattr(message, "audio", None)
    if hasattr(audio, "data"):
        return ("audio", "data")
    blocks = getattr(audio, "audio_data", None)
    for name in ("float32_data", "int32_data", "int16_data", "int8_data", "uint8_data"):
        if len(getattr(blocks, name, ())):
            return ("audio", "audio_data", name)
    return None


def _replaced(message: Any, path: tuple[str, ...], change: Callable[[NDArray[Any]], NDArray[Any]]) -> Any:
    """A copy of `message` with the array at `path` changed, in the container type it came in."""
    changed = copy.copy(message)
    name, rest = path[0], path[1:]
    old = getattr(message, name)
    if rest:
        setattr(changed, name, _replaced(old, rest, change))
    else:
        values = np.frombuffer(old, np.uint8) if isinstance(old, (bytes, bytearray)) else np.asarray(old)
        setattr(changed, name, _like(old, change(values)))
    return changed


def _like(old: Any, values: NDArray[Any]) -> Any:
    """`values` as the container that `old` is; rclpy takes array.array at once, an ndarray item by item."""
    if isinstance(old, array.array):
        typed = array.array(old.typecode)
        typed.frombytes(np.ascontiguousarray(values).tobytes())
        return typed
    if isinstance(old, (bytes, bytearray)):
        return type(old)(values.tobytes())
    return np.ascontiguousarray(values) if isinstance(old, np.ndarray) else values.tolist()


def _image(message: Any, change: Callable[[NDArray[Any]], NDArray[Any]]) -> Any:
    """Change the pixels of an 8-bit raw image, or of a compressed one by decoding and encoding again."""
    if hasattr(message, "step") and getattr(message, "encoding", "") in _EIGHT_BIT:
        return _replaced(message, ("data",), change)
    if not hasattr(message, "format"):
        return message

    def recoded(data: NDArray[Any]) -> NDArray[Any]:
        pixels = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
        if pixels is None:
            return data
        name = ".png" if "png" in message.format else ".jpg"
        parameters = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY] if name == ".jpg" else []
        _, encoded = cv2.imencode(name, change(pixels), parameters)
        return np.asarray(encoded).reshape(-1)

    return _replaced(message, ("data",), recoded)


def _imu(message: Any, change: Callable[[float], float]) -> Any:
    changed = copy.copy(message)
    for name in ("angular_velocity", "linear_acceleration"):
        vector = copy.copy(getattr(message, name))
        for axis in ("x", "y", "z"):
            setattr(vector, axis, float(change(getattr(vector, axis))))
        setattr(changed, name, vector)
    return changed


def _axes(message: Any, data: NDArray[np.uint8]) -> Iterator[NDArray[Any]]:
    """Writable views [height, width] of x, y and z in `data`; none when the cloud is not as it says."""
    order = ">" if message.is_bigendian else "<"
    fields = {field.name: field for field in message.fields}
    for name in ("x", "y", "z"):
        field = fields.get(name)
        if field is None or field.datatype not in _FLOATS:
            return
        kind = np.dtype(order + _FLOATS[field.datatype])
        last = (message.height - 1) * message.row_step + (message.width - 1) * message.point_step
        if message.height * message.width == 0 or last + field.offset + kind.itemsize > len(data):
            return
        shape, strides = (message.height, message.width), (message.row_step, message.point_step)
        yield np.ndarray(shape, kind, data.data, field.offset, strides)


def _cloud(message: Any, change: Callable[[NDArray[Any]], NDArray[Any]]) -> Any:
    if not hasattr(message, "point_step"):
        return message

    def spoil(data: NDArray[Any]) -> NDArray[Any]:
        spoilt = np.array(data, np.uint8)
        for axis in _axes(message, spoilt):
            axis[...] = change(axis)
        return spoilt

    return _replaced(message, ("data",), spoil)


def _cloud_without(message: Any, choose: Callable[..., NDArray[np.bool_]]) -> Any:
    """Make the points that `choose(x, y, z)` picks NaN."""
    if not hasattr(message, "point_step"):
        return message

    def spoil(data: NDArray[Any]) -> NDArray[Any]:
        spoilt = np.array(data, np.uint8)
        axes = list(_axes(message, spoilt))
        if len(axes) == 3:
            chosen = choose(*axes)
            for axis in axes:
                axis[chosen] = np.nan
        return spoilt

    return _replaced(message, ("data",), spoil)
