"""Frozen values that cross module boundaries: samples, sets, health reports, detections."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum, IntEnum
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from sentryfuse_core.surroundings import BLIND, Coverage, SectorUse
from sentryfuse_core.track import Track

if TYPE_CHECKING:
    from sentryfuse_core.planar import EgoStep

__all__ = [
    "Absence",
    "AudioBlock",
    "CompressedFrame",
    "Detection",
    "FusionResult",
    "ImageFrame",
    "ImuReading",
    "Intrinsics",
    "Modality",
    "ModalitySet",
    "PartLevels",
    "Payload",
    "Plan",
    "PointCloud",
    "PointField",
    "Pose",
    "Sample",
    "SensorReport",
    "SensorState",
    "StageTimes",
    "SyncedSet",
    "Transition",
]

UInt8Array: TypeAlias = NDArray[np.uint8]
FloatArray: TypeAlias = NDArray[np.floating[Any]]


class Modality(str, Enum):
    """A kind of sensor; the order of definition is the order of everything that lists sensors."""

    CAMERA = "camera"
    LIDAR = "lidar"
    IMU = "imu"
    AUDIO = "audio"

    __hash__ = str.__hash__  # the one Enum gives runs in Python, and every message looks up its sensor

    @property
    def bit(self) -> int:
        """The sensor's bit in a mask: camera 1, lidar 2, imu 4, audio 8."""
        return 1 << _ORDER[self]


_ORDER = {modality: index for index, modality in enumerate(Modality)}


@dataclass(frozen=True, order=True)
class ModalitySet:
    """An immutable set of sensors, kept as a bit mask; iterates in the order of `Modality`."""

    bits: int = 0

    @classmethod
    def of(cls, *modalities: Modality) -> ModalitySet:
        """The set of the given sensors."""
        return cls(sum({modality.bit for modality in modalities}))

    @classmethod
    def all(cls) -> ModalitySet:
        """All four sensors."""
        return cls.of(*Modality)

    @classmethod
    def subsets(cls) -> tuple[ModalitySet, ...]:
        """The 15 non-empty sets, by rising mask."""
        return tuple(cls(bits) for bits in range(1, 1 << len(Modality)))

    def __contains__(self, modality: object) -> bool:
        return isinstance(modality, Modality) and bool(self.bits & modality.bit)

    def __iter__(self) -> Iterator[Modality]:
        return (modality for modality in Modality if self.bits & modality.bit)

    def __len__(self) -> int:
        return bin(self.bits).count("1")

    def __and__(self, other: ModalitySet) -> ModalitySet:
        return ModalitySet(self.bits & other.bits)

    def __or__(self, other: ModalitySet) -> ModalitySet:
        return ModalitySet(self.bits | other.bits)

    def __sub__(self, other: ModalitySet) -> ModalitySet:
        return ModalitySet(self.bits & ~other.bits)

    def __str__(self) -> str:
        return "+".join(modality.value for modality in self) or "none"


@dataclass(frozen=True, eq=False)
class ImageFrame:
    """An uncompressed image as it came: `data` is a flat uint8 view of at least `height * step` bytes."""

    height: int
    width: int
    step: int  # bytes a row, padding included
    encoding: str  # ROS name, e.g. rgb8
    is_bigendian: bool
    data: UInt8Array


@dataclass(frozen=True, eq=False)
class CompressedFrame:
    """An image file in memory (JPEG or PNG): `data` is a flat uint8 view."""

    format: str
    data: UInt8Array
    channels: str = ""  # bayer_...: its one channel is a mosaic; rgb8: red lies where files have blue
    width: int = 0  # as its header says; 0: not known
    height: int = 0


@dataclass(frozen=True)
class PointField:
    """One field of a point record: byte `offset` and numpy dtype `kind` without byte order, e.g. f4."""

    name: str
    offset: int
    kind: str
    count: int = 1


@dataclass(frozen=True, eq=False)
class PointCloud:
    """A point cloud as it came: `height * width` records of `point_step` bytes, rows `row_step` apart."""

    height: int
    width: int
    point_step: int
    row_step: int
    is_bigendian: bool
    fields: tuple[PointField, ...]
    data: UInt8Array
    time: PointField | None = None  # of each point; None: they are of one moment, or nothing says


