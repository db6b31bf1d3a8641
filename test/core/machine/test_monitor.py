"""The monitor: the right source for the device, heat, and never an exception."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from sysfs import ina3221, rapl_zone, thermal_zone, write

from sentryfuse_core.budget import Zone
from sentryfuse_core.clock import NS_PER_S, ManualClock
from sentryfuse_core.machine import MachineMonitor


class NvmlError(Exception):
    """What pynvml raises."""


def fake_nvml(monkeypatch: pytest.MonkeyPatch, **changes: object) -> SimpleNamespace:
    """A module in nvidia-ml-py's place, with one GPU that draws 31.5 W at 62 C."""
    module = SimpleNamespace(
        NVMLError=NvmlError,
        NVML_TEMPERATURE_THRESHOLD_SLOWDOWN=1,
        NVML_TEMPERATURE_GPU=0,
        nvmlClocksThrottleReasonSwThermalSlowdown=0x20,
        nvmlClocksThrottleReasonHwThermalSlowdown=0x40,
        nvmlInit=lambda: None,
        nvmlDeviceGetHandleByIndex=lambda index: f"handle {index}",
        nvmlDeviceGetHandleByUUID=lambda name: f"handle {name}",
        nvmlDeviceGetPowerUsage=lambda _handle: 31_500,
        nvmlDeviceGetTemperature=lambda _handle, _sensor: 62,
        nvmlDeviceGetTemperatureThreshold=lambda _handle, _which: 87,
        nvmlDeviceGetCurrentClocksThrottleReasons=lambda _handle: 0x4,
    )
    for name, value in changes.items():
        setattr(module, name, value)
    monkeypatch.setitem(sys.modules, "pynvml", module)
    return module


def fail(*_args: object) -> None:
    raise NvmlError("Not Supported")


def test_cpu_is_read_by_rapl_and_by_a_jetsons_rails_where_it_has_them(tmp_path: Path) -> None:
    counter, clock = rapl_zone(tmp_path, "intel-rapl:0", "package-0"), ManualClock(0)
    monitor = MachineMonitor(gpu=None, sysfs=tmp_path, clock=clock)
    first = monitor.poll(7)
    assert (first.at_ns, first.no_power) == (7, "the first reading is yet to come")
    clock.advance(NS_PER_S)
    write(counter, 9_000_000)
    assert monitor.poll(8).power_w == pytest.approx(9.0)
    ina3221(tmp_path, 0, [("VDD_IN", 5000, 2000)])
    assert MachineMonitor(gpu=None, sysfs=tmp_path, clock=clock).poll(0).power_source == "INA3221 VDD_IN"


def test_energy_is_what_the_counter_counts_or_power_over_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counter, clock = rapl_zone(tmp_path, "intel-rapl:0", "package-0"), ManualClock(0)
    fake_nvml(monkeypatch)
    monitors = [MachineMonitor(gpu=gpu, sysfs=tmp_path, clock=clock) for gpu in (None, 0)]
    assert [monitor.poll(0).energy_j for monitor in monitors] == [0.0, 0.0]
    for joules in (6, 20):
        clock.advance(2 * NS_PER_S)
        write(counter, joules * 1_000_000)
        of_cpu, of_gpu = (monitor.poll(0).energy_j for monitor in monitors)
        assert of_cpu == pytest.approx(joules)
    assert of_gpu == pytest.approx(4 * 31.5)
    counter.unlink()
    clock.advance(NS_PER_S)
    assert monitors[0].poll(0).energy_j == pytest.approx(20)  # what is not counted is not made up
    without = MachineMonitor(gpu=None, sysfs=tmp_path / "nothing", clock=clock)
    first, _ = without.poll(0), sum(number * number for number in range(100_000))
    second = without.poll(0)
    assert math.isnan(second.energy_j)
    assert second.cpu_s > first.cpu_s


def test_gpu_is_read_by_nvml_and_never_by_the_processors_counter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rapl_zone(tmp_path, "intel-rapl:0", "package-0")
    fake_nvml(monkeypatch)
    reading = MachineMonitor(gpu=0, sysfs=tmp_path).poll(0)
    assert (reading.power_w, reading.power_source) == (pytest.approx(31.5), "NVML gpu 0")
    assert reading.zones == (Zone("gpu 0", 62.0, 87.0),)
    assert reading.throttling == ""
    monkeypatch.setitem(sys.modules, "pynvml", None)
    without = MachineMonitor(gpu=0, sysfs=tmp_path).poll(0)
    assert math.isnan(without.power_w)
    assert "NVML needs nvidia-ml-py; pip install" in without.no_power
    assert "no INA3221" in without.no_power


