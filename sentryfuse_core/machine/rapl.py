"""Power by RAPL: energy counters of whole processor packages, Intel's and AMD's, in powercap's sysfs."""

from __future__ import annotations

import math
import re
from pathlib import Path

from sentryfuse_core.clock import NS_PER_S
from sentryfuse_core.errors import ReadingError
from sentryfuse_core.machine.sysfs import read_number, read_text

__all__ = ["RaplPower"]

_ZONE = re.compile(r"intel-rapl:\d+")  # not its parts (intel-rapl:0:0), nor the same counter by MMIO


class RaplPower:
    """Mean power of all packages since the reading before; everything that runs on them is in it."""

    def __init__(self, sysfs: Path) -> None:
        """Raises ReadingError where there is no counter or it may not be read."""
        folder = sysfs / "class" / "powercap"
        zones = sorted(folder.glob("intel-rapl:*")) if folder.is_dir() else []
        named = {zone: read_text(zone / "name") for zone in zones if _ZONE.fullmatch(zone.name)}
        packages = {zone: name for zone, name in named.items() if name.startswith("package")}
        if not packages:
            raise ReadingError(f"no RAPL package in {folder}; containers and virtual machines have none")
        self.source = f"RAPL {', '.join(packages.values())}"
        self._counters = tuple(zone / "energy_uj" for zone in packages)
        self._ranges_uj = tuple(read_number(zone / "max_energy_range_uj") for zone in packages)
        self._energies_uj = self._read()
        self._at_ns: int | None = None

    def power_w(self, now_ns: int) -> float:
        """Mean since the last call; NaN the first time. Raises ReadingError."""
        before_uj, before_ns = self._energies_uj, self._at_ns
        self._energies_uj, self._at_ns = self._read(), now_ns
        if before_ns is None or now_ns <= before_ns:
            return math.nan
        used_uj = sum(
            (after - before) % (range_uj + 1)  # the counter begins at 0 again after its range
            for after, before, range_uj in zip(self._energies_uj, before_uj, self._ranges_uj, strict=True)
        )
        return used_uj * 1e-6 * NS_PER_S / (now_ns - before_ns)

    def _read(self) -> tuple[int, ...]:
        return tuple(read_number(counter) for counter in self._counters)
