"""Messages given as plain nested mappings, as the CDR bytes that ROS 2 records.

A set's messages have thousands of fields, of which few are given: each message is laid out flat once, and its
values are packed in runs.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from operator import itemgetter
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from rosbags.interfaces import Nodetype
from rosbags.typesys.store import Typestore

__all__ = ["cdr"]

_ALIGN = 8  # bytes: where a primitive may lie depends on the place before it modulo this
_LITTLE_ENDIAN = b"\x00\x01\x00\x00"
_CODES = {
    "bool": "?",
    "byte": "b",
    "char": "B",
    "octet": "B",
    "int8": "b",
    "uint8": "B",
    "int16": "h",
    "uint16": "H",
    "int32": "i",
    "uint32": "I",
    "int64": "q",
    "uint64": "Q",
    "float32": "f",
    "float64": "d",
}
_DEFAULTS = {"?": False, "f": 0.0, "d": 0.0}  # by code; 0 of the others

# What writes some of a message's leaves behind what is written already.
_Step: TypeAlias = Callable[[bytearray, Sequence[Any]], None]


class _Leaf(NamedTuple):
    """One value of a message laid out flat: a primitive by its code, or what is written in some other way."""

    default: Any
    code: str = ""
    append: Callable[[bytearray, Any], None] | None = None


class _Place(NamedTuple):
    """Where the leaves of one field lie, and what makes them of its value; None: it is the leaf."""

    begin: int
    end: int
    leaves_of: Callable[[Any], Sequence[Any]] | None


@dataclass(eq=False)
class _Layout:
    """A message laid out flat."""

    type_name: str
    places: dict[str, _Place] = field(default_factory=dict)
    leaves: list[_Leaf] = field(default_factory=list)
    steps: list[_Step] = field(default_factory=list)
    nothing: tuple[Any, ...] = ()  # the leaves where no message is given
    left_out: tuple[Any, ...] = ()  # those that a mapping does not give
    every: Callable[[Mapping[str, Any]], tuple[Any, ...]] | None = None  # where each field is a primitive

    def append(self, out: bytearray, value: Any) -> None:
        """Write a message."""
        leaves = self.leaves_of(value)
        for step in self.steps:
            step(out, leaves)

    def leaves_of(self, value: Any) -> Sequence[Any]:
        """The leaves of a mapping, of an object with such attributes, or of None."""
        if value is None:
            return self.nothing
        if not (type(value) is dict or isinstance(value, Mapping)):
            value = {name: getattr(value, name, None) for name in self.places}
        if self.every is not None and len(value) == len(self.places):
            try:
                leaves = self.every(value)
            except KeyError:
                self._check(value)
            if None not in leaves:
                return leaves
        found = [*self.left_out]
        for name, item in value.items():
            place = self.places.get(name)
            if place is None:
                self._check(value)
            elif item is not None:
                begin, end, leaves_of = place
                if leaves_of is None:
                    found[begin] = item
                else:
                    found[begin:end] = leaves_of(item)
        return found

    def _check(self, value: Mapping[str, Any]) -> None:
        """Raise KeyError for fields that there are not."""
        unknown = sorted(value.keys() - self.places.keys())
        raise KeyError(f"{self.type_name} has no field {', '.join(unknown)}")


def cdr(store: Typestore, type_name: str, value: Any) -> bytes:
    """A message of the store's type, of a nested mapping, None, or an object with such attributes.

    Fields that a mapping leaves out, or that are None, get ROS's default (zero, empty); unknown keys raise
    KeyError.
    """
    out = bytearray()
    _layout(store, type_name).append(out, value)
    return _LITTLE_ENDIAN + out


@lru_cache(maxsize=256)
def _layout(store: Typestore, type_name: str) -> _Layout:
    layout = _Layout(type_name)
    for name, kind in store.fielddefs[type_name][1]:
        leaves, leaves_of = _field(store, kind)
        begin = len(layout.leaves)
        layout.leaves += leaves
        layout.places[name] = _Place(begin, len(layout.leaves), leaves_of)
    layout.left_out = tuple(leaf.default for leaf in layout.leaves)
    if type_name == "geometry_msgs/msg/Quaternion":
        # The one type used here whose definition has a default other than zero. A mapping says all of it.
        layout.leaves[-1] = layout.leaves[-1]._replace(default=1.0)
    layout.nothing = tuple(leaf.default for leaf in layout.leaves)
    if len(layout.places) == len(layout.leaves) > 1 and all(leaf.code for leaf in layout.leaves):
        layout.every = itemgetter(*layout.places)
    layout.steps = list(_steps(layout.leaves))
    return layout


def _field(store: Typestore, kind: Any) -> tuple[Sequence[_Leaf], Callable[[Any], Sequence[Any]] | None]:
    """The leaves of one field, and what makes them of its value: nested message, primitive, or several."""
    node, detail = kind
    if node == Nodetype.NAME:
        layout = _layout(store, detail)
        return layout.leaves, layout.leaves_of
    if node == Nodetype.BASE:
        return [_primitive(detail[0])], None
    item, count = detail
    if node == Nodetype.SEQUENCE:
        return [_Leaf((), append=_sequence(store, item))], None
    leaves, leaves_of = _field(store, item)

    def several(values: Any) -> Sequence[Any]:
        found = values.tolist() if isinstance(values, np.ndarray) else values
        if len(found) != count:
            raise ValueError(f"{len(found)} values of {count}")
        return list(found) if leaves_of is None else [leaf for one in found for leaf in leaves_of(one)]

    return [*leaves] * count, several


def _primitive(name: str) -> _Leaf:
    if name == "string":
        return _Leaf("", append=_append_text)
    code = _CODES[name]
    return _Leaf(_DEFAULTS.get(code, 0), code)


def _steps(leaves: Sequence[_Leaf]) -> Iterable[_Step]:
    """What writes a message: primitives that follow each other go at once."""
    begin = 0
    for index, leaf in enumerate([*leaves, _Leaf(None)]):
        if leaf.code:
            continue
        if index > begin:
            yield _run("".join(leaf.code for leaf in leaves[begin:index]), begin, index)
        if leaf.append is not None:
            yield _other(leaf.append, index)
        begin = index + 1


def _run(codes: str, begin: int, end: int) -> _Step:
    packs = [_packing(codes, start).pack for start in range(_ALIGN)]

    def append(out: bytearray, leaves: Sequence[Any]) -> None:
        out += packs[len(out) % _ALIGN](*leaves[begin:end])

    return append


def _other(append: Callable[[bytearray, Any], None], index: int) -> _Step:
    return lambda out, leaves: append(out, leaves[index])


@lru_cache(maxsize=1024)
def _packing(codes: str, start: int) -> struct.Struct:
    """Primitives one after the other, each where a multiple of its size is, from a place modulo 8."""
    text, at = "<", start
    for code in codes:
        size = struct.calcsize(f"<{code}")
        gap = -at % size
        text += "x" * gap + code
        at += gap + size
    return struct.Struct(text)


_LENGTHS = [_packing("I", start).pack for start in range(_ALIGN)]


def _append_length(out: bytearray, length: int) -> None:
    out += _LENGTHS[len(out) % _ALIGN](length)


def _append_text(out: bytearray, text: str) -> None:
    data = text.encode()
    _append_length(out, len(data) + 1)
    out += data
    out.append(0)


def _sequence(store: Typestore, item: Any) -> Callable[[bytearray, Any], None]:
    """What writes a length and so many of `item`."""
    node, detail = item
    if node == Nodetype.BASE and detail[0] != "string":
        return _numbers("B" if detail[0] == "byte" else _CODES[detail[0]])
    append_one: Callable[[bytearray, Any], None] = _append_text
    if node == Nodetype.NAME:
        layout = _layout(store, detail)
        codes = {leaf.code for leaf in layout.leaves}
        if len(codes) == 1 and codes != {""}:
            return _vectors(layout, *codes)
        append_one = layout.append

    def append(out: bytearray, values: Any) -> None:
        _append_length(out, len(values))
        for value in values:
            append_one(out, value)

    return append


def _numbers(code: str) -> Callable[[bytearray, Any], None]:
    """Of an array, or of the bytes of one."""
    dtype = np.dtype(f"<{code}")

    def append(out: bytearray, values: Any) -> None:
        if isinstance(values, (bytes, bytearray, memoryview)):
            values = np.frombuffer(values, dtype)
        array = np.ascontiguousarray(values, dtype)
        _append_length(out, array.size)
        if array.size:
            out += bytes(-len(out) % dtype.itemsize)
            out += array.tobytes()

    return append


def _vectors(layout: _Layout, code: str) -> Callable[[bytearray, Any], None]:
    """Of messages whose leaves are all of one kind, so that there are no gaps between them."""
    size = struct.calcsize(f"<{code}")

    def append(out: bytearray, values: Any) -> None:
        _append_length(out, len(values))
        if values:
            leaves = [leaf for value in values for leaf in layout.leaves_of(value)]
            out += bytes(-len(out) % size)
            out += struct.pack(f"<{len(leaves)}{code}", *leaves)

    return append
