"""Recordings in: one reader for MCAP, SQLite and ROS 1 bags that yields messages in log-time order."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple

from rosbags.interfaces import Connection, MessageDefinitionFormat
from rosbags.rosbag1 import Reader as Ros1Reader
from rosbags.rosbag2 import Reader as Ros2Reader
from rosbags.serde import SerdeError
from rosbags.typesys import (
    Stores,
    get_types_from_idl,
    get_types_from_msg,
    get_typestore,
)
from rosbags.typesys.store import Typestore

from sentryfuse_core.errors import BagError, TopicError
from sentryfuse_core.replay.definitions import ROS1_TRANSFORMS_TYPE, TRANSFORMS_TYPE
from sentryfuse_core.replay.writer import build_message, ros2_typestore

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["BagMessage", "BagReader", "Topic", "Undecodable", "bag_files"]

_IDL_SEPARATOR = "=" * 80 + "\n"  # rosbag2 puts several IDL files into one text this way
_REMEDIES = {
    ".mcap": "recover it with `mcap recover`, or record it again",
    ".db3": "recover it with `sqlite3 FILE .recover`, or record it again",
    ".bag": "repair it with `rosbag reindex`, or record it again",
}


@dataclass(frozen=True)
class Topic:
    """One topic of a recording and its number of messages."""

    name: str
    type_name: str
    count: int

    @property
    def is_transforms(self) -> bool:
        """Whether these are transforms between frames, whatever the topic is called."""
        return self.type_name in (TRANSFORMS_TYPE, ROS1_TRANSFORMS_TYPE)

    @property
    def is_static(self) -> bool:
        """Whether these are transforms that hold for the whole recording."""
        return self.is_transforms and "static" in self.name.rpartition("/")[2]


@dataclass(frozen=True)
class Undecodable:
    """Stands in a `BagMessage` for data that does not match its type."""

    detail: str


class BagMessage(NamedTuple):
    """One message; `message` has the type's fields, is CDR bytes (raw reading), or is `Undecodable`."""

    topic: str
    type_name: str
    log_time_ns: int
    message: Any