def test_gpu_tells_when_heat_slows_it_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_nvml(monkeypatch, nvmlDeviceGetCurrentClocksThrottleReasons=lambda _handle: 0x44)
    assert MachineMonitor(gpu=0, sysfs=tmp_path).poll(0).throttling == "gpu 0 was throttled by heat"


@pytest.mark.parametrize(
    ("visible", "index", "handle"), [("", 1, "1"), ("2,3", 1, "3"), ("GPU-abc", 0, "GPU-abc")]
)
def test_gpu_is_the_one_that_cuda_means(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, visible: str, index: int, handle: str
) -> None:
    asked: list[str] = []
    fake_nvml(monkeypatch, nvmlDeviceGetPowerUsage=lambda which: asked.append(which) or 1000)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    MachineMonitor(gpu=index, sysfs=tmp_path)
    assert asked == [f"handle {handle}"]


def test_monitor_goes_on_when_a_gpu_does_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_nvml(monkeypatch, nvmlInit=fail)
    assert "NVML does not start: Not Supported" in MachineMonitor(gpu=0, sysfs=tmp_path).poll(0).no_power
    module = fake_nvml(monkeypatch, nvmlDeviceGetTemperatureThreshold=fail)
    monitor = MachineMonitor(gpu=0, sysfs=tmp_path)
    assert math.isnan(monitor.poll(0).zones[0].trip_celsius)
    module.nvmlDeviceGetPowerUsage = module.nvmlDeviceGetTemperature = fail
    reading = monitor.poll(0)
    assert "NVML cannot read the GPU's power: Not Supported" in reading.no_power
    assert reading.zones == ()


def test_zones_have_the_trip_point_that_slows_the_machine(tmp_path: Path) -> None:
    thermal_zone(tmp_path, 0, "acpitz", 27_800, ("critical", 105_000))
    thermal_zone(tmp_path, 1, "cpu-thermal", 61_500, ("active", 50_000), ("hot", 95_000), ("passive", 90_000))
    thermal_zone(tmp_path, 2, "x86_pkg_temp", 70_000, ("passive", 0), ("passive", -274_000))
    radio = thermal_zone(tmp_path, 3, "iwlwifi_1", "")
    found = {zone.name: zone for zone in MachineMonitor(gpu=None, sysfs=tmp_path).poll(0).zones}
    assert found["cpu-thermal"] == Zone("cpu-thermal", 61.5, 90.0)
    assert math.isnan(found["acpitz"].trip_celsius)
    assert math.isnan(found["x86_pkg_temp"].trip_celsius)
    assert "iwlwifi_1" not in found
    radio.unlink()
    assert len(MachineMonitor(gpu=None, sysfs=tmp_path).poll(0).zones) == 3


def test_throttling_is_told_once_for_every_time_it_happened(tmp_path: Path) -> None:
    folder = tmp_path / "devices" / "system" / "cpu" / "cpu0" / "thermal_throttle"
    counter = write(folder / "core_throttle_count", 4)
    package = write(folder / "package_throttle_count", 9)
    monitor = MachineMonitor(gpu=None, sysfs=tmp_path)
    assert monitor.poll(0).throttling == ""
    write(counter, 5)
    assert monitor.poll(0).throttling == "cpu was throttled by heat"
    assert monitor.poll(0).throttling == ""
    counter.unlink()  # as when a core is switched off
    assert monitor.poll(0).throttling == ""
    write(package, 10)
    assert monitor.poll(0).throttling == "cpu was throttled by heat"


def test_machine_without_sensors_says_why(tmp_path: Path) -> None:
    reading = MachineMonitor(gpu=None, sysfs=tmp_path).poll(3)
    assert reading.zones == ()
    assert "no INA3221" in reading.no_power
    assert "no RAPL package" in reading.no_power


def test_published_bindings_have_every_name_that_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    published = pytest.importorskip("pynvml", reason="needs nvidia-ml-py")
    assert set(vars(fake_nvml(monkeypatch))) <= set(dir(published))
