"""MCAP files by their data section: all other records are optional and only make it faster.

Neither rosbags nor the mcap package reads a finished file without message index, without repeated schemas or
channels, or with messages out of order and no index; hence this reader. The index of chunks says where to
jump, if it is there; what lies between is walked. Where statistics do not agree with it, every chunk is
looked into once.
"""

from __future__ import annotations

import itertools
import struct
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import BinaryIO, NamedTuple
from zlib import crc32

from sentryfuse_core.bags.offers import Offer, read_offers
from sentryfuse_core.bags.storage.common import (
    CDR,
    ROS1,
    Definition,
    Item,
    Source,
    Storage,
    Stream,
    numbered,
)
from sentryfuse_core.bags.storage.unpack import MOST_CHUNK_BYTES, PACKINGS, unpack
from sentryfuse_core.convert.type_names import full_type_name
from sentryfuse_core.errors import BagError
from sentryfuse_core.text import reason_of

__all__ = ["MAGIC", "McapFile"]

MAGIC = b"\x89MCAP0\r\n"

_FOOTER, _SCHEMA, _CHANNEL, _MESSAGE, _CHUNK = 0x02, 0x03, 0x04, 0x05, 0x06
_CHUNK_INDEX, _STATISTICS, _DATA_END = 0x08, 0x0B, 0x0F
_HEAD = struct.Struct("<BQ")  # of every record: its kind and length
_MESSAGE_HEAD = struct.Struct("<HIQQ")  # channel, sequence, log time, publish time
_CHUNK_HEAD = struct.Struct("<QQQI")  # first and last log time, unpacked size, checksum
_FOOTER_BYTES = _HEAD.size + 20 + len(MAGIC)
_PROFILES = "offered_qos_profiles"
_SPAN_BYTES = 4 << 20  # messages outside of chunks are read this much at a time


class _Schema(NamedTuple):
    name: str
    definition: Definition


class _Channel(NamedTuple):
    schema: int
    topic: str
    encoding: str
    offers: tuple[Offer, ...]


@dataclass
class _Span:
    """A chunk, or a run of records outside of chunks, and the messages that are said to be in it."""

    offset: int
    end: int
    chunk: bool
    start_ns: int = 0
    end_ns: int = 0
    counts: Counter[int] = field(default_factory=Counter)  # by channel


@dataclass
class _Summary:
    """What the end of the file says about it."""

    chunks: dict[int, _Span] = field(default_factory=dict)  # by offset; `end` is that of the message indexes
    statistics: tuple[int, int, int] | None = None  # messages, first and last log time


