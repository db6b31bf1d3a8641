"""Heat by sysfs: thermal zones with their trip points, and the processor's counts of throttling."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from sentryfuse_core.budget.readings import Zone
from sentryfuse_core.errors import ReadingError
from sentryfuse_core.machine.sysfs import read_number, read_text

__all__ = ["ThermalZones", "Throttling"]

_SLOWING = ("passive", "hot")  # trip points at which the machine slows itself down or is told to
_PLAUSIBLE_C = (20.0, 150.0)  # firmware says 0 or -274 for 'not set'


class ThermalZones:
    """Every zone of the kernel: processor, board, GPU of a Jetson."""

    def __init__(self, sysfs: Path) -> None:
        self._found = tuple(_found(sysfs))

    def read(self) -> tuple[Zone, ...]:
        """Those that answer; a sleeping radio's thermometer does not."""
        zones = []
        for name, path, trip_celsius in self._found:
            with suppress(ReadingError):
                zones.append(Zone(name, read_number(path) * 1e-3, trip_celsius))
        return tuple(zones)


def _found(sysfs: Path) -> Iterator[tuple[str, Path, float]]:
    """Name, thermometer and trip point of each zone that says at least what it is."""
    for zone in sorted((sysfs / "class" / "thermal").glob("thermal_zone*")):
        with suppress(ReadingError):
            yield read_text(zone / "type"), zone / "temp", _trip_celsius(zone)


def _trip_celsius(zone: Path) -> float:
    """The lowest plausible temperature at which the machine is slowed down; NaN: it does not say."""
    low, high = _PLAUSIBLE_C
    trips = []
    for kind in sorted(zone.glob("trip_point_*_type")):
        with suppress(ReadingError):
            if read_text(kind) in _SLOWING:
                trips.append(read_number(kind.with_name(kind.name.replace("_type", "_temp"))) * 1e-3)
    return min((celsius for celsius in trips if low <= celsius <= high), default=math.nan)


class Throttling:
    """Counts of how often each core and package was throttled by heat, where the kernel keeps them."""

    def __init__(self, sysfs: Path) -> None:
        cpus = sysfs / "devices" / "system" / "cpu"
        self._counters = sorted(cpus.glob("cpu[0-9]*/thermal_throttle/*_throttle_count"))
        self._counts = self._read()

    def read(self) -> str:
        """'cpu was throttled by heat' since the last call; empty: it was not."""
        before, now = self._counts, self._read()
        self._counts = {**before, **now}
        rose = any(count > before.get(counter, count) for counter, count in now.items())
        return "cpu was throttled by heat" if rose else ""

    def _read(self) -> dict[Path, int]:
        """Those of the cores that are switched on."""
        counts: dict[Path, int] = {}
        for counter in self._counters:
            with suppress(ReadingError):
                counts[counter] = read_number(counter)
        return counts
