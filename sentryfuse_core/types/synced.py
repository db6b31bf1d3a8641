"""Samples, sets of samples of one moment, and why a sensor is missing from a set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from sentryfuse_core.types.modality import Modality, ModalitySet
from sentryfuse_core.types.payload import Payload

__all__ = ["Absence", "Missed", "Sample", "SyncedSet", "Why"]


@dataclass(frozen=True, eq=False)
class Sample:
    """One message of one sensor, checked and stamped, its arrays still views of the message."""

    modality: Modality  # the sensor's kind
    stamp_ns: int  # on the sensor's clock, the stream's offset already taken off
    received_ns: int  # on the clock that stamps are compared with: ROS or bag time
    arrival_ns: int  # on the steady clock that deadlines and liveness run on; bag time in a replay
    frame_id: str
    payload: Payload
    fingerprint: int  # hash of the content: two equal ones in a row mean a frozen sensor
    name: str = ""  # the sensor's; empty: it is called like its kind

    @property
    def sensor(self) -> str:
        """Name of the sensor."""
        return self.name or self.modality.value


class Absence(str, Enum):
    """Why a sensor is not part of a set."""

    NEVER = "NEVER"  # nothing received since start
    LATE = "LATE"  # alive, but its sample had not come when the set had to go
    OUT_OF_SLOP = "OUT_OF_SLOP"  # alive, nearest sample too far in time
    LOST = "LOST"  # declared lost by the health monitor
    RECOVERING = "RECOVERING"  # arriving again, not yet trusted
    INVALID = "INVALID"  # its data, or its transform, cannot be used
    POOR = "POOR"  # there, but its data is trusted so little that the gate goes on without it
    LEFT_OUT = "LEFT_OUT"  # there and good, but the others see enough for the budget: the gate spares it


class Why(Enum):
    """What keeps a stream that sends out of all sets."""

    SLOP = "slop"  # its samples lie further from the sets than the slop allows
    WAIT = "wait"  # they come later after the anchor's than is waited for
    BEHIND = "behind"  # its stamps lie so far back that none of the window's comes in time


@dataclass(frozen=True)
class Missed:
    """What keeps a stream out of the sets: how much was measured, and the limit that would do, in ns."""

    why: Why
    measured_ns: int
    needed_ns: int


@dataclass(frozen=True, eq=False)
class SyncedSet:
    """Samples that belong to one moment; `samples` and `absent` together have every sensor's name as a key.

    Cameras and lidars have one sample, IMU and audio every sample of the window that ends at `stamp_ns`.
    """

    sequence: int
    epoch: int
    stamp_ns: int
    anchor: str | None  # None: a tick, no anchoring sensor lives
    samples: Mapping[str, tuple[Sample, ...]]
    absent: Mapping[str, Absence]
    anchor_arrival_ns: int  # steady clock
    anchor_received_ns: int  # ROS or bag time
    released_ns: int  # steady clock

    @property
    def anchor_name(self) -> str:
        """Name of the anchoring sensor, or 'tick'."""
        return "tick" if self.anchor is None else str(self.anchor)

    @property
    def present(self) -> ModalitySet:
        """The kinds of the sensors with at least one sample."""
        return ModalitySet.of(*(samples[-1].modality for samples in self.samples.values()))

    def of_kind(self, kind: Modality) -> tuple[str, ...]:
        """Names of the sensors of that kind with at least one sample."""
        return tuple(name for name, samples in self.samples.items() if samples[-1].modality is kind)

    @property
    def wait_ns(self) -> int:
        """Time from the anchor's arrival to release."""
        return self.released_ns - self.anchor_arrival_ns

    @property
    def age_ns(self) -> int:
        """Age of the anchor's sample when it arrived."""
        return self.anchor_received_ns - self.stamp_ns

    def offset_ns(self, name: str) -> int:
        """Stamp of the sensor's newest sample minus stamp of the set."""
        return self.samples[name][-1].stamp_ns - self.stamp_ns

    @property
    def skew_ns(self) -> int:
        """Largest distance of a camera or lidar sample from the set's stamp."""
        paired = (*self.of_kind(Modality.CAMERA), *self.of_kind(Modality.LIDAR))
        return max((abs(self.offset_ns(name)) for name in paired), default=0)
