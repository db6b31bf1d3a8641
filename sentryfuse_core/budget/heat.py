"""HeatLimit: narrower while the machine is too hot or slows itself down, wider again once it has cooled."""

from __future__ import annotations

import math

from sentryfuse_core.budget.readings import MachineReading, Zone
from sentryfuse_core.budget.stepper import Stepper
from sentryfuse_core.budget.wish import Wish

__all__ = ["HeatLimit", "hottest"]

_COOLED_C = 5.0  # this far below its limit a zone has cooled down
_SETTLE_S = 5.0  # between two steps of level: heat is slow
_HOLD_S = 10.0


class HeatLimit:
    """Every zone has the limit given, or its own trip point."""

    def __init__(self, levels: int) -> None:
        self._stepper = Stepper(last=levels - 1, settle_s=_SETTLE_S, hold_s=_HOLD_S)
        self._read_ns = -1

    def wish(self, limit_celsius: float, machine: MachineReading) -> Wish:
        """The level for these temperatures; `limit_celsius` 0: each zone's own trip point."""
        zone = hottest(machine.zones, limit_celsius)
        over_celsius = -math.inf if zone is None else zone.celsius - zone.trip_celsius
        hot = bool(machine.throttling) or over_celsius > 0
        if machine.at_ns != self._read_ns:
            self._read_ns = machine.at_ns
            cooled = not machine.throttling and over_celsius <= -_COOLED_C
            self._stepper.step(machine.at_ns, over=hot, under=cooled)
        return Wish(self._stepper.level, f"thermal: {_told(zone, machine.throttling, over_celsius)}")

    def reset(self) -> None:
        """Forget what was: there are no readings any more, or nobody wants to know."""
        self._stepper.reset()


def hottest(zones: tuple[Zone, ...], limit_celsius: float) -> Zone | None:
    """The zone closest to its limit or furthest above it, with that limit; None: no zone has one."""
    limited = [
        Zone(zone.name, zone.celsius, limit_celsius or zone.trip_celsius)
        for zone in zones
        if limit_celsius or not math.isnan(zone.trip_celsius)
    ]
    return max(limited, key=lambda zone: zone.celsius - zone.trip_celsius, default=None)


def _told(zone: Zone | None, throttling: str, over_celsius: float) -> str:
    if throttling or zone is None:
        return throttling or "cooling down"
    text = f"{zone.name} {zone.celsius:.0f} C"
    if over_celsius > 0:
        return f"{text} is above {zone.trip_celsius:.0f} C"
    return f"{text}, cooling down to {zone.trip_celsius - _COOLED_C:.0f} C"
