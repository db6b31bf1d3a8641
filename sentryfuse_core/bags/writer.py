"""Recordings out: an MCAP writer that takes plain nested mappings and always closes to a readable file."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rosbags.interfaces import (
    Connection,
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
from sentryfuse_core.bags.cdr import cdr
from sentryfuse_core.errors import OutputError

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["BagWriter", "ros2_typestore"]

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
        self.write_cdr(topic, type_name, log_time_ns, cdr(self._types, type_name, fields))

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
