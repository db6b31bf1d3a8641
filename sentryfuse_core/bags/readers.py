"""Recordings in: one reader for MCAP, SQLite and ROS 1 bags that yields messages in log-time order."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from rosbags.typesys import (
    Stores,
    get_types_from_idl,
    get_types_from_msg,
    get_typestore,
)
from rosbags.typesys.store import Typestore

from sentryfuse_core.bags.definitions import ROS1_TRANSFORMS_TYPE, TRANSFORMS_TYPE
from sentryfuse_core.bags.offers import UNTOLD, Offer, RecordedQos, agreed
from sentryfuse_core.bags.storage.common import (
    CDR,
    ROS1,
    Definition,
    Item,
    Storage,
    Stream,
    damaged,
    guarded,
    merged,
)
from sentryfuse_core.bags.storage.files import find_files, is_recording, recording_name
from sentryfuse_core.bags.storage.opening import open_storage
from sentryfuse_core.bags.storage.sqlite import beside
from sentryfuse_core.bags.storage.unpack import ZSTD_MAGIC, unpack_message
from sentryfuse_core.bags.writer import build_message, ros2_typestore
from sentryfuse_core.convert.type_names import full_type_name
from sentryfuse_core.errors import BagError, InvalidMessageError, SentryFuseError, TopicError
from sentryfuse_core.text import reason_of

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["BagMessage", "BagReader", "Topic", "Undecodable", "bag_files", "is_recording", "recording_name"]

_IDL_SEPARATOR = "=" * 80 + "\n"  # rosbag2 puts several IDL files into one text this way
_NO_TIME_NS = 1  # log times up to this are of a clock that had not begun: ROS 2 writes 0, ROS 1 TIME_MIN
_MSG_FORMS, _IDL_FORMS = ("ros2msg", "ros1msg"), ("ros2idl", "omgidl")


@dataclass(frozen=True)
class Topic:
    """One topic of a recording and its number of messages."""

    name: str
    type_name: str
    count: int
    qos: RecordedQos = UNTOLD

    @property
    def is_transforms(self) -> bool:
        """Whether these are transforms between frames, whatever the topic is called."""
        return self.type_name in (TRANSFORMS_TYPE, ROS1_TRANSFORMS_TYPE)

    @property
    def is_static(self) -> bool:
        """Whether these are transforms that hold for the whole recording."""
        return self.is_transforms and "static" in self.name.rpartition("/")[2]


class Undecodable(InvalidMessageError):  # noqa: N818 - stands for a message, and is rarely raised
    """Stands in a `BagMessage` for data that do not match their type; whatever converts it raises it."""

    def __init__(self, detail: str) -> None:
        super().__init__("undecodable", detail)


class _Decoder(NamedTuple):
    """The types of one stream, and what its own is called in them."""

    types: Typestore
    name: str


class BagMessage(NamedTuple):
    """One message; `message` has the type's fields, is CDR bytes (raw reading), or is `Undecodable`."""

    topic: str
    type_name: str
    log_time_ns: int
    message: Any
    publisher: int = 0  # by number, where a recording keeps those of one topic apart


