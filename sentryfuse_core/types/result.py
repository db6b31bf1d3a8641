"""What the pipeline made of a set, and how: detections, the plan, times, the whole account."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sentryfuse_core.surroundings import BLIND, Coverage, SectorUse
from sentryfuse_core.track import Track
from sentryfuse_core.types.modality import NO_SENSORS, Modality, ModalitySet
from sentryfuse_core.types.report import SensorReport
from sentryfuse_core.types.synced import Absence, SyncedSet

if TYPE_CHECKING:
    from sentryfuse_core.planar import EgoStep

__all__ = ["Detection", "FusionResult", "PartLevels", "Plan", "StageTimes"]


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
    support: ModalitySet = NO_SENSORS  # the sensors that see something there by themselves


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
    used: ModalitySet  # kinds
    absent: Mapping[str, Absence]  # every sensor that is not used, by name
    detections: tuple[Detection, ...]
    plan: Plan
    times: StageTimes
    backend: str
    device: str
    backend_reason: str  # why this backend runs
    mask_recall_4m: float  # NaN: not evaluated
    prior_recall_4m: float  # NaN: not evaluated
    reports: Mapping[str, SensorReport]  # by name
    errors: tuple[str, ...]  # nothing usable, device lost: what a person must act on
    notes: tuple[str, ...]  # fallbacks and parts that are missing
    switch_us: float  # time to choose another sub-network; NaN: mask and level are those of the last set
    tracks: tuple[Track, ...] | None = None  # None: tracking is off
    over_ground: bool = False  # velocities of the tracks are; else relative to the robot
    placed_in: tuple[str, EgoStep] | None = None  # frame in which tracks are published, and the base in it
    trust: Mapping[Modality, float] = field(default_factory=dict)  # by kind, 0..1, where the weights tell it
    sectors: tuple[SectorUse, ...] = ()  # what looked where
    coverage: Coverage = BLIND  # what watches each direction

    @property
    def sensors(self) -> tuple[str, ...]:
        """Names of the sensors that were used."""
        return tuple(name for name in self.synced.samples if name not in self.absent)

    @property
    def above_prior(self) -> bool:
        """Whether this mask finds at least twice what the canvas finds without tokens."""
        return self.mask_recall_4m >= 2.0 * self.prior_recall_4m and self.mask_recall_4m > 0.0
