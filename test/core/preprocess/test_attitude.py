"""Attitude: follows bumps, forgets, and is not fooled for long by braking."""

from __future__ import annotations

import math

import numpy as np
import pytest
from builders import S

from sentryfuse_core.preprocess.attitude import MOST_TILT_RAD, AttitudeFilter

STEP_NS = 5_000_000  # 200 Hz
GRAVITY = (0.0, 0.0, 9.81)


def update(
    attitude: AttitudeFilter, rates: np.ndarray, forces: np.ndarray, *, first: int = 0, source: str = ""
) -> tuple[float, float]:
    """Roll and pitch after rates and forces [N, 3], from the `first` step on, as of the last."""
    stamps_ns = [index * STEP_NS for index in range(first, first + len(rates))]
    readings = np.stack((rates, forces), axis=1)
    return attitude.update(stamps_ns, readings, end_ns=stamps_ns[-1], source=source)


def steady(roll_rate: float, readings: int) -> tuple[np.ndarray, np.ndarray]:
    """Rates and forces [N, 3] of a robot that rolls and feels none of it."""
    return np.tile((roll_rate, 0.0, 0.0), (readings, 1)), np.tile(GRAVITY, (readings, 1))


def bumpy(seconds: float, *, amplitude: float = 0.05, hertz: float = 0.8) -> list[np.ndarray]:
    """Pitch over time in rad, and the rates and forces that an IMU feels of it."""
    t = np.arange(0, seconds, 0.005)
    pitch = amplitude * np.sin(2 * math.pi * hertz * t)
    rate = amplitude * 2 * math.pi * hertz * np.cos(2 * math.pi * hertz * t)
    nothing = np.zeros_like(t)
    forces = 9.81 * np.stack((-np.sin(pitch), nothing, np.cos(pitch)), axis=-1)
    return [pitch, np.stack((nothing, rate, nothing), axis=-1), forces]


def test_attitude_follows_the_pitch_when_the_ground_is_bumpy() -> None:
    pitch, rates, forces = bumpy(6.0)
    attitude = AttitudeFilter()
    found = [update(attitude, rates[k : k + 1], forces[k : k + 1], first=k)[1] for k in range(len(pitch))]
    assert (found - pitch)[400:].std() < 0.4 * pitch.std()


def test_attitude_gives_the_same_when_the_readings_come_in_other_portions() -> None:
    _, rates, forces = bumpy(2.0)
    whole, parts = AttitudeFilter(), AttitudeFilter()
    for end in range(20, len(rates) + 1, 20):
        part = slice(max(0, end - 25), end)  # 5 once more
        found = update(parts, rates[part], forces[part], first=part.start)
    assert update(whole, rates, forces) == pytest.approx(found)


def test_attitude_stays_near_level_when_the_vehicle_brakes_for_two_seconds() -> None:
    _, pitch = update(AttitudeFilter(), np.zeros((400, 3)), np.tile((-3.0, 0.0, 9.81), (400, 1)))
    assert abs(pitch) < math.radians(1.0)  # the accelerometer alone would say 17 degrees


@pytest.mark.parametrize(
    ("source", "first"), [("b", 200), ("", 1000), ("", 0)], ids=["source", "gap", "back"]
)
def test_attitude_starts_level_when_readings_do_not_follow_on_those_before(source: str, first: int) -> None:
    attitude = AttitudeFilter()
    rates, forces = np.tile((0.2, 0.2, 0.0), (100, 1)), np.tile(GRAVITY, (100, 1))
    assert min(update(attitude, rates, forces, first=100)) > 0.02
    assert update(attitude, rates[:1], forces[:1], first=first, source=source) == (0.0, 0.0)


@pytest.mark.parametrize("rate", [np.nan, 34.9, -500.0, 1e6])
def test_attitude_takes_a_reading_for_missing_when_it_cannot_be_right(rate: float) -> None:
    attitude = AttitudeFilter()
    rates, forces = steady(0.0, 200)
    rates[100, 0] = rate
    assert update(attitude, rates, forces) == pytest.approx((0.0, 0.0), abs=1e-9)


def test_attitude_makes_a_reading_stand_for_no_more_than_itself_when_it_follows_a_hole() -> None:
    attitude = AttitudeFilter()
    update(attitude, *steady(0.0, 100))
    roll, _ = update(attitude, *steady(1.0, 1), first=180)  # 0.4 s later
    assert 0.0 < roll <= 2 * STEP_NS / 1e9


def test_attitude_is_level_when_no_reading_has_come_for_long() -> None:
    attitude = AttitudeFilter()
    assert update(attitude, *steady(0.2, 200))[0] > 0.1
    nothing = np.zeros((0, 2, 3))
    end_ns = 199 * STEP_NS
    assert attitude.update([], nothing, end_ns=end_ns + S // 2, source="")[0] > 0.1
    assert attitude.update([], nothing, end_ns=end_ns + S // 2 + 1, source="") == (0.0, 0.0)


def test_attitude_is_level_as_long_as_it_cannot_be_right_and_follows_again_afterwards() -> None:
    attitude = AttitudeFilter()
    rates, forces = steady(1.0, 4000)
    wrong = [update(attitude, rates[k : k + 1], forces[k : k + 1], first=k)[0] for k in range(4000)]
    assert max(wrong[:200]) <= MOST_TILT_RAD
    assert not any(wrong[200:])
    pitch, rates, forces = bumpy(10.0)
    found = [
        update(attitude, rates[k : k + 1], forces[k : k + 1], first=4000 + k)[1] for k in range(len(pitch))
    ]
    assert (found - pitch)[1000:].std() < 0.4 * pitch.std()