class BagReader:
    """A recording: an .mcap, .db3 or .bag file, or a folder of them; use as a context manager.

    Files are told by their content and merged by log time. Raises BagError from `open` and while reading
    when the recording is missing or damaged; one that was cut off is read up to there first.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.notes: tuple[str, ...] = ()  # on the choice of files, and on what was met in them
        self.start_ns = 0  # log time of the first message of any topic
        self._files: tuple[Storage, ...] | None = None
        self._offers: Mapping[str, tuple[Offer, ...]] = {}  # by topic, where the files do not tell
        self._open_files = ExitStack()
        self._decoders: dict[Stream, _Decoder] = {}

    def open(self) -> Self:
        """Find and index the files; messages come later."""
        with ExitStack() as stack:

            def scratch() -> Path:
                return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sentryfuse-")))

            try:
                found = find_files(self.path)
                files = []
                for file in found.files:
                    files.append(open_storage(file, scratch))
                    stack.callback(files[-1].close)
            except SentryFuseError:
                raise
            except Exception as error:  # names that no file system takes, no rights, no space
                raise damaged(
                    self.path, reason_of(error), "check the path, its rights and free space"
                ) from error
            self._check_content(files)
            self._files, self._offers = tuple(files), found.offers
            self.notes = (*found.notes, *filter(None, map(_untimed, files)))
            self._find_start()
            self._open_files = stack.pop_all()
        return self

    def _find_start(self) -> None:
        """Where the recording begins, leaving out what came before there was a clock.

        With use_sim_time, and no /clock yet, that is recorded at 0, which may be 50 years before the rest.
        """
        self.start_ns = min((file.start_ns for file in self._opened if file.count), default=0)
        if self.start_ns > _NO_TIME_NS or self.end_ns <= _NO_TIME_NS:
            return
        before = 0
        with suppress(BagError):  # told when the messages are read
            for item in self._items(set(self._streams)):
                if item.log_time_ns > _NO_TIME_NS:
                    self.start_ns = item.log_time_ns
                    break
                before += 1
        note = (
            f"{before:,} of {self.message_count:,} messages have log time 0, from before there was a clock; "
            "they are played at the start"
        )
        self.notes = (*self.notes, note)

    def _check_content(self, files: Collection[Storage]) -> None:
        """Raise BagError for a recording of which nothing can be read."""
        streams = [stream for file in files for stream in file.streams.values()]
        for file in () if any(stream.count for stream in streams) else files:
            if file.cut:
                raise damaged(file.path, file.cut, file.remedy)
            if file.untimed:
                reason = (
                    f"the log times of all its {file.untimed:,} messages are none that a ROS time can hold"
                )
                raise damaged(file.path, reason, "record it again with the computer's clock set")
        foreign = sorted({stream.encoding for stream in streams if stream.encoding not in (CDR, ROS1)})
        if foreign and len(foreign) == len({stream.encoding for stream in streams}):
            raise BagError(
                f"{self.path} holds messages encoded as {', '.join(foreign)}, not as ROS does (cdr); "
                "record the ROS topics themselves, for example with `ros2 bag record`"
            )

    def close(self) -> None:
        """Close the files; closing twice is harmless."""
        self._files = None
        self._open_files.close()
        self._decoders.clear()

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def _opened(self) -> tuple[Storage, ...]:
        if self._files is None:
            raise BagError(f"the recording {self.path} is not open; use the reader as a context manager")
        return self._files

    @property
    def _streams(self) -> list[Stream]:
        return [stream for file in self._opened for stream in file.streams.values()]

    @property
    def end_ns(self) -> int:
        """Log time of the last message of any topic."""
        return max((file.end_ns for file in self._opened if file.count), default=0)

    @property
    def duration_s(self) -> float:
        """Time from the first to the last message."""
        return (self.end_ns - self.start_ns) / 1e9

    @property
    def message_count(self) -> int:
        """Messages of all topics."""
        return sum(stream.count for stream in self._streams)

    def topics(self) -> tuple[Topic, ...]:
        """Every topic by name; one recorded under two types comes twice."""
        streams: dict[tuple[str, str], list[Stream]] = {}
        for stream in self._streams:
            streams.setdefault((stream.topic, stream.type_name), []).append(stream)
        return tuple(
            Topic(
                name,
                type_name,
                sum(stream.count for stream in found),
                agreed([stream.offers or self._offers.get(name, ()) for stream in found]),
            )
            for (name, type_name), found in sorted(streams.items())
        )

    def messages(self, topics: Collection[str] | None = None, *, raw: bool = False) -> Iterator[BagMessage]:
        """Yield the messages of `topics` (None: all) by log time; `raw`: CDR bytes instead of fields.

        Log times of before there was a clock are `start_ns`.
        Array fields are read-only views of the message. Raises TopicError for a topic that is not there,
        BagError when a file turns out to be damaged, and at the end when one was cut off.
        """
        wanted = {stream for stream in self._streams if topics is None or stream.topic in topics}
        for name in sorted(set(topics or ()) - {stream.topic for stream in wanted}):
            raise TopicError(f"no topic {name!r} in {self.path}; it has {_listing(self.topics())}")
        convert = self._raw if raw else self._decode
        for log_time_ns, stream, data in self._items(wanted):
            message = convert(stream, data)
            at_ns = max(log_time_ns, self.start_ns)
            yield BagMessage(stream.topic, stream.type_name, at_ns, message, stream.number)
        for file in self._opened:
            if file.cut:
                raise damaged(file.path, file.cut, file.remedy)

    def _items(self, wanted: Collection[Stream]) -> Iterator[Item]:
        """The messages of these streams as they were recorded, by log time."""
        sources = [guarded(source, file) for file in self._opened for source in file.sources(wanted)]
        return merged(sources)

    def _decode(self, stream: Stream, data: bytes) -> Any:
        plain = self._plain(stream, data)
        if isinstance(plain, Undecodable):
            return plain
        decoder = self._decoders.get(stream)
        if decoder is None:
            decoder = self._decoders[stream] = self._make_decoder(stream)
        types, name = decoder
        try:
            if stream.encoding == ROS1:
                return types.deserialize_ros1(plain, name)
            return types.deserialize_cdr(plain, name)
        except Exception as error:  # noqa: BLE001 - bytes that do not match make the decoder raise anything
            return Undecodable(reason_of(error))

    def _plain(self, stream: Stream, data: bytes) -> bytes | Undecodable:
        """The message's bytes, unpacked where it was packed by itself."""
        if stream.encoding not in (CDR, ROS1):
            return Undecodable(f"encoded as {stream.encoding!r:.40}, not as ROS does (cdr)")
        if stream.encoding == ROS1 or not data.startswith(ZSTD_MAGIC):
            return data
        note = f"{stream.topic}: each message is packed by zstd (compression mode message), and was unpacked"
        if note not in self.notes:
            self.notes = (*self.notes, note)
        try:
            return unpack_message(data)
        except Exception as error:  # noqa: BLE001 - as above
            return Undecodable(f"packed by zstd, and {reason_of(error)}")

    def _raw(self, stream: Stream, data: bytes) -> Any:
        if stream.encoding != ROS1:
            return self._plain(stream, data)
        message = self._decode(stream, data)
        if isinstance(message, Undecodable):
            return message
        store = _ros_types(ros1=False, audio_chunks=False)
        if stream.type_name not in store.fielddefs:
            return Undecodable(f"its type {stream.type_name} is unknown in ROS 2")
        try:
            built = build_message(store, stream.type_name, message)
        except KeyError as error:
            return Undecodable(f"it is of ROS 1, and {error.args[0]}")
        return bytes(store.serialize_cdr(built, stream.type_name))

    def _make_decoder(self, stream: Stream) -> _Decoder:
        """By the stream's own definition, one of the same type in another file, or ROS's own.

        Two streams may disagree about a name.
        """
        others = (item.definition for item in self._streams if item.type_name == stream.type_name)
        why = "no definition"
        for definition in (stream.definition, *others):
            try:
                found = _defined(stream.type_name, definition)
            except Exception as error:  # noqa: BLE001 - a text can be anything
                why = f"a definition that cannot be read ({reason_of(error)})"
                continue
            if found is not None:
                return found
        chunks = any(item.type_name.endswith(("/Audio", "/AudioStamped")) for item in self._streams)
        store = _ros_types(ros1=stream.encoding == ROS1, audio_chunks=chunks)
        if stream.type_name not in store.fielddefs:
            raise TopicError(
                f"{self.path} holds {why} of {stream.type_name} ({stream.topic}); "
                "record it as MCAP, or with a newer rosbag2, which store the definitions"
            )
        return _Decoder(store, stream.type_name)