@dataclass(frozen=True, eq=False)
class ImuReading:
    """Angular velocity [3] in rad/s and linear acceleration [3] in m/s^2, gravity included; None = absent."""

    angular_velocity: FloatArray | None
    linear_acceleration: FloatArray | None


@dataclass(frozen=True, eq=False)
class AudioBlock:
    """PCM audio [samples, channels] as it came: int16 (full scale 32768), other integers or float (1.0)."""

    pcm: NDArray[Any]
    sample_rate_hz: int
    stamped: bool  # False: the message had no header, the stamp is arrival minus configured latency


Payload: TypeAlias = ImageFrame | CompressedFrame | PointCloud | ImuReading | AudioBlock


@dataclass(frozen=True, eq=False)
class Sample:
    """One message of one sensor, checked and stamped, its arrays still views of the message."""

    modality: Modality
    stamp_ns: int  # on the sensor's clock, the stream's offset already taken off
    received_ns: int  # on the clock that stamps are compared with: ROS or bag time
    arrival_ns: int  # on the steady clock that deadlines and liveness run on; bag time in a replay
    frame_id: str
    payload: Payload
    fingerprint: int  # hash of the content: two equal ones in a row mean a frozen sensor


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


@dataclass(frozen=True, eq=False)
class SyncedSet:
    """Samples that belong to one moment; `samples` and `absent` together have every sensor as a key.

    Camera and lidar have one sample, IMU and audio every sample of the window that ends at `stamp_ns`.
    """

    sequence: int
    epoch: int
    stamp_ns: int
    anchor: Modality | None  # None: a tick, no anchoring sensor lives
    samples: Mapping[Modality, tuple[Sample, ...]]
    absent: Mapping[Modality, Absence]
    anchor_arrival_ns: int  # steady clock
    anchor_received_ns: int  # ROS or bag time
    released_ns: int  # steady clock

    @property
    def anchor_name(self) -> str:
        """Name of the anchoring sensor, or 'tick'."""
        return "tick" if self.anchor is None else self.anchor.value

    @property
    def present(self) -> ModalitySet:
        """The sensors with at least one sample."""
        return ModalitySet.of(*self.samples)

    @property
    def wait_ns(self) -> int:
        """Time from the anchor's arrival to release."""
        return self.released_ns - self.anchor_arrival_ns

    @property
    def age_ns(self) -> int:
        """Age of the anchor's sample when it arrived."""
        return self.anchor_received_ns - self.stamp_ns

    def offset_ns(self, modality: Modality) -> int:
        """Stamp of the sensor's newest sample minus stamp of the set."""
        return self.samples[modality][-1].stamp_ns - self.stamp_ns

    @property
    def skew_ns(self) -> int:
        """Largest distance of a camera or lidar sample from the set's stamp."""
        paired = (m for m in (Modality.CAMERA, Modality.LIDAR) if m in self.samples)
        return max((abs(self.offset_ns(m)) for m in paired), default=0)


class SensorState(IntEnum):
    """State of one sensor; the numbers are those of SensorHealth.msg."""

    INIT = 0
    OK = 1
    DEGRADED = 2
    LOST = 3
    RECOVERING = 4


@dataclass(frozen=True)
class SensorReport:
    """What the health monitor knows of one sensor at one moment."""

    modality: Modality
    topic: str
    state: SensorState
    reason: str
    remedy: str
    since_s: float
    rate_hz: float
    expected_hz: float
    age_ms: float  # steady time since the newest sample came; NaN: never
    offset_ms: float  # received minus stamp of the newest sample; NaN: never
    late: int
    out_of_order: int
    duplicate: int
    invalid: int
    frozen: int
    epoch: int
    invalid_reasons: Mapping[str, int] = field(default_factory=dict)
    code: str = ""  # stable name of the finding behind `reason`; empty: it is well

    @property
    def disabled(self) -> bool:
        """Whether nobody wants this sensor."""
        return self.code == "disabled"


