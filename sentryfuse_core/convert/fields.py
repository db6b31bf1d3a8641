"""Reading a message's fields by name: numbers, buffers without a copy, stamps, fingerprints."""

from __future__ import annotations

import math
import operator
import zlib
from array import array
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from sentryfuse_core.clock import NS_PER_S
from sentryfuse_core.errors import InvalidMessageError

if TYPE_CHECKING:
    from numpy.typing import DTypeLike, NDArray

    from sentryfuse_core.types import UInt8Array

__all__ = [
    "array_view",
    "fingerprint",
    "flag",
    "integer",
    "number",
    "read",
    "row_step",
    "stamp_ns",
    "text",
]

_FOLDED_BYTES = 64 * 1024  # from here on words are summed by column before they are hashed
_COLUMNS = 1021  # words; a prime, so that what moves within a picture does not come back to its own column


def read(message: Any, name: str) -> Any:
    """The field `name`, dots for nested ones; `wrong_type` if there is none."""
    try:
        return _getter(name)(message)
    except AttributeError:
        if isinstance(message, InvalidMessageError):  # whoever read it knows why it has no fields
            raise message from None
        kind = type(message).__name__
        raise InvalidMessageError("wrong_type", f"{kind} has no field {name!r}") from None


@lru_cache(maxsize=256)  # the same few of every message
def _getter(name: str) -> operator.attrgetter[Any]:
    return operator.attrgetter(name)


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


def row_step(declared: int, *, name: str, rows: int, row_bytes: int, size: int, shape: str) -> int:
    """Bytes from one row to the next in `size` bytes of `rows` rows, each of `row_bytes` as `shape` says.

    The field `name` says it, but drivers leave it 0 or put pixels or the whole size there. It is believed
    where the data has room for such rows. Data of as many bytes as dense rows have can only be dense
    rows; less than one byte for each of the others may follow them, since padded rows would need more.
    Raises `truncated` or `step_too_small`.
    """
    dense = rows * row_bytes
    if size < dense:
        other = f"; {name} {declared} and the data agree, so one of those is wrong"
        detail = f"{size} bytes of {dense} for {shape}{other if rows * declared == size else ''}"
        raise InvalidMessageError("truncated", detail)
    if rows == 1:
        return row_bytes
    needed = (rows - 1) * declared + row_bytes
    if declared >= row_bytes and size >= needed:
        return declared
    if size == dense or size < dense + rows - 1:
        return row_bytes
    if declared < row_bytes:
        detail = f"{name} {declared} for rows of {row_bytes} bytes, {size} bytes for {shape}"
        raise InvalidMessageError("step_too_small", detail)
    detail = f"{size} bytes of {needed} for {shape}, if {name} {declared} is right"
    raise InvalidMessageError("truncated", detail)


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
    """A hash of every byte that a live sensor does not repeat.

    Megabytes are first summed, 64 bits at a time, into the columns of a table 1021 words wide: a fifth of
    the time that a checksum of all of them takes. One byte that differs, wherever it is, changes the sum
    of its column.
    """
    flat: UInt8Array = data.reshape(-1).view(np.uint8)
    if flat.size <= _FOLDED_BYTES:
        return zlib.crc32(flat.data)
    width = 8 * _COLUMNS
    whole = flat.size - flat.size % width
    table = flat[:whole].view(np.uint64).reshape(-1, _COLUMNS)
    return zlib.crc32(flat[whole:].data, zlib.crc32(np.add.reduce(table, axis=0).data))
