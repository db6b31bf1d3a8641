"""How a sensor stands: its state, what is known of it, and changes of its state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum

from sentryfuse_core.types.modality import Modality

__all__ = ["SensorReport", "SensorState", "Transition"]


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

    modality: Modality  # its kind
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
    name: str = ""  # the sensor's; empty: it is called like its kind

    @property
    def sensor(self) -> str:
        """Name of the sensor."""
        return self.name or self.modality.value

    @property
    def disabled(self) -> bool:
        """Whether nobody wants this sensor."""
        return self.code == "disabled"


@dataclass(frozen=True)
class Transition:
    """A sensor went from one state to another."""

    modality: Modality  # its kind
    at_ns: int  # steady clock
    before: SensorState
    after: SensorState
    reason: str
    remedy: str
    code: str = ""  # stable name of the finding behind it, such as "timeout" or "frozen"; empty: it is well
    name: str = ""  # the sensor's; empty: it is called like its kind

    @property
    def sensor(self) -> str:
        """Name of the sensor."""
        return self.name or self.modality.value
