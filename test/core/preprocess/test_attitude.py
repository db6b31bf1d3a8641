"""Attitude: follows bumps, forgets, and is not fooled for long by braking."""

from __future__ import annotations

import math

import numpy as np
import pytest

from sentryfuse_core.preprocess.attitude import AttitudeFilter

STEP_NS = 5_000_000  # 200 Hz
GRAVITY = (0.0, 0.0, 9.81)


def update(
    attitude: AttitudeFilter, rates: np.ndarray, forces: np.ndarray, *, first: int = 0, epoch: int = 0
) -> tuple[float, float]:
    """Roll and pitch after rates and forces [N, 3], from the `first` step on."""
    stamps_ns = [index * STEP_NS for index in range(first, first + len(rates))]
    return attitude.update(stamps_ns, np.stack((rates, forces), axis=1), epoch=epoch)


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


@pytest.mark.parametrize(("epoch", "first"), [(1, 0), (0, 1000)], ids=["epoch", "gap"])
def test_attitude_starts_level_when_time_jumps(epoch: int, first: int) -> None:
    attitude = AttitudeFilter()
    rates, forces = np.tile((0.2, 0.2, 0.0), (100, 1)), np.tile(GRAVITY, (100, 1))
    assert min(update(attitude, rates, forces)) > 0.02
    assert update(attitude, rates[:1], forces[:1], first=first, epoch=epoch) == (0.0, 0.0)


def test_attitude_skips_readings_that_are_not_finite() -> None:
    assert update(AttitudeFilter(), np.full((3, 3), np.nan), np.zeros((3, 3))) == (0.0, 0.0)
