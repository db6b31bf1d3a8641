"""What goes into the synchroniser and comes out: samples, the parts of streams, limits, sets."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from sentryfuse_core.clock import NS_PER_S
from sentryfuse_core.types import Absence

__all__ = ["MatchedSet", "StreamSpec", "Timed", "nanoseconds"]

K = TypeVar("K", bound=Hashable)
S = TypeVar("S", bound="Timed")


class Timed(Protocol):
    """What a sample must tell: three times in ns, on the clocks of `types.Sample`."""

    @property
    def stamp_ns(self) -> int:
        """When it was taken, by the sensor's clock."""

    @property
    def received_ns(self) -> int:
        """When it came, by the clock that stamps are compared with; 0: not known."""

    @property
    def arrival_ns(self) -> int:
        """When it came, by the steady clock."""


@dataclass(frozen=True, eq=False)
class MatchedSet(Generic[K, S]):
    """Samples that belong to one moment; `samples` and `absent` together have every stream as a key.

    A stream without a window has one sample, one with a window every sample of (stamp - window, stamp]; one
    whose samples last also the one before, which reaches into the window.
    """

    sequence: int
    epoch: int
    stamp_ns: int
    anchor: K | None  # None: a tick, no anchoring stream lives
    samples: Mapping[K, tuple[S, ...]]
    absent: Mapping[K, Absence]
    anchor_arrival_ns: int  # steady clock
    anchor_received_ns: int  # ROS or bag time
    released_ns: int  # steady clock


@dataclass(frozen=True, kw_only=True)
class StreamSpec:
    """The part a stream plays in the sets."""

    anchor_rank: int | None  # 0 anchors first; None: its samples only fill windows, its stamps carry ticks
    window_ns: int = 0  # samples in (moment - window, moment] belong to a set; 0: the nearest one does
    lasting: bool = False  # a sample goes on until the next: the one before a window reaches into it
    period_ns: int = 0  # expected; 0: learned from the stamps
    anchor_period_ns: int = 0  # shortest distance of two sets that it anchors
    expected_lag_ns: int = 0  # known delay from stamp to arrival; much more than that is a wrong clock


def nanoseconds(seconds: float) -> int:
    """Seconds as integer nanoseconds."""
    return round(seconds * NS_PER_S)