class McapFile(Storage):
    """One MCAP file."""

    remedy = "recover it with `mcap recover`, or record it again"

    def __init__(self, path: Path, scratch: Callable[[], Path]) -> None:
        super().__init__(path, scratch)
        self._schemas: dict[int, _Schema] = {}
        self._channels: dict[int, _Channel] = {}
        self._spans: list[_Span] = []
        self._file: BinaryIO = path.open("rb")
        try:
            self._size = path.stat().st_size
            summary = self._summary()
            self._walk(summary)
            if not self._is_known(summary):
                self._look_into_all()
        except BaseException:
            self._file.close()
            raise
        self._spans = [span for span in self._spans if span.counts.total()]
        self.start_ns = min((span.start_ns for span in self._spans), default=0)
        self.end_ns = max((span.end_ns for span in self._spans), default=0)
        counts = self._counts()
        self.streams = numbered(
            {key: self._stream(channel, counts[key]) for key, channel in self._channels.items()}
        )

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def sources(self, wanted: Collection[Stream]) -> list[Source]:
        """One for each chunk that holds one of `wanted`."""
        channels = {key: stream for key, stream in self.streams.items() if stream in wanted}
        return [
            Source(span.start_ns, partial(self._messages, span, channels))
            for span in self._spans
            if not channels.keys().isdisjoint(span.counts)
        ]

    def _messages(self, span: _Span, channels: Mapping[int, Stream]) -> Iterator[Item]:
        data = self._content(span)
        items: list[Item] = []
        for kind, begin, end in _records(data):
            if kind == _MESSAGE:
                channel, _, log_time_ns, _ = _MESSAGE_HEAD.unpack_from(data, begin)
                stream = channels.get(channel)
                if stream is not None:
                    items.append(Item(log_time_ns, stream, data[begin + _MESSAGE_HEAD.size : end]))
        items.sort(key=lambda item: item.log_time_ns)
        yield from items

    def _stream(self, channel: _Channel, count: int) -> Stream:
        schema = self._schemas.get(channel.schema, _Schema("", Definition("", "")))
        encoding = channel.encoding
        if not encoding and schema.definition.form.startswith("ros2"):
            encoding = CDR
        if not encoding and schema.definition.form.startswith("ros1"):
            encoding = ROS1
        type_name, definition = full_type_name(schema.name), schema.definition
        return Stream(channel.topic, type_name, encoding, definition, count, channel.offers)

    def _counts(self) -> Counter[int]:
        """Messages of each channel."""
        return sum((span.counts for span in self._spans), Counter())

    def _summary(self) -> _Summary:
        """The records before the footer; an empty summary where there are none or they are damaged."""
        found = _Summary()
        if self._size < len(MAGIC) + _FOOTER_BYTES:
            return found
        self._file.seek(self._size - _FOOTER_BYTES)
        footer = self._file.read(_FOOTER_BYTES)
        kind, length = _HEAD.unpack_from(footer)
        (start,) = struct.unpack_from("<Q", footer, _HEAD.size)
        if not footer.endswith(MAGIC) or (kind, length) != (_FOOTER, 20):
            return found
        if not len(MAGIC) < start < self._size - _FOOTER_BYTES:
            return found
        self._file.seek(start)
        data = self._file.read(self._size - _FOOTER_BYTES - start)
        try:
            for kind, begin, end in _records(data):
                self._declaration(kind, data[begin:end])
                if kind == _CHUNK_INDEX:
                    span = _indexed(data[begin:end])
                    if len(MAGIC) < span.offset < span.end <= start:
                        found.chunks[span.offset] = span
                elif kind == _STATISTICS:
                    count, _, _, _, _, _, first_ns, last_ns = struct.unpack_from("<QHIIIIQQ", data, begin)
                    found.statistics = count, first_ns, last_ns
        except (ValueError, struct.error):
            return _Summary()
        return found

    def _walk(self, summary: _Summary) -> None:
        """Find the spans from the front, jumping over what the index of chunks tells."""
        at, loose = len(MAGIC), None
        while True:
            if (indexed := summary.chunks.get(at)) is not None:
                self._spans.append(indexed)
                at, loose = indexed.end, None
                continue
            self._file.seek(at)
            head = self._file.read(_HEAD.size)
            kind, length = _HEAD.unpack(head) if len(head) == _HEAD.size else (0, 0)
            end = at + _HEAD.size + length
            if kind == 0 or end > self._size:
                self.cut = "it ends in the middle of a record, as a recording that was cut off does"
                return
            if kind in (_DATA_END, _FOOTER):
                return
            if kind == _CHUNK:  # what is in it is not told: it will be looked into
                loose = None
                self._spans.append(_Span(at, end, chunk=True))
            elif kind in (_MESSAGE, _SCHEMA, _CHANNEL):
                if loose is None or loose.end != at or end - loose.offset > _SPAN_BYTES:
                    loose = _Span(at, at, chunk=False)
                    self._spans.append(loose)
                self._take_loose(loose, kind, end)
            at = end

    def _take_loose(self, span: _Span, kind: int, end: int) -> None:
        """Enter a record outside of chunks, whose content the file stands at."""
        begin, span.end = self._file.tell(), end
        if kind == _MESSAGE:
            channel, _, log_time_ns, _ = _MESSAGE_HEAD.unpack(self._file.read(_MESSAGE_HEAD.size))
            _count(span, channel, log_time_ns)
        else:
            self._declaration(kind, self._file.read(end - begin))

    def _declaration(self, kind: int, data: bytes) -> None:
        """Keep a schema or a channel; other kinds are not looked at."""
        if kind == _SCHEMA:
            (key,) = struct.unpack_from("<H", data)
            name, at = _text(data, 2)
            form, at = _text(data, at)
            text, _ = _text(data, at)
            self._schemas[key] = _Schema(name, Definition(form, text))
        elif kind == _CHANNEL:
            key, schema = struct.unpack_from("<HH", data)
            topic, at = _text(data, 4)
            encoding, at = _text(data, at)
            self._channels[key] = _Channel(schema, topic, encoding, _offers(data, at))

    def _is_known(self, summary: _Summary) -> bool:
        """Whether all channels are known, and the index of chunks agrees with the statistics."""
        counts = self._counts()
        if any(span.chunk and (summary.statistics is None or not span.counts) for span in self._spans):
            return False
        for key in counts:
            channel = self._channels.get(key)
            if channel is None or (channel.schema and channel.schema not in self._schemas):
                return False
        if summary.statistics is None:
            return True
        filled = [span for span in self._spans if span.counts]
        first_ns = min((span.start_ns for span in filled), default=0)
        last_ns = max((span.end_ns for span in filled), default=0)
        total, *times = summary.statistics
        return counts.total() == total and (not total or [first_ns, last_ns] == times)

    def _look_into_all(self) -> None:
        """Take channels, counts and times from the messages themselves."""
        for number, span in enumerate(self._spans):
            if not span.chunk:
                continue
            span.counts.clear()
            try:
                data = self._content(span)
                for kind, begin, end in _records(data):
                    if kind == _MESSAGE:
                        channel, _, log_time_ns, _ = _MESSAGE_HEAD.unpack_from(data, begin)
                        _count(span, channel, log_time_ns)
                    elif kind in (_SCHEMA, _CHANNEL):
                        self._declaration(kind, data[begin:end])
            except BagError:
                raise
            except Exception as error:  # noqa: BLE001 - what is whole before it can be used
                self.cut = reason_of(error)
                del self._spans[number:]
                return

    def _content(self, span: _Span) -> bytes:
        """The records of a span, unpacked."""
        self._file.seek(span.offset)
        if not span.chunk:
            return self._file.read(span.end - span.offset)
        kind, length = _HEAD.unpack(self._file.read(_HEAD.size))
        if kind != _CHUNK or length > min(self._size - span.offset, MOST_CHUNK_BYTES):
            raise ValueError(f"no whole chunk at byte {span.offset}")
        record = self._file.read(length)
        _, _, size, checksum = _CHUNK_HEAD.unpack_from(record)
        compression, at = _text(record, _CHUNK_HEAD.size)
        if compression not in PACKINGS:
            raise BagError(
                f"{self.path} has chunks packed by {compression!r:.40}, which is not known; write it anew "
                "with `mcap compress --compression zstd`"
            )
        (packed,) = struct.unpack_from("<Q", record, at)
        data = unpack(record[at + 8 : at + 8 + packed], compression, size)
        if checksum and crc32(data) != checksum:
            raise ValueError(f"the chunk at byte {span.offset} does not have its checksum")
        return data


