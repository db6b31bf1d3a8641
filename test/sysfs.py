"""Miniature sysfs trees, as RAPL, Jetson boards and the thermal drivers make them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


def write(path: Path, value: object) -> Path:
    """One value in one file; folders are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{value}\n")
    return path


def rapl_zone(
    sysfs: Path, zone: str, name: str, *, energy_uj: int = 0, range_uj: int = 262_143_328_850
) -> Path:
    """A zone of powercap; returns its counter."""
    folder = sysfs / "class" / "powercap" / zone
    write(folder / "name", name)
    write(folder / "max_energy_range_uj", range_uj)
    return write(folder / "energy_uj", energy_uj)


def ina3221(sysfs: Path, index: int, rails: Sequence[tuple[str, int, int]]) -> Path:
    """A chip under hwmon, rails as (name, mV, mA); returns its folder."""
    chip = sysfs / "class" / "hwmon" / f"hwmon{index}"
    write(chip / "name", "ina3221")
    for channel, (name, millivolts, milliamperes) in enumerate(rails, start=1):
        write(chip / f"in{channel}_label", name)
        write(chip / f"in{channel}_input", millivolts)
        write(chip / f"curr{channel}_input", milliamperes)
    write(chip / "in7_label", "sum of shunt voltages")
    return chip


def thermal_zone(sysfs: Path, index: int, name: str, millicelsius: object, *trips: tuple[str, int]) -> Path:
    """A thermal zone with trip points (kind, millicelsius); returns its thermometer."""
    zone = sysfs / "class" / "thermal" / f"thermal_zone{index}"
    write(zone / "type", name)
    for number, (kind, temperature) in enumerate(trips):
        write(zone / f"trip_point_{number}_type", kind)
        write(zone / f"trip_point_{number}_temp", temperature)
    return write(zone / "temp", millicelsius)