class BagReader:
    """A recording: an .mcap, .db3 or .bag file, or a rosbag2 folder; use as a context manager.

    Raises BagError from `open` and while reading when the recording is missing, truncated or corrupt.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._reader: Ros1Reader | Ros2Reader | None = None
        self._decoders: dict[int, Typestore] = {}
        self._ros2_types: Typestore | None = None

    def open(self) -> Self:
        """Read the index; messages come later."""
        target = _storage(self.path)
        # The readers meet whatever bytes a damaged file holds, and raise nearly anything over them.
        try:
            reader = Ros1Reader(target) if target.suffix == ".bag" else Ros2Reader(target)
            reader.open()
        except Exception as error:
            raise _damaged(self.path, error) from error
        self._reader = reader
        return self

    def close(self) -> None:
        """Close the file; closing twice is harmless."""
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.close()
        self._decoders.clear()

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def _open_reader(self) -> Ros1Reader | Ros2Reader:
        if self._reader is None:
            raise BagError(f"the recording {self.path} is not open; use the reader as a context manager")
        return self._reader

    @property
    def is_ros1(self) -> bool:
        """Whether this is a ROS 1 bag; its types go by their ROS 2 names."""
        return isinstance(self._open_reader, Ros1Reader)

    @property
    def start_ns(self) -> int:
        """Log time of the first message."""
        return int(self._open_reader.start_time) if self.message_count else 0

    @property
    def end_ns(self) -> int:
        """Log time of the last message."""
        return int(self._open_reader.end_time) - 1 if self.message_count else 0

    @property
    def duration_s(self) -> float:
        """Time from the first to the last message."""
        return (self.end_ns - self.start_ns) / 1e9

    @property
    def message_count(self) -> int:
        """Messages of all topics."""
        return int(self._open_reader.message_count)

    def topics(self) -> tuple[Topic, ...]:
        """Every topic by name; one recorded under two types comes twice."""
        counts: dict[tuple[str, str], int] = {}
        for connection in self._open_reader.connections:
            key = (connection.topic, connection.msgtype)
            counts[key] = counts.get(key, 0) + connection.msgcount
        return tuple(Topic(name, type_name, count) for (name, type_name), count in sorted(counts.items()))

    def messages(self, topics: Collection[str] | None = None, *, raw: bool = False) -> Iterator[BagMessage]:
        """Yield the messages of `topics` (None: all) by log time; `raw`: CDR bytes instead of fields.

        Array fields are read-only views of the message. Raises TopicError for a topic that is not there,
        BagError when the file turns out to be damaged.
        """
        reader = self._open_reader
        connections = [item for item in reader.connections if topics is None or item.topic in topics]
        for name in sorted(set(topics or ()) - {item.topic for item in connections}):
            raise TopicError(f"no topic {name!r} in {self.path}; it has {_listing(self.topics())}")
        if not connections:
            return
        convert = self._raw if raw else self._decode
        source = reader.messages(connections=connections)
        while True:
            try:
                connection, log_time_ns, data = next(source)
            except StopIteration:
                return
            except Exception as error:
                raise _damaged(self.path, error) from error
            yield BagMessage(
                connection.topic,
                connection.msgtype,
                log_time_ns,
                convert(connection, data),
            )

    def _decode(self, connection: Connection, data: bytes | memoryview) -> Any:
        store = self._decoder(connection)
        try:
            if self.is_ros1:
                return store.deserialize_ros1(data, connection.msgtype)
            return store.deserialize_cdr(data, connection.msgtype)
        except (SerdeError, IndexError, AssertionError) as error:
            return Undecodable(" ".join(str(error).split()) or type(error).__name__)

    def _raw(self, connection: Connection, data: bytes | memoryview) -> Any:
        if not self.is_ros1:
            return bytes(data)
        message = self._decode(connection, data)
        if isinstance(message, Undecodable):
            return message
        store = self._ros2_types = self._ros2_types or ros2_typestore()
        if connection.msgtype not in store.fielddefs:
            raise TopicError(
                f"{connection.topic} has type {connection.msgtype}, unknown in ROS 2; leave it out"
            )
        return bytes(
            store.serialize_cdr(build_message(store, connection.msgtype, message), connection.msgtype)
        )

    def _decoder(self, connection: Connection) -> Typestore:
        """The types of one connection, from its own definition: two connections may disagree about a name."""
        store = self._decoders.get(connection.id)
        if store is None:
            store = self._decoders[connection.id] = self._make_decoder(connection)
        return store

    def _make_decoder(self, connection: Connection) -> Typestore:
        form, text = connection.msgdef
        if form == MessageDefinitionFormat.NONE:
            chunks = any(
                item.msgtype.endswith(("/Audio", "/AudioStamped")) for item in self._open_reader.connections
            )
            store = ros2_typestore(audio_chunks=chunks)
            if connection.msgtype not in store.fielddefs:
                raise TopicError(
                    f"{self.path} holds no definition of {connection.msgtype} ({connection.topic}); "
                    "record it as MCAP, or with a newer rosbag2, which store the definitions"
                )
            return store
        try:
            store = get_typestore(Stores.EMPTY)
            if form == MessageDefinitionFormat.MSG:
                store.register(get_types_from_msg(text, connection.msgtype))
            else:
                parts = text.split(_IDL_SEPARATOR)[1:] if text.startswith(_IDL_SEPARATOR) else [text]
                for part in parts:
                    store.register(
                        get_types_from_idl(part.split("\n", 1)[1] if part.startswith("IDL: ") else part)
                    )
        except Exception as error:
            raise _damaged(self.path, error) from error
        return store


def bag_files(path: Path) -> tuple[Path, ...]:
    """The files a recording consists of, for hashing; raises BagError where there is none."""
    target = _storage(path)
    if target.is_file():
        return (target,)
    return tuple(sorted(item for item in target.iterdir() if item.suffix in _REMEDIES))


def _storage(path: Path) -> Path:
    """The file or folder to hand to rosbags for `path`."""
    if not path.exists():
        raise BagError(f"no recording at {path}; check the path")
    if path.is_dir():
        if (path / "metadata.yaml").is_file():
            return path
        files = sorted(item for item in path.iterdir() if item.suffix in _REMEDIES)
        if len(files) != 1:
            found = ", ".join(item.name for item in files) or "no .mcap, .db3 or .bag file"
            raise BagError(
                f"{path} has no metadata.yaml and holds {found}; give one file, or run `ros2 bag reindex`"
            )
        return _storage(files[0])
    if path.suffix not in _REMEDIES:
        raise BagError(f"{path} is not a recording; give an .mcap, .db3 or .bag file or a rosbag2 folder")
    if path.stat().st_size == 0:
        raise BagError(f"{path} is empty; {_REMEDIES[path.suffix]}")
    return path


def _damaged(path: Path, error: Exception) -> BagError:
    reason = " ".join(str(error).split()) or type(error).__name__
    suffix = path.suffix if path.suffix in _REMEDIES else _suffix_inside(path)
    return BagError(f"cannot read {path}: {reason}; {_REMEDIES.get(suffix, 'record it again')}")


def _suffix_inside(path: Path) -> str:
    """The storage format of a folder, where it can be told."""
    return (
        next(
            (item.suffix for item in sorted(path.iterdir()) if item.suffix in _REMEDIES),
            "",
        )
        if path.is_dir()
        else ""
    )


def _listing(topics: tuple[Topic, ...]) -> str:
    return ", ".join(f"{topic.name} ({topic.type_name})" for topic in topics) or "no topics"
