"""What the machine says of itself, as values: power and energy drawn, temperatures, throttling."""

from __future__ import annotations

import math
from dataclasses import dataclass

from sentryfuse_core.clock import NS_PER_S

__all__ = ["NO_READING", "STALE_NS", "MachineReading", "Zone"]

STALE_NS = 5 * NS_PER_S  # an older reading says nothing


@dataclass(frozen=True)
class Zone:
    """One thermometer."""

    name: str
    celsius: float
    trip_celsius: float = math.nan  # above which the machine slows itself down; NaN: it does not say


@dataclass(frozen=True, kw_only=True)
class MachineReading:
    """All of it at one moment, `at_ns` on the steady clock."""

    at_ns: int
    power_w: float = math.nan  # mean since the reading before, or now, as the source has it; NaN: not known
    power_source: str = ""  # e.g. 'RAPL package-0'
    energy_j: float = math.nan  # drawn since the first reading, by the same source; NaN: not known
    cpu_s: float = math.nan  # CPU time of this process since its start
    no_power: str = ""  # why `power_w` is NaN, with the remedy
    zones: tuple[Zone, ...] = ()
    throttling: str = ""  # what slows itself down because of heat; empty: nothing does


NO_READING = MachineReading(at_ns=0, no_power="no reading was taken")
