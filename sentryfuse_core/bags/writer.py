"""Recordings out: an MCAP writer that takes plain nested mappings and always closes to a readable file."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from rosbags.interfaces import (
    Connection,
    Nodetype,
    Qos,
    QosDurability,
    QosHistory,
    QosLiveliness,
    QosReliability,
    QosTime,
)
from rosbags.rosbag2 import StoragePlugin, Writer, WriterError
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from sentryfuse_core.bags import definitions
from sentryfuse_core.errors import OutputError

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["BagWriter", "build_message", "ros2_typestore"]

_NO_TIME = QosTime(0, 0)
_LATCHED = Qos(  # what static transforms are published with, and have to be again
    history=QosHistory.KEEP_LAST,
    depth=1,
    reliability=QosReliability.RELIABLE,
    durability=QosDurability.TRANSIENT_LOCAL,
    deadline=_NO_TIME,
    lifespan=_NO_TIME,
    liveliness=QosLiveliness.AUTOMATIC,
    liveliness_lease_duration=_NO_TIME,
    avoid_ros_namespace_conventions=False,
)
_STORE = Stores.ROS2_JAZZY  # the oldest distribution supported; later ones only add types


class BagWriter:
    """Writes `name.mcap` (a lone file) or a rosbag2 folder, by whether `path` ends in .mcap.

    The target appears when the writer closes, also after an exception or a signal turned into one, and then
    holds every message written until then. The same calls give the same bytes. Raises OutputError where the
    target exists already or cannot be written.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._folder = self.path.with_suffix("") if self.path.suffix == ".mcap" else self.path
        if self.path.suffix == ".mcap":
            self._folder = self.path.with_name(f".{self.path.stem}.part") / self.path.stem
        self._writer: Writer | None = None
        self._connections: dict[tuple[str, str], Connection] = {}
        self._types = ros2_typestore()

    def open(self) -> Self:
        """Create the files."""
        if self.path.exists():
            raise OutputError(f"{self.path} exists already; remove it or write to another place")
        if self._folder != self.path:  # left by a run that was killed
            shutil.rmtree(self._folder.parent, ignore_errors=True)
        try:
            writer = Writer(self._folder, version=9, storage_plugin=StoragePlugin.MCAP)
            writer.open()
        except (OSError, WriterError) as error:
            raise OutputError(
                f"cannot write {self.path}: {error}; choose a folder you may write to"
            ) from error
        self._writer = writer
        return self

    def close(self) -> None:
        """Finish the file and move it to its place; closing twice is harmless."""
        writer, self._writer = self._writer, None
        if writer is None:
            return
        try:
            writer.close()
            if self._folder != self.path:
                (self._folder / f"{self._folder.name}.mcap").replace(self.path)
                shutil.rmtree(self._folder.parent)
        except OSError as error:
            raise OutputError(f"cannot finish {self.path}: {error}; free some space and run again") from error

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(self, *_: object) -> None:
        self.close()

    def write(self, topic: str, type_name: str, log_time_ns: int, fields: Mapping[str, Any]) -> None:
        """Write one message; fields left out get their ROS default, unknown ones raise KeyError."""
        message = build_message(self._types, type_name, fields)
        self.write_cdr(topic, type_name, log_time_ns, self._types.serialize_cdr(message, type_name))

    def write_cdr(self, topic: str, type_name: str, log_time_ns: int, data: bytes | memoryview) -> None:
        """Write one message that is serialised already."""
        if self._writer is None:
            raise OutputError(f"{self.path} is not open; use the writer as a context manager")
        key = (topic, type_name)
        try:
            if key not in self._connections:
                latched = topic.rpartition("/")[2] == "tf_static"
                self._connections[key] = self._writer.add_connection(
                    topic,
                    type_name,
                    typestore=self._types,
                    offered_qos_profiles=[_LATCHED] if latched else [],
                )
            self._writer.write(self._connections[key], log_time_ns, data)
        except OSError as error:
            raise OutputError(f"cannot write {self.path}: {error}; free some space and run again") from error


def ros2_typestore(*, audio_chunks: bool = False) -> Typestore:
    """A fresh store of the ROS 2 types plus audio_common_msgs, vision_msgs and this project's own.

    `audio_chunks` picks the family of audio_common_msgs whose AudioStamped carries typed arrays.
    """
    audio = definitions.AUDIO_COMMON_CHUNKS if audio_chunks else definitions.AUDIO_COMMON_RAW
    store = get_typestore(_STORE)
    types = {}
    for name, text in {
        **audio,
        **definitions.VISION,
        **definitions.ROS1_TRANSFORMS,
        **definitions.project_definitions(),
    }.items():
        types.update(get_types_from_msg(text, name))
    store.register(types)
    return store


