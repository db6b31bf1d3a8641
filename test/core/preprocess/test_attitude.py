"""Attitude: follows bumps, forgets, and is not fooled for long by braking."""

from __future__ import annotations

import math

import numpy as np
import pytest

from sentryfuse_core.preprocess.attitude import AttitudeFilter
from sentryfuse_core.types import ImuReading, Modality, Sample

STEP_NS = 5_000_000
LEVEL = np.eye(3)


def readings(rates: np.ndarray, forces: np.ndarray, *, first_ns: int = 0) -> list[Sample]:
    """Samples at 200 Hz of rates and forces [N, 3]."""
    stamps = [first_ns + index * STEP_NS for index in range(len(rates))]
    return [
        Sample(Modality.IMU, stamp, stamp, stamp, "imu", ImuReading(rate, force), 0)
        for stamp, rate, force in zip(stamps, rates, forces, strict=True)
    ]


def bumpy(seconds: float, *, amplitude: float = 0.05, hertz: float = 0.8) -> tuple[np.ndarray, list[Sample]]:
    """Pitch over time in rad, and what an IMU feels of it."""
    t = np.arange(0, seconds, 0.005)
    pitch = amplitude * np.sin(2 * math.pi * hertz * t)
    rate = amplitude * 2 * math.pi * hertz * np.cos(2 * math.pi * hertz * t)
    nothing = np.zeros_like(t)
    rates = np.stack((nothing, rate, nothing), axis=-1)
    forces = 9.81 * np.stack((-np.sin(pitch), nothing, np.cos(pitch)), axis=-1)
    return pitch, readings(rates, forces)


def test_attitude_follows_the_pitch_when_the_ground_is_bumpy() -> None:
    pitch, samples = bumpy(6.0)
    filter_ = AttitudeFilter()
    errors = [
        filter_.update([sample], to_base=LEVEL, epoch=0)[1] - truth
        for sample, truth in zip(samples, pitch, strict=True)
    ]
    settled = np.array(errors[400:])
    assert settled.std() < 0.4 * pitch.std()


def test_attitude_gives_the_same_when_the_readings_come_in_other_portions() -> None:
    _, samples = bumpy(2.0)
    whole, parts = AttitudeFilter(), AttitudeFilter()
    for first in range(0, len(samples), 20):
        found = parts.update(samples[max(0, first - 5) : first + 20], to_base=LEVEL, epoch=0)  # 5 once more
    assert whole.update(samples, to_base=LEVEL, epoch=0) == pytest.approx(found)


def test_attitude_stays_near_level_when_the_vehicle_brakes_for_two_seconds() -> None:
    count = 400
    forces = np.tile((-3.0, 0.0, 9.81), (count, 1))
    _, pitch = AttitudeFilter().update(readings(np.zeros((count, 3)), forces), to_base=LEVEL, epoch=0)
    assert abs(pitch) < math.radians(1.0)  # the accelerometer alone would say 17 degrees


@pytest.mark.parametrize("change", ["epoch", "gap"])
def test_attitude_starts_level_when_time_jumps(change: str) -> None:
    filter_ = AttitudeFilter()
    rates = np.tile((0.2, 0.2, 0.0), (100, 1))
    forces = np.tile((0.0, 0.0, 9.81), (100, 1))
    assert min(filter_.update(readings(rates, forces), to_base=LEVEL, epoch=0)) > 0.02
    later = readings(rates[:1], forces[:1], first_ns=0 if change == "epoch" else 5_000_000_000)
    assert filter_.update(later, to_base=LEVEL, epoch=1 if change == "epoch" else 0) == (0.0, 0.0)


def test_attitude_skips_readings_that_are_not_finite() -> None:
    filter_ = AttitudeFilter()
    broken = readings(np.full((3, 3), np.nan), np.zeros((3, 3)))
    assert filter_.update(broken, to_base=LEVEL, epoch=0) == (0.0, 0.0)
