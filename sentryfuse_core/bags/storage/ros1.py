"""ROS 1 bags, by rosbags."""

from __future__ import annotations

import copy
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from io import BytesIO
from pathlib import Path

from rosbags.interfaces import Connection, ConnectionExtRosbag1, MessageDefinition, MessageDefinitionFormat
from rosbags.rosbag1 import Reader
from rosbags.rosbag1.reader import Header, RecordType, decompressors, normalize

from sentryfuse_core.bags.offers import Offer
from sentryfuse_core.bags.storage.common import END_NS, ROS1, Definition, Item, Storage, Stream, numbered
from sentryfuse_core.bags.storage.unpack import unpack
from sentryfuse_core.convert.type_names import full_type_name
from sentryfuse_core.errors import BagError

__all__ = ["Ros1File"]

_YES = (b"1", b"t", b"true", b"yes")  # roscpp and rospy write 1


class _Reader(Reader):
    """rosbags' reader, but for one odd field of a topic it refuses no bag."""

    def read_connection(self) -> Connection:
        """A topic of a publisher: what need not be understood is whatever it is."""
        assert self.bio is not None  # noqa: S101 - open by now
        header = Header.read(self.bio, RecordType.CONNECTION)
        number, topic = header.get_uint32("conn"), normalize(header.get_string("topic"))
        header = Header.read(self.bio)
        type_name, text = header.get_string("type"), header.get("message_definition", b"")
        definition = MessageDefinition(MessageDefinitionFormat.MSG, text.decode("utf-8", "replace"))
        latching = header.get("latching", b"").strip().lower() in _YES
        extra = ConnectionExtRosbag1(None, int(latching))
        return Connection(number, topic, full_type_name(type_name), definition, "", 0, extra, self)


class Ros1File(Storage):
    """One .bag file."""

    remedy = "repair it with `rosbag reindex`, or record it again"

    def __init__(self, path: Path, scratch: Callable[[], Path]) -> None:
        super().__init__(path, scratch)
        _check_header(path)
        self._reader = _Reader(path)
        self._reader.open()
        names = {function: name for name, function in decompressors.items()}
        self._reader.chunks = {  # rosbags' own unpack to whatever size
            place: chunk._replace(
                decompressor=partial(unpack, compression=names[chunk.decompressor], size=None)
            )
            for place, chunk in self._reader.chunks.items()
        }
        times: list[int] = []
        for item in self._reader.connections:
            index = self._reader.indexes[item.id]  # by time
            count = bisect_left(index, END_NS, key=lambda entry: entry.time)
            self.untimed += len(index) - count
            del index[count:]
            times += [entry.time for entry in (*index[:1], *index[-1:])]
            definition = Definition("ros1msg", item.msgdef.data)
            offers = (Offer(latched=bool(getattr(item.ext, "latching", None)), reliable=True),)
            self.streams[item.id] = Stream(item.topic, item.msgtype, ROS1, definition, count, offers)
        self.streams = numbered(self.streams)
        self.start_ns, self.end_ns = min(times, default=0), max(times, default=0)

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