@dataclass(frozen=True)
class Transition:
    """A sensor went from one state to another."""

    modality: Modality
    at_ns: int  # steady clock
    before: SensorState
    after: SensorState
    reason: str
    remedy: str
    code: str = ""  # stable name of the finding behind it, such as "timeout" or "frozen"; empty: it is well


@dataclass(frozen=True)
class PartLevels:
    """How narrow each part of the network runs, 0 = full width; what a level is says its shape.

    The motion encoder has one width: it costs less than a ten-thousandth of the network.
    """

    camera: int = 0
    lidar: int = 0
    audio: int = 0
    trunk: int = 0
    head: int = 0


@dataclass(frozen=True)
class Plan:
    """The sub-network chosen for one inference."""

    mask: ModalitySet
    level: int  # 0 = full width
    kind: str  # how widths are chosen; 'uniform': the same share of every layer; 'gate': by worth
    ratio: float  # share of prunable-unit MACs removed
    heads_kept: int
    heads_total: int
    channels_kept: int
    channels_total: int
    gmacs: float
    reason: str  # why this level
    parts: PartLevels = PartLevels()  # how narrow each part runs
    words: str = ""  # why these sensors and widths; empty: all of them, in full
    widths: str = ""  # how wide each part runs

    def because(self, reason: str) -> Plan:
        """The same plan for another reason; without dataclasses.replace, so that a switch stays a look-up."""
        plan = object.__new__(Plan)
        plan.__dict__.update(self.__dict__, reason=reason)
        return plan


@dataclass(frozen=True)
class Detection:
    """One box in the base frame: centre and size in metres, yaw in radians about z (up)."""

    label: str
    class_id: int
    score: float
    x: float
    y: float
    z: float
    length: float
    width: float
    height: float
    yaw: float
    support: ModalitySet = ModalitySet()  # the sensors that see something there by themselves


@dataclass(frozen=True)
class StageTimes:
    """Milliseconds a stage took for one set; the names are those of the diagnostics."""

    age: float
    wait: float
    queue: float
    pre: float
    infer: float
    post: float
    track: float = math.nan  # NaN: tracking is off


@dataclass(frozen=True, eq=False)
class FusionResult:
    """What the pipeline made of one set."""

    synced: SyncedSet
    used: ModalitySet
    absent: Mapping[Modality, Absence]  # every sensor that is not in `used`
    detections: tuple[Detection, ...]
    plan: Plan
    times: StageTimes
    backend: str
    device: str
    backend_reason: str  # why this backend runs
    mask_recall_4m: float  # NaN: not evaluated
    prior_recall_4m: float  # NaN: not evaluated
    reports: Mapping[Modality, SensorReport]
    errors: tuple[str, ...]  # nothing usable, device lost: what a person must act on
    notes: tuple[str, ...]  # fallbacks and parts that are missing
    switch_us: float  # time to choose another sub-network; NaN: mask and level are those of the last set
    tracks: tuple[Track, ...] | None = None  # None: tracking is off
    over_ground: bool = False  # velocities of the tracks are; else relative to the robot
    placed_in: tuple[str, EgoStep] | None = None  # frame in which tracks are published, and the base in it
    trust: Mapping[Modality, float] = field(default_factory=dict)  # 0..1, where the weights tell it
    sectors: tuple[SectorUse, ...] = ()  # what looked where
    coverage: Coverage = BLIND  # what watches each direction

    @property
    def above_prior(self) -> bool:
        """Whether this mask finds at least twice what the canvas finds without tokens."""
        return self.mask_recall_4m >= 2.0 * self.prior_recall_4m and self.mask_recall_4m > 0.0


@dataclass(frozen=True)
class Pose:
    """Sensor's frame to base frame: translation in metres, unit quaternion x, y, z, w."""

    translation: tuple[float, float, float]
    quaternion: tuple[float, float, float, float]


@dataclass(frozen=True)
class Intrinsics:
    """Camera: image size, focal lengths and principal point in pixels, and the distortion of its lens."""

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float
    distortion: tuple[float, ...] = ()
    whole: Intrinsics | None = None  # of the whole sensor, where the others are of a region of it
    fisheye: bool = False  # equidistant, and the distortion is that model's
