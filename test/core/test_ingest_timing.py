"""What ingest tells of sensors whose timing does not suit the anchor's, and that its remedies help."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

import pytest
from builders import MS, S, sample

from sentryfuse_core.config import Config, override
from sentryfuse_core.ingest import Ingest
from sentryfuse_core.types import SensorReport, SensorState


@dataclass(frozen=True)
class Steady:
    """A steady sensor: when its messages come, and what its clock makes of when they were taken, in ms."""

    period: float
    lag: float
    phase: float = 0.0
    clock: float = 0.0
    busy: float = 0.0  # how much later everything comes in the last three seconds


def _steady(
    config: Config, rig: dict[str, Steady], seconds: float = 6.0, *, tick_ms: int = 1
) -> tuple[float, SensorReport]:
    """What share of the last sets used the last of these sensors, and what is told of it.

    The clock that stamps are compared with comes in steps of `tick_ms`.
    """
    ingest, items, [first, *_, last] = Ingest(config), [], rig
    for name, one in rig.items():
        apart_ns = round((one.clock / 1e3 - config.sensor(name).stamp_offset_s) * S)
        for index in range(round(seconds * 1e3 / one.period)):
            taken_ns = 100 * S + round((one.phase + index * one.period) * MS)
            busy = one.busy * (index * one.period > (seconds - 3.0) * 1e3)
            arrival_ns = taken_ns + round((one.lag + busy) * MS)
            item = sample(config.kind_of(name), taken_ns, arrival_ns=arrival_ns, name=name)
            received_ns = arrival_ns // (tick_ms * MS) * tick_ms * MS
            items.append(replace(item, stamp_ns=taken_ns + apart_ns, received_ns=received_ns))
    end_ns = max(item.arrival_ns for item in items if item.sensor == first)
    items = sorted((item for item in items if item.arrival_ns <= end_ns), key=lambda item: item.arrival_ns)
    used = []
    for item in items:
        ingest.sample(item)
        used += [last in ingest.trust(synced)[0] for synced in ingest.take()]
    used = used[-20:]
    return sum(used) / len(used), ingest.reports(items[-1].arrival_ns)[last]


def _remedied(config: Config, report: SensorReport, naming: str) -> Config:
    """With the option whose name has `naming` set as the remedy says."""
    told = re.findall(r"set (\S+) to (-?[\d.]*\d)", report.remedy)
    [(option, value)] = [found for found in told if naming in found[0]]
    return override(config, {option: float(value)})


SCANNER = Steady(100, lag=10)


@pytest.mark.parametrize("given", [{}, {"camera.stamp_offset_s": 0.2}, {"camera.stamp_offset_s": -0.1}])
def test_camera_is_used_when_its_stamp_offset_is_set_as_the_remedy_says(given: dict[str, float]) -> None:
    config, rig = override(Config(), given), {"lidar": SCANNER, "camera": Steady(66, lag=20, clock=300)}
    used, report = _steady(config, rig)
    assert (used, report.code) == (0.0, "clock_offset")
    used, report = _steady(_remedied(config, report, "stamp_offset_s"), rig)
    assert (used, report.code) == (1.0, "")


@pytest.mark.parametrize(
    ("given", "rig", "slow"),
    [
        ({}, {"lidar": SCANNER, "camera": Steady(66, lag=160)}, "camera"),
        ({"camera.expected_lag_s": 0.06}, {"lidar": SCANNER, "camera": Steady(66, lag=160)}, "camera"),
        (
            {"lidar.expected_lag_s": 0.03},
            {"lidar": Steady(100, lag=130), "camera": Steady(66, lag=20)},
            "lidar",
        ),
    ],
)
def test_camera_is_used_when_the_slow_one_is_told_as_the_remedy_says(
    given: dict[str, float], rig: dict[str, Steady], slow: str
) -> None:
    config = override(Config(), {**given, "sync.max_wait_s": 0.2})
    used, report = _steady(config, rig)
    assert (used, report.code) == (0.0, "clock_offset")
    used, report = _steady(_remedied(config, report, f"{slow}.expected_lag_s"), rig)
    assert (used, report.code) == (1.0, "")


TWO_LIDARS = {
    "sensors": ["front", "rear"],
    **{f"{name}.kind": "lidar" for name in ("front", "rear")},
    **{f"{name}.translation_m": (1.0, 0.0, 1.0) for name in ("front", "rear")},
}


@pytest.mark.parametrize(
    ("given", "rig", "option"),
    [
        (TWO_LIDARS, {"front": SCANNER, "rear": Steady(100, lag=10, phase=42)}, "slop_s"),
        (TWO_LIDARS, {"front": SCANNER, "rear": Steady(100, lag=10, phase=50)}, "slop_s"),
        (TWO_LIDARS, {"front": SCANNER, "rear": Steady(100, lag=10, phase=58)}, "slop_s"),
        (
            {"lidar.expected_rate_hz": 12.0},
            {"lidar": Steady(83, 10), "camera": Steady(83, 20, 41.6)},
            "slop_s",
        ),
        ({"camera.expected_lag_s": 0.15}, {"lidar": SCANNER, "camera": Steady(66, lag=160)}, "max_wait_s"),
        ({"camera.expected_lag_s": 0.09}, {"lidar": SCANNER, "camera": Steady(100, 75, 30)}, "max_wait_s"),
        ({}, {"lidar": SCANNER, "imu": Steady(10, lag=200)}, "max_wait_s"),
        ({}, {"lidar": SCANNER, "imu": Steady(10, lag=1, clock=-500)}, "imu.stamp_offset_s"),
        ({}, {"lidar": Steady(100, lag=10, clock=300), "imu": Steady(10, lag=1)}, "lidar.stamp_offset_s"),
        (
            {"imu.stamp_offset_s": -1.0},
            {"lidar": SCANNER, "imu": Steady(10, 1, clock=-5000)},
            "imu.stamp_off",
        ),
        ({}, {"lidar": SCANNER, "audio": Steady(20, lag=21, clock=-400)}, "audio.stamp_offset_s"),
    ],
)
def test_sensor_that_no_set_has_is_told_and_used_when_the_remedy_is_followed(
    given: dict[str, Any], rig: dict[str, Steady], option: str
) -> None:
    config = override(Config(), given)
    used, report = _steady(config, rig)
    assert (used, report.state, report.code) == (0.0, SensorState.DEGRADED, "unpaired")
    used, report = _steady(_remedied(config, report, option), rig)
    assert (used, report.state) == (1.0, SensorState.OK)


@pytest.mark.parametrize("name", ["imu", "audio"])
def test_sensor_is_told_to_be_ahead_and_used_on_when_its_stamps_come_before_their_time(name: str) -> None:
    rig = {"lidar": SCANNER, name: Steady(20, lag=21 if name == "audio" else 1, clock=400)}
    used, report = _steady(Config(), rig, 24.0)
    assert (used, report.code) == (1.0, "clock_ahead")
    used, report = _steady(_remedied(Config(), report, "stamp_offset_s"), rig, 24.0)
    assert (used, report.code) == (1.0, "")


@pytest.mark.parametrize(
    ("rig", "options"),
    [
        ({"lidar": SCANNER, "imu": Steady(10, lag=0)}, {"tick_ms": 100}),  # simulated time in long steps
        ({"lidar": SCANNER, "imu": Steady(10, lag=0, clock=-40)}, {}),
        ({"lidar": Steady(100, 10, clock=400), "imu": Steady(10, 1, clock=400)}, {}),  # of one other computer
        ({"lidar": SCANNER, "camera": Steady(1000, lag=20, phase=30)}, {}),
        ({"lidar": Steady(400, lag=10), "camera": Steady(33, lag=20)}, {}),
        ({"lidar": SCANNER, "camera": Steady(66, lag=20, busy=150)}, {}),  # the machine's load
        ({"lidar": SCANNER, "imu": Steady(10, lag=1, busy=300)}, {}),
    ],
)
def test_nothing_is_told_of_timing_when_a_sensor_is_only_slow_or_held_up(
    rig: dict[str, Steady], options: dict[str, int]
) -> None:
    *_, (_, report) = [_steady(Config(), rig, seconds, **options) for seconds in (3.5, 12.0, 24.0)]
    assert report.code not in ("unpaired", "clock_ahead", "clock_offset")


@pytest.mark.parametrize(
    "rig",
    [
        {"lidar": SCANNER, "camera": Steady(66, lag=20, clock=-60_000)},
        {"lidar": Steady(100, lag=10, clock=-60_000), "camera": Steady(66, lag=20)},
        {"lidar": SCANNER, "imu": Steady(10, lag=1, clock=-60_000)},
        {"lidar": SCANNER, "audio": Steady(20, lag=21, clock=-60_000)},
    ],
)
def test_remedy_names_no_value_that_an_option_refuses_when_clocks_are_a_minute_apart(
    rig: dict[str, Steady],
) -> None:
    used, report = _steady(Config(), rig, 24.0)
    assert (used, report.state) == (0.0, SensorState.DEGRADED)
    assert "stamp by one clock" in report.remedy
    for option, value in re.findall(r"set (\S+) to (-?[\d.]*\d)", report.remedy):
        override(Config(), {option: float(value)})  # raises where it is out of range