def _count(span: _Span, channel: int, log_time_ns: int) -> None:
    """Enter a message into its span."""
    first = not span.counts
    span.start_ns = log_time_ns if first else min(span.start_ns, log_time_ns)
    span.end_ns = log_time_ns if first else max(span.end_ns, log_time_ns)
    span.counts[channel] += 1


def _indexed(data: bytes) -> _Span:
    """A chunk as its index tells it; the messages are counted by the lengths of their indexes."""
    start_ns, end_ns, offset, length, size = struct.unpack_from("<QQQQI", data)
    places = sorted((place, channel) for channel, place in struct.iter_unpack("<HQ", data[36 : 36 + size]))
    (index_length,) = struct.unpack_from("<Q", data, 36 + size)
    end = offset + length + index_length
    counts = Counter[int]()
    for (place, channel), following in itertools.zip_longest(places, [at for at, _ in places[1:]]):
        counts[channel] += max((end if following is None else following) - place - 15, 0) // 16
    return _Span(offset, end, chunk=True, start_ns=start_ns, end_ns=end_ns, counts=+counts)


def _offers(data: bytes, at: int) -> tuple[Offer, ...]:
    """The profiles that rosbag2 keeps in the metadata of a channel; none where those are damaged."""
    try:
        (size,) = struct.unpack_from("<I", data, at)
        at, end = at + 4, at + 4 + size
        while at < end:
            key, at = _text(data, at)
            value, at = _text(data, at)
            if key == _PROFILES:
                return read_offers(value)
    except (ValueError, struct.error):
        pass
    return ()


def _records(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Kind, begin and end of every record's content; raises ValueError where one is not whole."""
    at = 0
    while at < len(data):
        if at + _HEAD.size > len(data):
            raise ValueError("the records of a chunk are not whole")
        kind, length = _HEAD.unpack_from(data, at)
        begin = at + _HEAD.size
        at = begin + length
        if at > len(data):
            raise ValueError("the records of a chunk are not whole")
        yield kind, begin, at


def _text(data: bytes, at: int) -> tuple[str, int]:
    """A text with its length before it, and where it ends."""
    (size,) = struct.unpack_from("<I", data, at)
    end = at + 4 + size
    if end > len(data):
        raise ValueError("a text is longer than its record")
    return data[at + 4 : end].decode("utf-8", "replace"), end
