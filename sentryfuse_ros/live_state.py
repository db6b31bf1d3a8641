"""What the live view shows, gathered from the messages of the nodes; knows neither ROS nor the terminal."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sentryfuse_core.account.latency import percentiles
from sentryfuse_core.clock import NS_PER_S
from sentryfuse_core.types import SensorState

__all__ = ["Box", "LiveState", "SensorLine"]

_WINDOW = 100  # sets that rate and latency are taken over


@dataclass(frozen=True)
class Box:
    """A detection or a true box on the map: centre in the base frame in m."""

    label: str
    x: float
    y: float


@dataclass(frozen=True)
class SensorLine:
    """One sensor's row."""

    name: str
    state: SensorState
    in_mask: bool
    rate_hz: float
    age_ms: float
    reason: str  # why it is not OK, or not used


@dataclass
class LiveState:
    """The newest of everything; `title`, `story` and `progress` are set by whoever runs the story."""

    title: str = ""
    story: str = ""
    faults: str = ""
    at_s: float = 0.0
    seconds: float = 0.0
    sensors: tuple[SensorLine, ...] = ()
    used: str = "none yet"
    anchor: str = ""
    level: int = 0
    pruning: str = ""
    kept: str = ""
    gmacs: float = math.nan
    level_reason: str = ""
    power_w: float = math.nan
    deadline_ms: float = math.nan
    backend: str = ""
    above_prior: bool = True
    recall: tuple[float, float] = (math.nan, math.nan)
    sets: int = 0
    skipped: int = 0
    boxes: tuple[Box, ...] = ()
    truth: Sequence[Box] = ()
    notes: tuple[str, ...] = ()
    _e2e_ms: deque[float] = field(default_factory=lambda: deque(maxlen=_WINDOW))
    _infer_ms: deque[float] = field(default_factory=lambda: deque(maxlen=_WINDOW))
    _stamps_ns: deque[int] = field(default_factory=lambda: deque(maxlen=_WINDOW))

    def take_status(self, status: Any) -> None:
        """Take a FusionStatus."""
        self.sensors = tuple(_sensor(item) for item in status.sensors)
        self.used = "+".join(status.used) or "none"
        self.anchor = status.anchor
        self.level, self.pruning = status.level, status.pruning
        heads = f"{status.heads_kept}/{status.heads_total} heads"
        self.kept = f"{heads}, {status.channels_kept}/{status.channels_total} channels"
        self.gmacs, self.level_reason = status.gmacs, status.level_reason
        self.power_w, self.deadline_ms = status.power_w, status.deadline_ms
        self.backend = f"{status.backend} on {status.device}, {status.checkpoint}"
        self.above_prior = status.above_prior
        self.recall = (status.mask_recall_4m, status.prior_recall_4m)
        self.skipped = status.skipped_sets
        self.notes = tuple(status.notes)
        self.sets += 1
        self._e2e_ms.append(status.e2e_ms)
        self._infer_ms.append(status.infer_ms)
        self._stamps_ns.append(status.header.stamp.sec * NS_PER_S + status.header.stamp.nanosec)

    def take_detections(self, array: Any) -> None:
        """Take a FusedDetectionArray."""
        self.boxes = tuple(
            Box(item.label, item.pose.position.x, item.pose.position.y) for item in array.detections
        )

    @property
    def stamp_ns(self) -> int:
        """Stamp of the newest set; 0 before the first."""
        return self._stamps_ns[-1] if self._stamps_ns else 0

    @property
    def rate_hz(self) -> float:
        """Sets a second over the last 20; NaN before the second one."""
        recent = list(self._stamps_ns)[-20:]
        if len(recent) < 2 or recent[-1] <= recent[0]:
            return math.nan
        return (len(recent) - 1) * NS_PER_S / (recent[-1] - recent[0])

    def latency_ms(self, stage: str) -> dict[str, float]:
        """Percentiles of `e2e` or `infer` over the last sets, in ms."""
        return percentiles(self._e2e_ms if stage == "e2e" else self._infer_ms)


def _sensor(health: Any) -> SensorLine:
    state = SensorState(health.state)
    return SensorLine(
        health.name, state, health.in_mask, health.rate_hz, health.age_ms, health.reason or health.absence
    )
