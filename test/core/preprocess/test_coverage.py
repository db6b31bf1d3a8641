"""Coverage: which degrees around the robot are watched, by what, and how far."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from sentryfuse_core.preprocess.coverage import covered
from sentryfuse_core.preprocess.lidar import pillars
from sentryfuse_core.preprocess.tensors import ModelInput
from sentryfuse_core.surroundings import BLIND, stretches, unwatched
from sentryfuse_core.types import Modality

CAMERA, LIDAR, _, AUDIO = (modality.bit for modality in Modality)
EMPTY = torch.zeros(1, 6, 64, 64)


def ring(*, from_deg: float = -90.0, to_deg: float = 90.0) -> torch.Tensor:
    """Pillars of a sector in which something returns 10 m away, in these of its bearings."""
    angle = torch.deg2rad(torch.arange(from_deg, to_deg, 0.5))
    points = torch.stack((10 * angle.cos(), 10 * angle.sin(), torch.ones_like(angle), angle * 0), dim=-1)
    return pillars(points[None])


def camera() -> dict[str, torch.Tensor]:
    return {"camera": torch.zeros(1, 3, 128, 384), "camera_position": torch.zeros(1, 3)}


def test_directions_are_watched_by_what_looks_there_when_the_front_runs_alone() -> None:
    coverage = covered([(0.0, ModelInput(**camera(), lidar=ring()))])
    both, lidar = CAMERA | LIDAR, LIDAR
    assert coverage.sensors[[0, 44, 315]].tolist() == [both] * 3
    assert coverage.sensors[[46, 89, 270, 313]].tolist() == [lidar] * 4
    assert not coverage.sensors[90:270].any()
    assert coverage.range_m[0] == pytest.approx(32.0, abs=0.1)
    assert coverage.range_m[89] == pytest.approx(16.0, abs=0.1)
    assert not coverage.range_m[90:270].any()


def test_directions_are_blind_when_nothing_returns_from_there() -> None:
    coverage = covered([(0.0, ModelInput(lidar=ring(from_deg=-90.0, to_deg=20.0)))])
    assert coverage.sensors[10] == LIDAR
    assert not coverage.sensors[30:90].any()
    assert not coverage.range_m[30:90].any()


def test_every_direction_is_its_nearest_sectors_when_four_look() -> None:
    quarters = np.radians((0.0, 90.0, 180.0, -90.0)).tolist()
    inputs = [ModelInput(**camera(), lidar=ring()), ModelInput(lidar=ring()), ModelInput(lidar=EMPTY)]
    coverage = covered(list(zip(quarters, [*inputs, ModelInput(lidar=ring())], strict=True)))
    assert coverage.sensors[[20, 90, 270]].tolist() == [CAMERA | LIDAR, LIDAR, LIDAR]
    assert not coverage.sensors[140:220].any()  # nothing came from behind
    assert coverage.range_m[20] == pytest.approx(32.0 / math.cos(math.radians(20.5)), rel=1e-3)
    assert stretches(coverage.sensors)[0] == (0, 45, CAMERA | LIDAR)


def test_camera_watches_only_what_its_picture_shows() -> None:
    seen = torch.ones(1, 1, 32, 96)
    seen[..., :48] = 0.0  # the left half
    coverage = covered([(0.0, ModelInput(**camera(), camera_seen=seen))])
    assert coverage.sensors[[2, 20, 44]].tolist() == [0, 0, 0]
    assert coverage.sensors[[358, 340, 316]].tolist() == [CAMERA] * 3


def test_gaps_are_told_in_degrees_when_they_are_worth_it() -> None:
    coverage = covered([(0.0, ModelInput(lidar=ring(from_deg=-90.0, to_deg=20.0)))])
    assert unwatched(coverage, CAMERA | LIDAR).startswith("2")
    assert unwatched(coverage, LIDAR).endswith("to 270")
    assert unwatched(BLIND, LIDAR) == "0 to 360"
    whole = covered(
        [(yaw, ModelInput(lidar=ring())) for yaw in np.radians((0.0, 90.0, 180.0, -90.0)).tolist()]
    )
    assert unwatched(whole, LIDAR) == ""


def test_microphones_hear_half_the_surroundings_and_nobody_nothing() -> None:
    heard = covered([(0.0, ModelInput(audio=torch.zeros(1, 16, 16)))])
    assert (heard.sensors == AUDIO).sum() == 180
    assert covered([]) is BLIND
