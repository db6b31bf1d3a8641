"""What every file of a recording gives, whatever its format, and the merging of all by log time."""

from __future__ import annotations

import heapq
import itertools
import operator
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from sentryfuse_core.bags.offers import Offer
from sentryfuse_core.clock import NS_PER_S
from sentryfuse_core.errors import BagError, SentryFuseError
from sentryfuse_core.text import reason_of

__all__ = [
    "CDR",
    "END_NS",
    "ROS1",
    "Definition",
    "Item",
    "Source",
    "Storage",
    "Stream",
    "damaged",
    "guarded",
    "merged",
    "numbered",
    "possible",
]

CDR, ROS1 = "cdr", "ros1"  # the encodings of messages that can be decoded
END_NS = 2**31 * NS_PER_S  # no ROS time holds this or more: its seconds are an int32


class Definition(NamedTuple):
    """The text that defines a message type; `form` is ros2msg, ros1msg, ros2idl, omgidl or another."""

    form: str
    text: str


@dataclass(frozen=True, eq=False)  # each message looks its stream up: a hash of all this would take longer
class Stream:
    """The messages of one topic and type in one file, of one publisher where those are kept apart.

    `type_name` in full, `encoding` as recorded.
    """

    topic: str
    type_name: str
    encoding: str
    definition: Definition
    count: int
    offers: tuple[Offer, ...] = ()  # of its publishers, as far as they are recorded
    number: int = 0  # among those of the same topic and type in the file, which are of different publishers


class Item(NamedTuple):
    """A message as recorded."""

    log_time_ns: int
    stream: Stream
    data: bytes


class Source(NamedTuple):
    """Items by rising log time, none before `start_ns`; nothing is read before `read` is called."""

    start_ns: int
    read: Callable[[], Iterator[Item]]


class Storage:
    """One open file of a recording; opening and reading it raise nearly anything for damage.

    `scratch` makes a folder for copies.
    """

    remedy = ""  # for damage of this format
    cut = ""  # what is wrong with its end; empty: nothing
    untimed = 0  # messages of log times that no ROS time holds; neither counted nor read

    def __init__(self, path: Path, _scratch: Callable[[], Path]) -> None:
        self.path = path
        self.streams: dict[int, Stream] = {}  # one for each topic and type, by the file's own numbers
        self.start_ns = self.end_ns = 0  # of all its messages; without any they are 0

    @property
    def count(self) -> int:
        """Messages in it."""
        return sum(stream.count for stream in self.streams.values())

    def sources(self, wanted: Collection[Stream]) -> Sequence[Source]:
        """Where the messages of `wanted` come from: one place, if it has any."""
        streams = {key: stream for key, stream in self.streams.items() if stream in wanted and stream.count}
        return [Source(self.start_ns, lambda: self._items(streams))] if streams else []

    def _items(self, streams: Mapping[int, Stream]) -> Iterator[Item]:
        """The messages of `streams` by log time."""
        raise NotImplementedError

    def close(self) -> None:
        """Close the file."""
        raise NotImplementedError


def possible(log_time_ns: int) -> bool:
    """Whether a ROS time can hold it."""
    return 0 <= log_time_ns < END_NS


def numbered(streams: Mapping[int, Stream]) -> dict[int, Stream]:
    """The same, those that share topic and type told apart."""
    seen = Counter[tuple[str, str]]()
    found = {}
    for key, stream in streams.items():
        name = (stream.topic, stream.type_name)
        found[key] = replace(stream, number=seen[name])
        seen[name] += stream.count > 0
    return found


def merged(sources: Sequence[Source]) -> Iterator[Item]:
    """All items by log time, equal times in the order of `sources`; those begin when their time has come."""

    def begun(number: int, source: Source) -> Iterator[tuple[int, int, Item | None]]:
        yield source.start_ns, number, None  # is asked for at once, the rest only when this one is passed
        for item in source.read():
            yield item.log_time_ns, number, item

    parts = itertools.starmap(begun, enumerate(sources))
    for _, _, item in heapq.merge(*parts, key=operator.itemgetter(0, 1)):
        if item is not None:
            yield item


def damaged(path: Path, reason: str, remedy: str) -> BagError:
    """The one error for a file that cannot be read on."""
    return BagError(f"cannot read {path}: {reason}; {remedy}")


def guarded(source: Source, file: Storage) -> Source:
    """A source of `file`, where whatever a library raises becomes a BagError that names the file."""

    def read() -> Iterator[Item]:
        try:
            yield from source.read()
        except SentryFuseError:
            raise
        except Exception as error:  # damaged bytes make the libraries raise nearly anything
            raise damaged(file.path, reason_of(error), file.remedy) from error

    return Source(source.start_ns, read)
