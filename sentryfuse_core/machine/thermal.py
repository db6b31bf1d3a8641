"""Heat by sysfs: thermal zones with their trip points, and the processor's counts of throttling."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from sentryfuse_core.budget.readings import Zone
from sentryfuse_core.errors import ReadingError
from sentryfuse_core.machine.sysfs import read_number, read_text

__all__ = ["ThermalZones", "Throttling"]

_SLOWING = ("passive", "hot")  # trip points at which the machine slows itself down or is told to
_PLAUSIBLE_C = (20.0, 150.0)  # firmware says 0 or -274 for 'not set'


@dataclass(frozen=True)
class _Thermometer:
    name: str
    path: Path
    trip_celsius: float


class ThermalZones:
    """Every zone of the kernel: processor, board, GPU of a Jetson."""

    def __init__(self, sysfs: Path) -> None:
        found = (_thermometer(zone) for zone in sorted((sysfs / "class" / "thermal").glob("thermal_zone*")))
        self._thermometers = tuple(meter for meter in found if meter is not None)

    def read(self) -> tuple[Zone, ...]:
        """Those that answer; a sleeping radio's thermometer does not."""
        zones = []
        for meter in self._thermometers:
            try:
                celsius = read_number(meter.path) * 1e-3
            except ReadingError:
                continue
            zones.append(Zone(meter.name, celsius, meter.trip_celsius))
        return tuple(zones)


def _thermometer(zone: Path) -> _Thermometer | None:
    """The zone with its lowest plausible trip point; None: it does not even say what it is."""
    try:
        name = read_text(zone / "type")
    except ReadingError:
        return None
    low, high = _PLAUSIBLE_C
    trips = [_trip_celsius(kind) for kind in sorted(zone.glob("trip_point_*_type"))]
    trip_celsius = min((celsius for celsius in trips if low <= celsius <= high), default=math.nan)
    return _Thermometer(name, zone / "temp", trip_celsius)


def _trip_celsius(kind: Path) -> float:
    """The temperature at which the machine is slowed down; NaN: this trip point is of another kind."""
    try:
        if read_text(kind) in _SLOWING:
            return read_number(kind.with_name(kind.name.replace("_type", "_temp"))) * 1e-3
    except ReadingError:
        pass
    return math.nan


class Throttling:
    """Counts of how often each core and package was throttled by heat, where the kernel keeps them."""

    def __init__(self, sysfs: Path) -> None:
        cpus = sysfs / "devices" / "system" / "cpu"
        self._counters = sorted(cpus.glob("cpu[0-9]*/thermal_throttle/*_throttle_count"))
        self._count = 0
        self._count = self._read()

    def read(self) -> str:
        """'cpu was throttled by heat' since the last call; empty: it was not."""
        before, self._count = self._count, self._read()
        return "cpu was throttled by heat" if self._count > before else ""

    def _read(self) -> int:
        try:
            return sum(read_number(counter) for counter in self._counters)
        except ReadingError:  # a core was switched off
            return self._count
