"""What every file of a recording gives, whatever its format, and the merging of all by log time."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

from sentryfuse_core.errors import BagError, SentryFuseError
from sentryfuse_core.text import reason_of

__all__ = [
    "CDR",
    "ROS1",
    "Definition",
    "Item",
    "Source",
    "Storage",
    "Stream",
    "damaged",
    "guarded",
    "merged",
]

CDR, ROS1 = "cdr", "ros1"  # the encodings of messages that can be decoded


class Definition(NamedTuple):
    """The text that defines a message type; `form` is ros2msg, ros1msg, ros2idl, omgidl or another."""

    form: str
    text: str


@dataclass(frozen=True)
class Stream:
    """The messages of one topic and type in one file; `type_name` in full, `encoding` as recorded."""

    topic: str
    type_name: str
    encoding: str
    definition: Definition
    count: int


class Item(NamedTuple):
    """A message as recorded."""

    log_time_ns: int
    stream: Stream
    data: bytes


class Source(NamedTuple):
    """Items by rising log time, none before `start_ns`; nothing is read before `read` is called."""

    start_ns: int
    read: Callable[[], Iterator[Item]]


class Storage(Protocol):
    """One open file. `start_ns` and `end_ns` are those of all its messages; without any they are 0."""

    path: Path
    remedy: str  # for damage of this format
    start_ns: int
    end_ns: int
    cut: str  # what is wrong with its end; empty: nothing

    @property
    def streams(self) -> Sequence[Stream]:
        """One for each topic and type."""

    def sources(self, wanted: Collection[Stream]) -> Sequence[Source]:
        """Where the messages of `wanted` come from."""

    def close(self) -> None:
        """Close the file."""


def merged(sources: Sequence[Source]) -> Iterator[Item]:
    """All items by log time, equal times in the order of `sources`; those begin when their time has come."""
    order = sorted(range(len(sources)), key=lambda number: sources[number].start_ns)
    waiting = deque((sources[number].start_ns, number) for number in order)
    # Of each source that has begun: its next item, and how to go on.
    heads: list[tuple[int, int, Item, Iterator[Item]]] = []
    while waiting or heads:
        while waiting and (not heads or waiting[0][0] <= heads[0][0]):
            _push(heads, waiting.popleft()[1], sources)
        if heads:
            _, number, item, rest = heads[0]
            yield item
            following = next(rest, None)
            if following is None:
                heapq.heappop(heads)
            else:
                heapq.heapreplace(heads, (following.log_time_ns, number, following, rest))


def _push(heads: list[tuple[int, int, Item, Iterator[Item]]], number: int, sources: Sequence[Source]) -> None:
    rest = iter(sources[number].read())
    first = next(rest, None)
    if first is not None:
        heapq.heappush(heads, (first.log_time_ns, number, first, rest))


def damaged(path: Path, reason: str, remedy: str) -> BagError:
    """The one error for a file that cannot be read on."""
    return BagError(f"cannot read {path}: {reason}; {remedy}")


def guarded(items: Iterator[Item], path: Path, remedy: str) -> Iterator[Item]:
    """`items`, where whatever a library raises becomes a BagError that names the file."""
    while True:
        try:
            item = next(items)
        except StopIteration:
            return
        except SentryFuseError:
            raise
        except Exception as error:  # damaged bytes make the libraries raise nearly anything
            raise damaged(path, reason_of(error), remedy) from error
        yield item