def bag_files(path: Path) -> tuple[Path, ...]:
    """The files a recording consists of, for hashing; raises BagError where there is none."""
    return tuple(item for file in find_files(path).files for item in (file, *beside(file)))


@lru_cache(maxsize=4)
def _ros_types(*, ros1: bool, audio_chunks: bool) -> Typestore:
    """ROS's own types, for recordings that do not define theirs."""
    return get_typestore(Stores.ROS1_NOETIC) if ros1 else ros2_typestore(audio_chunks=audio_chunks)


@lru_cache(maxsize=256)  # every part of a split recording defines the same types
def _defined(type_name: str, definition: Definition) -> _Decoder | None:
    """The types of a definition's text; None where it does not define the type."""
    form, text = definition
    store = get_typestore(Stores.EMPTY)
    if form in _MSG_FORMS:
        # An empty text defines a message without fields; for any other type it was left out.
        if not text.strip() and not type_name.endswith("/Empty"):
            return None
        store.register(get_types_from_msg(text, type_name))
    elif form in _IDL_FORMS:
        parts = text.split(_IDL_SEPARATOR)[1:] if text.startswith(_IDL_SEPARATOR) else [text]
        for part in parts:
            store.register(get_types_from_idl(part.split("\n", 1)[1] if part.startswith("IDL: ") else part))
    name = next((name for name in store.fielddefs if full_type_name(name) == type_name), None)
    return None if name is None else _Decoder(store, name)


def _untimed(file: Storage) -> str:
    """What to tell of messages that are in the file, but at no time; empty: there are none."""
    if not file.untimed:
        return ""
    every = file.untimed + file.count
    return (
        f"{file.path.name}: {file.untimed:,} of its {every:,} messages have log times that no ROS time can "
        "hold, and were left out"
    )


def _listing(topics: tuple[Topic, ...]) -> str:
    return ", ".join(f"{topic.name} ({topic.type_name})" for topic in topics) or "no topics"
