"""ROS 1 bags, by rosbags."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from functools import partial
from pathlib import Path

from rosbags.rosbag1 import Reader
from rosbags.rosbag1.reader import decompressors

from sentryfuse_core.bags.storage.common import ROS1, Definition, Item, Source, Stream, guarded
from sentryfuse_core.bags.storage.unpack import unpack
from sentryfuse_core.convert.type_names import full_type_name

__all__ = ["Ros1File"]

REMEDY = "repair it with `rosbag reindex`, or record it again"


class Ros1File:
    """One .bag file; raises nearly anything for damage."""

    remedy = REMEDY
    cut = ""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._reader = Reader(path)
        self._reader.open()
        names = {function: name for name, function in decompressors.items()}
        self._reader.chunks = {  # rosbags' own unpack to whatever size
            place: chunk._replace(decompressor=partial(_unpacked, names[chunk.decompressor]))
            for place, chunk in self._reader.chunks.items()
        }
        self._streams = {
            item.id: Stream(
                item.topic,
                full_type_name(item.msgtype),
                ROS1,
                Definition("ros1msg", item.msgdef.data),
                item.msgcount,
            )
            for item in self._reader.connections
        }
        self.streams = tuple(self._streams.values())
        filled = any(stream.count for stream in self.streams)
        self.start_ns = int(self._reader.start_time) if filled else 0
        self.end_ns = int(self._reader.end_time) - 1 if filled else 0

    def close(self) -> None:
        """Close the file."""
        self._reader.close()

    def sources(self, wanted: Collection[Stream]) -> list[Source]:
        """One, if it has any of `wanted`."""
        keys = [key for key, stream in self._streams.items() if stream in wanted and stream.count]
        return [Source(self.start_ns, lambda: guarded(self._items(keys), self.path, REMEDY))] if keys else []

    def _items(self, keys: Collection[int]) -> Iterator[Item]:
        connections = [item for item in self._reader.connections if item.id in keys]
        for connection, log_time_ns, data in self._reader.messages(connections):
            yield Item(int(log_time_ns), self._streams[connection.id], bytes(data))


def _unpacked(compression: str, data: bytes) -> bytes:
    return unpack(data, compression, None)
