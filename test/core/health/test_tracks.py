"""Criteria that need more than one message, and stamps of another clock, beside what looks like them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from builders import MS, S, audio_block, imu_reading
from health_bench import Bench

from sentryfuse_core.config import Config, HealthConfig
from sentryfuse_core.health import detection_time_s
from sentryfuse_core.health.clocks import is_zero_stamp
from sentryfuse_core.health.rate import RateMeter
from sentryfuse_core.health.tracks import AudioGaps, ImuUnits, StuckAxis
from sentryfuse_core.types import Modality, SensorState


def _values(seed: int) -> tuple[list[float], list[float]]:
    reading = imu_reading(seed)
    return reading.angular_velocity.tolist(), reading.linear_acceleration.tolist()


def _stuck(axis: int | None, *, from_reading: int = 10, every_axis: bool = False) -> str | None:
    track, found = StuckAxis(HealthConfig()), None
    held = _values(from_reading)
    for index in range(400):
        gyro, accel = held if every_axis else _values(index)
        if axis is not None and index >= from_reading:
            gyro[axis] = held[0][axis]
        found = track.look((gyro, accel), S + index * 5 * MS)
    return None if found is None else found.code


def test_stuck_axis_is_found_when_the_other_axes_move() -> None:
    assert _stuck(1) == "stuck_axis"


def test_stuck_axis_is_not_found_when_the_robot_stands_still_or_the_axis_never_moved() -> None:
    assert _stuck(None) is None
    assert _stuck(1, from_reading=0) is None
    assert _stuck(None, every_axis=True) is None  # that is a frozen sensor, told as such


def test_axis_is_doubted_long_before_it_is_told_stuck() -> None:
    track, doubted = StuckAxis(HealthConfig()), []
    for index in range(100):
        gyro, accel = _values(index)
        gyro[0] = 0.1 + _values(min(index, 50))[0][0]
        track.look((gyro, accel), S + index * 5 * MS)
        doubted.append(track.doubtful)
    assert doubted == [index >= 70 for index in range(100)]


def test_axis_is_not_doubted_when_its_values_are_repeated_until_the_next_is_measured() -> None:
    track = StuckAxis(HealthConfig())
    for index in range(1000):  # 1 kHz of a gyro beside an accelerometer of 50 Hz
        track.look((_values(index)[0], _values(index // 20)[1]), S + index * MS)
        assert not track.doubtful


def test_axis_is_not_doubted_when_a_quiet_one_is_told_in_steps_larger_than_its_noise() -> None:
    """A gyro of 16 bits for 2000 degrees per second, with a low pass: its readings tell every turn."""
    track, random, step = StuckAxis(HealthConfig()), np.random.default_rng(0), 0.00107
    for index in range(2000):
        quiet = np.rint(random.normal([0.004, -0.006], 0.0002) / step) * step
        track.look(([*quiet.tolist(), 0.3 * np.sin(0.01 * index)], _values(index)[1]), S + index * 5 * MS)
        assert not track.doubtful


def _units(accel: float, gyro: float, *, spread: float = 0.2, seconds: float = 5.0) -> str:
    """The last reason that readings of these magnitudes lead to."""
    track, found, random = ImuUnits(), None, np.random.default_rng(0)
    for index in range(round(seconds * 100)):
        accels = random.normal([0.0, 0.0, accel], spread * max(accel, 1.0))
        gyros = random.normal([0.0, 0.0, gyro], 0.1)
        found = track.look((gyros.tolist(), accels.tolist()), S + index * 10 * MS, sound=True)
    return "" if found is None else found.reason


@pytest.mark.parametrize(
    ("accel", "gyro", "told"),
    [
        (9.81, 0.0, ""),
        (9.81, 3.0, ""),
        (12.0, 0.0, ""),
        (1.0, 0.0, "like g"),
        (0.0, 0.0, "without gravity"),
        (981.0, 0.0, "another unit"),
        (9.81, 40.0, "degrees per second"),
    ],
)
def test_units_of_an_imu_are_told_when_gravity_has_another_size(accel: float, gyro: float, told: str) -> None:
    reason = _units(accel, gyro)
    assert told in reason
    assert bool(reason) == bool(told)


@pytest.mark.parametrize("accel", [9.81, 1.0])
def test_gyro_in_degrees_is_remembered_when_the_robot_goes_straight_on_for_a_while(accel: float) -> None:
    track, wrong = ImuUnits(), []
    for second in range(60):
        for index in range(100):
            turn = [0.0, 0.0, 30.0 if 5 <= second < 9 else 0.3]
            track.look((turn, [0.0, 0.0, accel]), second * S + index * 10 * MS, sound=True)
        wrong.append(track.turns_wrongly)
    assert not any(wrong[:5])
    assert all(wrong[9:35])
    assert not any(wrong[45:])


def test_gyro_in_degrees_is_found_when_it_is_at_the_end_of_its_range_now_and_then() -> None:
    track = ImuUnits()
    for index in range(500):
        track.look(([0.0, 0.0, 20.0], [0.0, 0.0, 9.81]), S + index * 10 * MS, sound=bool(index % 50))
    assert track.turns_wrongly


def test_units_are_not_judged_by_readings_that_are_bad_already_or_by_a_moment() -> None:
    assert not _units(1.0, 0.0, seconds=1.5)
    track = ImuUnits()
    for index in range(500):
        assert track.look(([34.9] * 3, [200.0] * 3), S + index * 10 * MS, sound=False) is None


@pytest.mark.parametrize(("step_ms", "jitter_ms", "code"), [(20, 0, None), (20, 4, None), (24, 0, "gapped")])
def test_audio_gaps_are_found_when_stamps_outrun_the_samples(
    step_ms: int, jitter_ms: int, code: str | None
) -> None:
    track, found = AudioGaps(HealthConfig()), None
    for index in range(100):
        found = track.look(audio_block(), S + (index * step_ms + jitter_ms * (index % 2)) * MS)
    assert (None if found is None else found.code) == code


def test_rate_is_learned_over_time_when_messages_come_in_bursts() -> None:
    meter = RateMeter(0.0)
    for _ in range(6):
        for index in range(100):  # 100 Hz in packets of a second
            meter.learn(901 * MS if index == 0 else MS)
    assert meter.expected_hz == pytest.approx(100.0, rel=0.15)


def test_sensor_is_degraded_when_it_is_slow_from_the_start() -> None:
    bench = Bench(Modality.IMU)
    bench.period_ns = 200 * MS
    bench.good(16.0)
    assert (bench.state, bench.report.code) == (SensorState.DEGRADED, "slow")
    assert "learned rate 5 Hz is below 20 Hz" in bench.report.reason


def test_sensor_is_degraded_when_its_stamps_are_of_another_clock() -> None:
    bench = Bench(Modality.CAMERA)
    bench.send()
    for _ in range(11):
        bench.wait(bench.period_ns)
        bench.send(replace(bench.sample(), received_ns=bench.now_ns + 3600 * S), step_ns=0)
    assert (bench.state, bench.report.code) == (SensorState.DEGRADED, "other_clock")
    assert "use_sim_time" in bench.report.remedy


@pytest.mark.parametrize(
    ("reason", "ahead_s", "code"),
    [
        ("future_stamp", 2.0, "future_stamp"),
        ("future_stamp", 900.0, "other_clock"),
        ("zero_stamp", -900.0, "zero_stamp"),
    ],
)
def test_sensor_is_lost_when_ten_stamps_in_a_row_cannot_be_right(
    reason: str, ahead_s: float, code: str
) -> None:
    bench = Bench(Modality.LIDAR)
    bench.send()
    bench.invalid(10, reason=reason, offset_ns=-round(ahead_s * S))
    assert (bench.state, bench.report.code) == (SensorState.LOST, code)
    assert bench.report.invalid_reasons == {reason: 10}


def test_zero_stamp_is_told_only_when_the_clock_says_otherwise() -> None:
    assert is_zero_stamp(0, 1000 * S, 10 * S)
    assert not is_zero_stamp(0, 2 * S, 10 * S)  # simulated time that has just begun
    assert not is_zero_stamp(5 * S, 1000 * S, 10 * S)


def test_detection_time_follows_the_rate() -> None:
    slow = detection_time_s("frozen", Config(), modality=Modality.IMU, rate_hz=100.0)
    assert slow == pytest.approx(0.21)
    assert np.isclose(detection_time_s("frozen", Config(), modality=Modality.IMU, rate_hz=200.0), slow / 2)
    with pytest.raises(KeyError):
        detection_time_s("mood", Config(), modality=Modality.IMU, rate_hz=1.0)
