"""Reading a message's fields by name: numbers, buffers without a copy, stamps, fingerprints."""

from __future__ import annotations

import math
import operator
import zlib
from array import array
from typing import TYPE_CHECKING, Any

import numpy as np

from sentryfuse_core.clock import NS_PER_S
from sentryfuse_core.errors import InvalidMessageError

if TYPE_CHECKING:
    from numpy.typing import DTypeLike, NDArray

    from sentryfuse_core.types import UInt8Array

__all__ = ["array_view", "byte_view", "fingerprint", "flag", "integer", "number", "read", "stamp_ns", "text"]

WHOLE_BYTES = 256 * 1024  # up to here everything is hashed
RUNS = 128  # above, this many runs of bytes, evenly spread
RUN_BYTES = 32


def read(message: Any, name: str) -> Any:
    """The field `name`, dots for nested ones; `wrong_type` if there is none."""
    try:
        return operator.attrgetter(name)(message)
    except AttributeError:
        kind = type(message).__name__
        raise InvalidMessageError("wrong_type", f"{kind} has no field {name!r}") from None


def integer(message: Any, name: str) -> int:
    """The field `name` as an integer; `wrong_type` if it is none."""
    value = read(message, name)
    try:
        return operator.index(value)
    except TypeError:
        raise InvalidMessageError("wrong_type", f"{name} = {value!r:.60} is no integer") from None


def flag(message: Any, name: str) -> bool:
    """The field `name`, a boolean or an integer; `wrong_type` if it is neither."""
    value = read(message, name)
    return bool(value) if isinstance(value, (bool, np.bool_)) else integer(message, name) != 0


def number(message: Any, name: str) -> float:
    """The field `name` as a finite float; `wrong_type` or `non_finite` otherwise."""
    value = read(message, name)
    try:
        result = float(value)
    except (TypeError, ValueError, OverflowError):
        raise InvalidMessageError("wrong_type", f"{name} = {value!r:.60} is no number") from None
    if not math.isfinite(result):
        raise InvalidMessageError("non_finite", f"{name} = {result}")
    return result


def text(message: Any, name: str) -> str:
    """The field `name` as a string; `wrong_type` if it is none."""
    value = read(message, name)
    if not isinstance(value, str):
        raise InvalidMessageError("wrong_type", f"{name} = {value!r:.60} is no string")
    return value


def array_view(message: Any, name: str, dtype: DTypeLike) -> NDArray[Any]:
    """The array field `name` as flat `dtype`; a view of the message unless the field is a Python list."""
    value = read(message, name)
    wanted = np.dtype(dtype)
    try:
        if isinstance(value, (array, bytes, bytearray, memoryview)):
            value = np.asarray(memoryview(value))
        if isinstance(value, np.ndarray):
            if value.dtype.itemsize != wanted.itemsize or value.dtype.kind not in "iuf":
                raise InvalidMessageError("wrong_type", f"{name} is an array of {value.dtype}, not {wanted}")
            return np.ascontiguousarray(value).reshape(-1).view(wanted)
        if isinstance(value, (list, tuple)):
            if wanted.kind in "iu":
                _check_range(np.array(value), np.iinfo(wanted))
            return np.array(value, wanted).reshape(-1)
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidMessageError("wrong_type", f"{name} is no array of {wanted}: {error}") from None
    raise InvalidMessageError("wrong_type", f"{name} is a {type(value).__name__}, not an array")


def _check_range(found: NDArray[Any], limits: np.iinfo[Any]) -> None:
    """Raise OverflowError for integers that do not fit; NumPy 2 does so itself, NumPy 1 wraps them around."""
    if found.size and found.dtype.kind in "iu" and not limits.min <= found.min() <= found.max() <= limits.max:
        raise OverflowError(f"{found.min()} to {found.max()} is beyond {limits.min} to {limits.max}")


def byte_view(message: Any, name: str) -> UInt8Array:
    """The byte array field `name` as flat uint8, a view wherever it can be."""
    view: UInt8Array = array_view(message, name, np.uint8)
    return view


def stamp_ns(message: Any) -> int:
    """The header's stamp in nanoseconds; one that cannot be a time raises."""
    seconds = integer(message, "header.stamp.sec")
    nanoseconds = integer(message, "header.stamp.nanosec")
    if seconds < 0:
        raise InvalidMessageError("negative_stamp", f"header.stamp.sec = {seconds}")
    if not 0 <= nanoseconds < NS_PER_S:
        raise InvalidMessageError("bad_stamp", f"header.stamp.nanosec = {nanoseconds}")
    if seconds == 0 and nanoseconds == 0:
        raise InvalidMessageError("zero_stamp", "header.stamp is 0: let the driver stamp its messages")
    return seconds * NS_PER_S + nanoseconds


def fingerprint(data: NDArray[Any]) -> int:
    """A hash that a live sensor does not repeat.

    Megabytes are sampled at 128 evenly spread places. That is enough because sensor noise changes the
    lowest bits of any pixel or range with a probability near one half, independently of its neighbours:
    that 4096 bytes spread over a live image all stay the same is practically impossible, even where most
    of it is clipped to black or white. Smaller payloads and compressed images are hashed whole.
    """
    flat: UInt8Array = data.reshape(-1).view(np.uint8)
    if flat.size > WHOLE_BYTES:
        stride = flat.size // RUNS
        flat = np.ascontiguousarray(flat[: RUNS * stride].reshape(RUNS, stride)[:, :RUN_BYTES])
    return zlib.crc32(flat.data)