def build_message(store: Typestore, type_name: str, value: Any) -> Any:
    """A message of the store's type from a nested mapping, None, or an object with such attributes.

    Fields that a mapping leaves out get ROS's default (zero, empty), which messages share, since they are
    only serialised; unknown keys raise KeyError. So do an object's fields that would be lost while fields of
    the type get nothing: the ones are then the others by a new name.
    """
    return _built(_layout(store, type_name), value)


class _Layout(NamedTuple):
    """A message's class and its fields: a set's messages have thousands, of which few are given."""

    type_name: str
    made: Callable[..., Any]
    nothing: tuple[Any, ...]  # the default of each field
    places: Mapping[str, tuple[int, Callable[[Any], Any] | None]]  # how it is made of a value; None: as it is


def _built(layout: _Layout, value: Any) -> Any:
    if value is None:
        # The one type used here whose definition has a default other than zero.
        value = {"w": 1.0} if layout.type_name == "geometry_msgs/msg/Quaternion" else {}
    elif not (type(value) is dict or isinstance(value, Mapping)):
        value = _named_anew(layout, value)
    fields = [*layout.nothing]
    for name, item in value.items():
        place = layout.places.get(name)
        if place is None:
            unknown = sorted(value.keys() - layout.places.keys())
            raise KeyError(f"{layout.type_name} has no field {', '.join(unknown)}")
        if item is not None:
            index, make = place
            fields[index] = item if make is None else make(item)
    return layout.made(*fields)


def _named_anew(layout: _Layout, message: Any) -> dict[str, Any]:
    """A message's fields as the type calls them; ROS 1 has some in capitals (K of CameraInfo).

    What only one of the two has is left out (seq of a Header) or stays empty (temperature of a BatteryState).
    """
    old = {name: name if hasattr(message, name) else name.upper() for name in layout.places}
    given = {name: getattr(message, other) for name, other in old.items() if hasattr(message, other)}
    empty, lost = layout.places.keys() - given.keys(), vars(message).keys() - {*old.values()}
    if empty and lost:
        have, want = ", ".join(sorted(lost)), ", ".join(sorted(empty))
        raise KeyError(f"{layout.type_name} has {want} where the message has {have}")
    return given


@lru_cache(maxsize=256)
def _layout(store: Typestore, type_name: str) -> _Layout:
    names, kinds = zip(*store.fielddefs[type_name][1], strict=True)
    nothing, makers = zip(*(_field(store, kind) for kind in kinds), strict=True)
    return _Layout(
        type_name, store.types[type_name], nothing, dict(zip(names, enumerate(makers), strict=True))
    )


def _field(store: Typestore, kind: Any) -> tuple[Any, Callable[[Any], Any] | None]:
    """One field's default, and what makes it of a value: nested message, primitive, or array of either."""
    node, detail = kind
    if node == Nodetype.NAME:
        layout = _layout(store, detail)
        return _built(layout, None), partial(_built, layout)
    if node == Nodetype.BASE:
        return _zero(detail[0]), None
    return _array(store, detail[0], fixed=detail[1] if node == Nodetype.ARRAY else 0)


def _array(store: Typestore, item: Any, *, fixed: int) -> tuple[Any, Callable[[Any], Any]]:
    """An array field: list of messages or strings, or a numpy array; `fixed` elements by default."""
    node, detail = item
    if node == Nodetype.NAME:
        layout = _layout(store, detail)
        return [_built(layout, None)] * fixed, lambda value: [_built(layout, one) for one in value]
    if detail[0] == "string":
        return [""] * fixed, list
    dtype = np.dtype(_BYTES.get(detail[0], detail[0]))

    def make(value: Any) -> Any:
        if isinstance(value, (bytes, bytearray, memoryview)):
            return np.frombuffer(value, dtype)
        return np.ascontiguousarray(value, dtype)

    nothing = np.zeros(fixed, dtype)
    nothing.setflags(write=False)  # messages share it
    return nothing, make


_BYTES = {"byte": "uint8", "char": "uint8", "octet": "uint8"}


def _zero(primitive: str) -> Any:
    if primitive == "string":
        return ""
    if primitive == "bool":
        return False
    return 0.0 if primitive.startswith("float") else 0
