"""Builder of MCAP files that leave out whatever the specification makes optional."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import bags

from sentryfuse_core.bags.storage.mcap import MAGIC
from sentryfuse_core.bags.writer import build_message, ros2_typestore

SCHEMA, CHANNEL, MESSAGE, CHUNK = 0x03, 0x04, 0x05, 0x06
MESSAGE_INDEX, CHUNK_INDEX, STATISTICS, DATA_END, FOOTER = 0x07, 0x08, 0x0B, 0x0F, 0x02


def text(value: str | bytes) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    return struct.pack("<I", len(data)) + data


def record(kind: int, content: bytes) -> bytes:
    return struct.pack("<BQ", kind, len(content)) + content


def write(path: Path, messages: Sequence[bags.Message], **options: Any) -> Path:
    path.write_bytes(build(messages, **options))
    return path


def build(
    messages: Sequence[bags.Message],
    *,
    chunks: int = 3,  # 0: messages lie outside of chunks
    compression: str = "",
    indexed_channels: int = 1000,  # those of higher ids have no message index
    indexed_chunks: int = 1000,
    statistics: bool = True,
    repeated: bool = True,  # schemas and channels in the summary, too
    summary: bool = True,
    encoding: str = "cdr",
    schema_encoding: str = "ros2msg",
    spelling: Any = lambda name: name,
    definitions: bool = True,
    claimed: int | None = None,  # of every chunk, in bytes
    loose: int = 0,  # the last messages lie outside of chunks
    metadata: Mapping[str, str] = MappingProxyType({}),  # of every channel
    channel_of: Callable[[bags.Message], str] = lambda item: item.topic,
) -> bytes:
    store = ros2_typestore()
    told = text(b"".join(text(name) + text(value) for name, value in metadata.items()))
    channels: dict[str, int] = {}
    declarations: dict[str, bytes] = {}
    for item in messages:
        key = channel_of(item)
        if key not in channels:
            number = channels[key] = len(channels) + 1
            definition = store.generate_msgdef(item.type_name)[0] if definitions else ""
            schema = struct.pack("<H", number) + text(spelling(item.type_name)) + text(schema_encoding)
            channel = struct.pack("<HH", number, number) + text(item.topic) + text(encoding) + told
            declarations[key] = record(SCHEMA, schema + text(definition)) + record(CHANNEL, channel)

    def data(item: bags.Message) -> bytes:
        message = build_message(store, item.type_name, item.fields)
        head = struct.pack("<HIQQ", channels[channel_of(item)], 0, item.log_time_ns, item.log_time_ns)
        return record(MESSAGE, head + bytes(store.serialize_cdr(message, item.type_name)))

    out = bytearray(MAGIC + record(0x01, text("ros2") + text("test")))
    index, declared = b"", set()

    def records(part: Sequence[bags.Message]) -> bytes:
        found = b""
        for item in part:
            if channel_of(item) not in declared:
                declared.add(channel_of(item))
                found += declarations[channel_of(item)]
            found += data(item)
        return found

    packed_up = messages[: len(messages) - loose] if chunks else []
    size = -(-len(packed_up) // chunks) if chunks else 1
    for number, first in enumerate(range(0, len(packed_up), size)):
        part = packed_up[first : first + size]
        plain = records(part)
        times = [item.log_time_ns for item in part]
        claim = len(plain) if claimed is None else claimed
        head = struct.pack("<QQQI", min(times), max(times), claim, 0) + text(compression)
        chunk = record(CHUNK, head + struct.pack("<Q", len(plain)) + plain)
        offset, places, indexes = len(out), b"", b""
        out += chunk
        for key, channel in channels.items():
            own = [item.log_time_ns for item in part if channel_of(item) == key]
            if own and channel <= indexed_channels:
                places += struct.pack("<HQ", channel, len(out) + len(indexes))
                entries = b"".join(struct.pack("<QQ", at, 0) for at in own)
                indexes += record(MESSAGE_INDEX, struct.pack("<H", channel) + text(entries))
        out += indexes
        entry = struct.pack("<QQQQ", min(times), max(times), offset, len(chunk)) + text(places)
        entry += struct.pack("<Q", len(indexes)) + text(compression) + struct.pack("<QQ", len(plain), claim)
        index += record(CHUNK_INDEX, entry) if number < indexed_chunks else b""
    out += records(messages if not chunks else messages[len(packed_up) :])
    out += record(0x0C, text("a note") + text(b"")) + record(DATA_END, bytes(4))
    sent_on = [channels[channel_of(item)] for item in messages]
    parts = [
        b"".join(declarations.values()) if repeated else b"",
        index,
        _statistics(messages, sent_on, chunks) if statistics else b"",
    ]
    end = b"".join(parts) if summary else b""
    start = len(out) if end else 0
    return bytes(out + end + record(FOOTER, struct.pack("<QQI", start, 0, 0)) + MAGIC)


def _statistics(messages: Sequence[bags.Message], channels: Sequence[int], chunks: int) -> bytes:
    times = [item.log_time_ns for item in messages]
    counts = b"".join(struct.pack("<HQ", *item) for item in Counter(channels).items())
    facts = struct.pack("<QHIIIIQQ", len(messages), 1, 1, 0, 1, chunks, min(times), max(times))
    return record(STATISTICS, facts + text(counts))
