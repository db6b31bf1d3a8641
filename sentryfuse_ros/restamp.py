"""Moves the stamps of recorded messages to the time at which they are played."""

from __future__ import annotations

import struct
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

from rclpy.serialization import deserialize_message, serialize_message

from sentryfuse_core.bags.readers import Undecodable
from sentryfuse_core.clock import NS_PER_S

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sentryfuse_core.bags.readers import BagMessage

__all__ = ["Timeline", "clock_offset_ns", "read_transforms", "restamped", "restamped_transforms"]

_LATEST_NS = 2**31 * NS_PER_S  # what a stamp can hold
_STAMP_END = 12  # bytes: 4 of encapsulation, then seconds and nanoseconds
_FOREIGN_STAMPS_NS = 10 * NS_PER_S  # stamps further from log time are of another clock, with its own origin
# What of a recording is heard before it is said what its clock is: this long, and on until one topic has said
_HEARD_NS = NS_PER_S
_MOST_OF_ONE = 10  # as much as any has a say in: what speaks once before the sensors do is one voice


class Timeline(NamedTuple):
    """A recorded stamp, when it is played, and how fast."""

    origin_ns: int
    start_ns: int
    rate: float

    def moved_ns(self, stamp_ns: int) -> int:
        """When a stamp is played; itself where it is 0, which tells no time, or where no stamp holds that."""
        moved_ns = self.start_ns + int((stamp_ns - self.origin_ns) / self.rate)
        return moved_ns if stamp_ns and 0 <= moved_ns < _LATEST_NS else stamp_ns


def restamped(data: bytes, move: Callable[[int], int]) -> bytes:
    """CDR bytes of a message that begins with a std_msgs/Header, its stamp replaced by `move(stamp_ns)`.

    Bytes too short to hold a stamp stay as they are: a damaged message is the subscriber's to refuse.
    """
    stamp_ns = _stamp_ns(data)
    if stamp_ns is None or (moved_ns := move(stamp_ns)) == stamp_ns:
        return data
    moved = struct.pack(_stamp_format(data), *divmod(moved_ns, NS_PER_S))
    return b"".join((data[:4], moved, data[_STAMP_END:]))


def _stamp_ns(data: bytes) -> int | None:
    if len(data) < _STAMP_END:
        return None
    sec, nanosec = struct.unpack_from(_stamp_format(data), data, 4)
    return int(sec * NS_PER_S + nanosec)


def _stamp_format(data: bytes) -> str:
    return "<iI" if data[1] & 1 else ">iI"


def restamped_transforms(data: bytes, kind: Any, move: Callable[[int], int]) -> bytes:
    """CDR bytes of transforms, the stamp of each moved by itself; damaged ones are left alone."""
    message = read_transforms(data, kind)
    for transform in message.transforms:
        stamp = transform.header.stamp
        stamp_ns = stamp.sec * NS_PER_S + stamp.nanosec
        if (moved_ns := move(stamp_ns)) != stamp_ns:
            stamp.sec, stamp.nanosec = divmod(moved_ns, NS_PER_S)
    return bytes(serialize_message(message)) if message.transforms else data


def read_transforms(data: Any, kind: Any) -> Any:
    """The message; an empty one where the bytes are none."""
    try:
        return deserialize_message(bytes(data), kind)
    except Exception:  # noqa: BLE001 - damaged bytes make rclpy raise whatever it likes
        return kind()


def clock_offset_ns(messages: Iterable[BagMessage]) -> int:
    """How far a recording's stamps are from its log times; 0 where both are of one clock.

    `messages` begin with a header. What most of the first say holds, so that a map of an hour ago or a
    topic without stamps decides nothing; of a tie the clock of the log times is the winner.
    """
    heard: Counter[str] = Counter()
    offsets_ns: list[int] = []
    begin_ns = None
    for item in messages:
        begin_ns = item.log_time_ns if begin_ns is None else begin_ns
        if item.log_time_ns - begin_ns > _HEARD_NS and max(heard.values()) >= _MOST_OF_ONE:
            break
        heard[item.topic] += 1
        stamp_ns = None if isinstance(item.message, Undecodable) else _stamp_ns(item.message)
        if stamp_ns and heard[item.topic] <= _MOST_OF_ONE:
            offsets_ns.append(stamp_ns - item.log_time_ns)
    offsets_ns.sort(key=abs)
    middle_ns = offsets_ns[(len(offsets_ns) - 1) // 2] if offsets_ns else 0
    return middle_ns if abs(middle_ns) > _FOREIGN_STAMPS_NS else 0
