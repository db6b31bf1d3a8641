"""The health monitor: how each state is entered and left."""

from __future__ import annotations

import pytest
from builders import MS, S, sample
from health_bench import Bench

from sentryfuse_core.config import Config
from sentryfuse_core.health.monitor import HealthMonitor
from sentryfuse_core.types import Modality, SensorState

CAMERA, LIDAR, IMU, AUDIO = Modality
INIT, OK, DEGRADED, LOST, RECOVERING = SensorState
TIMEOUT_NS = {CAMERA: 200 * MS, LIDAR: 350 * MS, IMU: 250 * MS, AUDIO: 200 * MS}


def test_sensor_is_in_init_with_a_remedy_when_nothing_came() -> None:
    monitor = HealthMonitor(Config(), topics={CAMERA: "/front/image"})
    report = monitor.reports(S)[CAMERA]
    assert report.state is INIT
    assert "/front/image" in report.remedy
    assert monitor.lost() == monitor.trusted() == frozenset()
    assert monitor.next_deadline_ns() is None
    monitor.observe(sample(CAMERA, S))
    assert monitor.trusted() == {CAMERA}  # at once when it first speaks


def test_sensor_is_lost_at_its_timeout_when_it_falls_silent(bench: Bench) -> None:
    last_ns = bench.now_ns
    bench.wait(2 * S)
    [transition] = bench.transitions[1:]
    assert transition.after is LOST
    assert transition.at_ns == last_ns + max(TIMEOUT_NS[bench.modality], 3 * bench.period_ns)
    assert transition.reason.startswith("no new message for")
    assert transition.remedy
    assert bench.monitor.lost() == {bench.modality}
    assert bench.report.age_ms == 2000.0


def test_sensor_stays_ok_when_it_is_healthy_for_long(bench: Bench) -> None:
    bench.good(20.0)
    assert bench.history == [OK]
    report = bench.report
    assert report.rate_hz == pytest.approx(S / bench.period_ns, rel=0.01)
    assert report.expected_hz == pytest.approx(S / bench.period_ns, rel=0.01)


def test_sensor_recovers_only_after_a_second_when_it_comes_back(bench: Bench) -> None:
    bench.wait(2 * S)
    bench.send()
    back_ns = bench.now_ns
    bench.good(1.5)
    assert bench.history == [OK, LOST, RECOVERING, OK]
    assert S <= bench.transitions[-1].at_ns - back_ns <= S + bench.period_ns
    assert bench.monitor.trusted() == {bench.modality}


def _hold_s(bench: Bench) -> float:
    """How long the sensor takes to be OK again once it sends again."""
    bench.wait(S)
    bench.send()
    back_ns = bench.now_ns
    while bench.state is not OK:
        bench.send()
    return round((bench.now_ns - back_ns) / S)


def test_recovery_takes_twice_as_long_when_a_sensor_relapses_until_it_was_well_for_long() -> None:
    bench = Bench(IMU)
    bench.good(3.0)
    assert [_hold_s(bench) for _ in range(7)] == [1, 2, 4, 8, 16, 16, 16]
    bench.good(40.0)
    assert _hold_s(bench) == 1


def test_slow_sensor_starts_when_its_period_is_longer_than_the_timeout_floor() -> None:
    bench = Bench(CAMERA, health__slowest_camera_hz=0.0)
    bench.period_ns = S
    bench.good(12.0)
    assert bench.state is OK
    assert bench.history.count(LOST) <= 1


@pytest.mark.parametrize("away_s", [2, 60])
def test_sensor_is_used_again_and_told_slow_when_it_comes_back_at_another_pace(away_s: int) -> None:
    bench = Bench(CAMERA)
    bench.good(5.0)
    bench.wait(away_s * S)
    bench.period_ns = S
    bench.good(20.0)
    assert bench.state is DEGRADED
    assert (bench.report.code, bench.monitor.trusted()) == ("rate", {CAMERA})
    assert bench.report.expected_hz == pytest.approx(15.0, rel=0.01)


def test_sensor_is_lost_as_soon_as_before_when_it_came_back_from_a_silence(bench: Bench) -> None:
    bench.wait(5 * S)
    bench.good(1.5)
    assert bench.state is OK
    last_ns = bench.now_ns
    bench.wait(S)
    assert bench.transitions[-1].after is LOST
    silent_ns = bench.transitions[-1].at_ns - last_ns
    assert silent_ns == max(TIMEOUT_NS[bench.modality], 3 * bench.period_ns)
