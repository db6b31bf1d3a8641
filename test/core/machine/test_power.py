"""Power sensors on miniature sysfs trees: RAPL's counters and a Jetson's rails."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sysfs import ina3221, rapl_zone, write

from sentryfuse_core.clock import NS_PER_S
from sentryfuse_core.errors import ReadingError
from sentryfuse_core.machine.jetson import JetsonPower
from sentryfuse_core.machine.rapl import RaplPower

UJ = 1_000_000  # a joule


def test_rapl_is_the_mean_since_the_last_reading(tmp_path: Path) -> None:
    counter = rapl_zone(tmp_path, "intel-rapl:0", "package-0", energy_uj=5 * UJ)
    power = RaplPower(tmp_path)
    assert power.source == "RAPL package-0"
    assert math.isnan(power.power_w(0))
    write(counter, 35 * UJ)
    assert power.power_w(2 * NS_PER_S) == pytest.approx(15.0)
    assert power.power_w(3 * NS_PER_S) == 0.0


def test_rapl_adds_packages_and_nothing_that_is_part_of_them(tmp_path: Path) -> None:
    names = {
        "intel-rapl:0": "package-0",
        "intel-rapl:0:0": "core",
        "intel-rapl:1": "package-1",
        "intel-rapl:2": "psys",
        "intel-rapl-mmio:0": "package-0",
    }
    counters = [rapl_zone(tmp_path, zone, name) for zone, name in names.items()]
    power = RaplPower(tmp_path)
    power.power_w(0)
    for counter in counters:
        write(counter, 10 * UJ)
    assert power.source == "RAPL package-0, package-1"
    assert power.power_w(NS_PER_S) == pytest.approx(20.0)


@given(st.integers(0, 1000), st.integers(0, 1000))
def test_rapl_is_right_when_the_counter_wraps(
    tmp_path_factory: pytest.TempPathFactory, start: int, used: int
) -> None:
    """A counter that counts 0 to 1000 J, whatever it stands at."""
    sysfs = tmp_path_factory.mktemp("sysfs")
    range_uj = 1000 * UJ
    counter = rapl_zone(sysfs, "intel-rapl:0", "package-0", energy_uj=start * UJ, range_uj=range_uj)
    power = RaplPower(sysfs)
    power.power_w(0)
    write(counter, (start + used) * UJ % (range_uj + 1))
    assert power.power_w(10 * NS_PER_S) == pytest.approx(used / 10)


def test_rapl_names_the_remedy_when_it_may_not_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counter = rapl_zone(tmp_path, "intel-rapl:0", "package-0")
    read = Path.read_text

    def refuse(path: Path, **options: str) -> str:
        if path == counter:
            raise PermissionError(13, "Permission denied")
        return read(path, **options)

    monkeypatch.setattr(Path, "read_text", refuse)  # root, as in containers, may read every file
    with pytest.raises(ReadingError, match=f"sudo chmod a\\+r {counter}$"):
        RaplPower(tmp_path)


def test_rapl_says_so_when_there_is_none(tmp_path: Path) -> None:
    with pytest.raises(ReadingError, match="no RAPL package"):
        RaplPower(tmp_path)
    counter = rapl_zone(tmp_path, "intel-rapl:0", "package-0")
    counter.unlink()
    with pytest.raises(ReadingError, match="cannot read"):
        RaplPower(tmp_path)
    write(counter, "rubbish")
    with pytest.raises(ReadingError, match="'rubbish', not a number"):
        RaplPower(tmp_path)


def test_jetson_is_the_rail_that_feeds_the_module(tmp_path: Path) -> None:
    chip = ina3221(
        tmp_path, 3, [("VDD_IN", 5000, 2400), ("VDD_CPU_GPU_CV", 5000, 900), ("VDD_SOC", 5000, 400)]
    )
    write(tmp_path / "class" / "hwmon" / "hwmon0" / "name", "nvme")
    power = JetsonPower(tmp_path)
    assert power.source == "INA3221 VDD_IN"
    assert power.power_w(0) == pytest.approx(12.0)
    write(chip / "curr1_input", 3000)
    assert power.power_w(0) == pytest.approx(15.0)


def test_jetson_adds_rails_when_none_feeds_them_all(tmp_path: Path) -> None:
    ina3221(tmp_path, 1, [("VDD_GPU_SOC", 19000, 500), ("VDD_CPU_CV", 19000, 250)])
    ina3221(tmp_path, 2, [("VIN_SYS_5V0", 5000, 1000)])
    power = JetsonPower(tmp_path)
    assert power.source == "INA3221 VDD_GPU_SOC+VDD_CPU_CV+VIN_SYS_5V0"
    assert power.power_w(0) == pytest.approx(9.5 + 4.75 + 5.0)


def test_jetson_reads_no_channel_that_is_not_connected(tmp_path: Path) -> None:
    ina3221(tmp_path, 1, [("VDD_GPU_SOC", 19000, 500)])
    chip = ina3221(tmp_path, 2, [("NC", 0, 0), ("VDDQ_VDD2_1V8AO", 5000, 100)])
    write(chip / "curr1_input", "")  # what reading a channel that is switched off comes to
    power = JetsonPower(tmp_path)
    assert power.source == "INA3221 VDD_GPU_SOC+VDDQ_VDD2_1V8AO"
    assert power.power_w(0) == pytest.approx(9.5 + 0.5)


def test_jetson_of_an_older_jetpack_is_read_in_milliwatts(tmp_path: Path) -> None:
    chip = tmp_path / "bus" / "i2c" / "drivers" / "ina3221x" / "6-0040" / "iio:device0"
    for channel, (name, milliwatts) in enumerate([("POM_5V_IN", 4200), ("POM_5V_GPU", 1200)]):
        write(chip / f"rail_name_{channel}", name)
        write(chip / f"in_power{channel}_input", milliwatts)
    assert JetsonPower(tmp_path).power_w(0) == pytest.approx(4.2)
