"""Power by the INA3221 chips of a Jetson: current times voltage of its supply rails."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sentryfuse_core.errors import ReadingError
from sentryfuse_core.machine.sysfs import read_number, read_text

__all__ = ["JetsonPower"]

_WHOLE = ("VDD_IN", "POM_5V_IN", "5V_IN")  # rails that feed the whole module
_UNCONNECTED = "NC"  # what channels are called that measure nothing, as on an AGX Orin: some cannot be read


@dataclass(frozen=True)
class _Rail:
    name: str
    factors: tuple[Path, ...]  # one file in mW, or two whose product is uW
    scale: float  # to W

    def power_w(self) -> float:
        power = self.scale
        for path in self.factors:
            power *= read_number(path)
        return power


class JetsonPower:
    """Power now, of the rail that feeds the module, or the sum of all rails where none does."""

    def __init__(self, sysfs: Path) -> None:
        """Raises ReadingError where there is no such chip or it may not be read."""
        rails = [rail for rail in (*_hwmon(sysfs), *_iio(sysfs)) if rail.name != _UNCONNECTED]
        if not rails:
            raise ReadingError("no INA3221 power sensor; only Jetson boards have them")
        self._rails = [rail for rail in rails if rail.name in _WHOLE] or rails
        self.source = f"INA3221 {'+'.join(rail.name for rail in self._rails)}"
        self.power_w(0)

    def power_w(self, _now_ns: int) -> float:
        """Power in W. Raises ReadingError."""
        return sum(rail.power_w() for rail in self._rails)


def _hwmon(sysfs: Path) -> Iterator[_Rail]:
    """JetPack 5 and later: in1..3_input in mV, curr1..3_input in mA."""
    for chip in sorted((sysfs / "class" / "hwmon").glob("hwmon*")):
        if not (chip / "name").is_file() or read_text(chip / "name") != "ina3221":
            continue
        for channel in (1, 2, 3):
            label, current = chip / f"in{channel}_label", chip / f"curr{channel}_input"
            if label.is_file() and current.is_file():
                yield _Rail(read_text(label), (chip / f"in{channel}_input", current), 1e-6)


def _iio(sysfs: Path) -> Iterator[_Rail]:
    """JetPack 4: in_power0..2_input in mW."""
    for chip in sorted((sysfs / "bus" / "i2c" / "drivers" / "ina3221x").glob("*/iio:device*")):
        for channel in (0, 1, 2):
            label, power = chip / f"rail_name_{channel}", chip / f"in_power{channel}_input"
            if label.is_file() and power.is_file():
                yield _Rail(read_text(label), (power,), 1e-3)
