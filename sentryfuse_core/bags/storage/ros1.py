"""ROS 1 bags, by rosbags."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from io import BytesIO
from pathlib import Path

from rosbags.rosbag1 import Reader
from rosbags.rosbag1.reader import Header, decompressors

from sentryfuse_core.bags.offers import Offer
from sentryfuse_core.bags.storage.common import ROS1, Definition, Item, Storage, Stream, numbered
from sentryfuse_core.bags.storage.unpack import unpack
from sentryfuse_core.convert.type_names import full_type_name
from sentryfuse_core.errors import BagError

__all__ = ["Ros1File"]


class Ros1File(Storage):
    """One .bag file."""

    remedy = "repair it with `rosbag reindex`, or record it again"

    def __init__(self, path: Path, scratch: Callable[[], Path]) -> None:
        super().__init__(path, scratch)
        _check_header(path)
        self._reader = Reader(path)
        self._reader.open()
        names = {function: name for name, function in decompressors.items()}
        self._reader.chunks = {  # rosbags' own unpack to whatever size
            place: chunk._replace(
                decompressor=partial(unpack, compression=names[chunk.decompressor], size=None)
            )
            for place, chunk in self._reader.chunks.items()
        }
        for item in self._reader.connections:
            definition = Definition("ros1msg", item.msgdef.data)
            type_name = full_type_name(item.msgtype)
            offers = (Offer(latched=bool(getattr(item.ext, "latching", None)), reliable=True),)
            self.streams[item.id] = Stream(item.topic, type_name, ROS1, definition, item.msgcount, offers)
        self.streams = numbered(self.streams)
        if self.count:
            self.start_ns, self.end_ns = int(self._reader.start_time), int(self._reader.end_time) - 1

    def close(self) -> None:
        """Close the file."""
        self._reader.close()

    def _items(self, streams: Mapping[int, Stream]) -> Iterator[Item]:
        reader = copy.copy(self._reader)  # several may read at once, each with a chunk of its own
        reader.current_chunk = (-1, BytesIO())
        connections = [item for item in reader.connections if item.id in streams]
        for connection, log_time_ns, data in reader.messages(connections):
            yield Item(int(log_time_ns), streams[connection.id], bytes(data))


def _check_header(path: Path) -> None:
    """Raise BagError for bags that rosbags cannot read although nothing is damaged."""
    with path.open("rb") as stream:
        stream.readline()
        header = Header.read(stream)
    if name := header.get("encryptor", b"").decode("utf-8", "replace"):
        raise BagError(f"{path} is encrypted by {name}; decrypt it with `rosbag decrypt` where the key is")
    if header.get("index_pos") == bytes(8):
        raise BagError(f"{path} has no index: it was not closed (.bag.active); run `rosbag reindex` on it")
