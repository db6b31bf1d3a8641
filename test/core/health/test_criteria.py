"""Each content criterion beside the healthy case that looks most like it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentryfuse_core.config import HealthConfig
from sentryfuse_core.health.criteria import (
    SECTORS,
    AudioStats,
    CloudStats,
    Coverage,
    Finding,
    ImageStats,
    View,
    audio_finding,
    cloud_finding,
    image_finding,
    imu_finding,
)
from sentryfuse_core.types import ImuReading

CONFIG = HealthConfig()
ALL_SECTORS = (1 << SECTORS) - 1


def _code(finding: Finding | None) -> str | None:
    if finding is not None:
        assert finding.reason
        assert finding.remedy
    return finding.code if finding is not None else None


@pytest.mark.parametrize(
    ("mean", "std", "code"),
    [
        (0.0, 0.0, "black"),
        (1.5, 1.2, None),  # night: dark, but with some lights
        (255.0, 0.0, "white"),
        (250.0, 6.0, None),  # snow
        (128.0, 0.1, "flat"),
        (128.0, 2.0, None),  # fog
    ],
)
def test_image_finding_tells_a_dead_image_from_a_hard_scene(
    mean: float, std: float, code: str | None
) -> None:
    assert _code(image_finding(ImageStats(mean, std), View(), CONFIG)) == code


@pytest.mark.parametrize(
    ("clipped_share", "silent", "code"),
    [(0.0, True, "silent"), (0.0, False, None), (0.5, False, "clipped"), (0.01, False, None)],
    ids=["dead", "quiet place", "overdriven", "a bang"],
)
def test_audio_finding_tells_a_dead_microphone_from_a_quiet_place(
    clipped_share: float, code: str | None, *, silent: bool
) -> None:
    assert _code(audio_finding(AudioStats(clipped_share, silent), CONFIG)) == code


@pytest.mark.parametrize(
    ("gyro", "accel", "code"),
    [
        ([0.0, 0.0, 0.0], [0.0, 0.0, 9.81], None),
        ([0.0, 0.0, 34.95], [0.0, 0.0, 9.81], "saturated"),
        ([0.0, 0.0, 0.0], [-157.0, 0.0, 0.0], "saturated"),
        ([0.0, float("nan"), 0.0], [0.0, 0.0, 9.81], "non_finite"),
        ([0.0, 0.0, 0.0], [float("-inf"), 0.0, 0.0], "non_finite"),
        (None, [0.0, 0.0, 9.81], None),
        ([0.0, 0.0, 0.0], None, None),
    ],
)
def test_imu_finding_names_the_fault_and_lets_an_absent_field_pass(
    gyro: list[float] | None, accel: list[float] | None, code: str | None
) -> None:
    reading = ImuReading(None if gyro is None else np.array(gyro), None if accel is None else np.array(accel))
    assert _code(imu_finding(reading, CONFIG)) == code


def _learned(occupancy: int) -> Coverage:
    coverage = Coverage()
    for _ in range(Coverage.CLOUDS):
        coverage.learn(occupancy)
    return coverage


def _cloud(occupancy: int, points: int = 10_000) -> CloudStats:
    return CloudStats(points, occupancy)


def test_cloud_finding_names_few_points() -> None:
    assert _code(cloud_finding(_cloud(ALL_SECTORS, points=10), Coverage(), CONFIG)) == "few_points"


def test_cloud_finding_names_a_blocked_sector_when_it_used_to_be_filled() -> None:
    coverage = _learned(ALL_SECTORS)
    assert _code(cloud_finding(_cloud(ALL_SECTORS), coverage, CONFIG)) is None
    assert _code(cloud_finding(_cloud(ALL_SECTORS & ~(0xFFF << 20)), coverage, CONFIG)) == "blocked_sector"
    assert _code(cloud_finding(_cloud(ALL_SECTORS & ~(0x7FF << 20)), coverage, CONFIG)) is None


def test_cloud_finding_passes_a_lidar_that_only_ever_looks_forward() -> None:
    forward = 0xFFFFFF << 24
    coverage = _learned(forward)
    assert _code(cloud_finding(_cloud(forward), coverage, CONFIG)) is None
    assert _code(cloud_finding(_cloud(forward & ~(0xFFF << 24)), coverage, CONFIG)) == "blocked_sector"


@given(st.integers(0, SECTORS - 1), st.integers(0, SECTORS))
def test_coverage_measures_the_gap_when_it_lies_anywhere_on_the_circle(first: int, width: int) -> None:
    gap = sum(1 << ((first + step) % SECTORS) for step in range(width))
    assert _learned(ALL_SECTORS).blocked_deg(ALL_SECTORS & ~gap) == width * 5.0


def test_coverage_finds_nothing_before_it_has_learned() -> None:
    coverage = Coverage()
    coverage.learn(ALL_SECTORS)
    assert not coverage.learned
    assert coverage.blocked_deg(0) == 0.0
