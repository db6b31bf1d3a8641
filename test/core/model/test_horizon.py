"""Horizon: where the ground ends gives the tilt away."""

from __future__ import annotations

import math

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sentryfuse_core.model.horizon import Horizon
from sentryfuse_core.preprocess.geometry import GEOMETRY

SIZE = (GEOMETRY.image_height // 4, GEOMETRY.image_width // 4)
angles = st.floats(-0.04, 0.04)


def sure_of(horizon: Horizon, tilt: torch.Tensor) -> torch.Tensor:
    """Logarithms of chances that leave no doubt about where the ground ends."""
    return horizon.target(tilt).clamp_min(1e-9).log()


@settings(max_examples=30, deadline=None)
@given(roll=angles, pitch=angles)
def test_horizon_gives_the_tilt_when_all_columns_are_sure(roll: float, pitch: float) -> None:
    horizon, tilt = Horizon(GEOMETRY, SIZE), torch.tensor([[roll, pitch]])
    found = horizon(sure_of(horizon, tilt), None)
    torch.testing.assert_close(found, tilt, atol=math.radians(0.05), rtol=0.0)


def test_horizon_gives_the_tilt_when_things_hide_half_of_it() -> None:
    horizon, tilt = Horizon(GEOMETRY, SIZE), torch.tensor([[0.02, -0.03]])
    chances = sure_of(horizon, tilt)
    chances[:, :, SIZE[1] // 2 :] = -math.log(SIZE[0])  # columns that cannot tell
    found = horizon(chances, None)
    torch.testing.assert_close(found, tilt, atol=math.radians(0.3), rtol=0.0)


def test_horizon_takes_no_row_of_columns_that_the_camera_does_not_see() -> None:
    horizon, tilt = Horizon(GEOMETRY, SIZE), torch.tensor([[0.04, -0.02]])
    shown = torch.ones(1, *SIZE)
    shown[..., SIZE[1] // 2 :] = 0.0
    chances = horizon.target(tilt).clamp_min(1e-9)
    other = torch.where(shown > 0.0, chances, chances.roll(7, dims=1))
    seen = [horizon(item.log(), None, shown) for item in (chances, other)]
    assert torch.equal(*seen)
    torch.testing.assert_close(
        horizon(chances.log(), None, torch.ones(1, *SIZE)), horizon(chances.log(), None)
    )


def test_horizon_follows_the_imu_when_the_imu_counts_for_more() -> None:
    horizon, imu = Horizon(GEOMETRY, SIZE), torch.tensor([[0.02, -0.03]])
    with torch.no_grad():
        horizon.imu.fill_(12.0)
    found = horizon(sure_of(horizon, torch.zeros(1, 2)), imu)
    torch.testing.assert_close(found, imu, atol=math.radians(0.1), rtol=0.0)


def test_horizon_target_stays_in_the_map_when_the_horizon_is_above_it() -> None:
    target = Horizon(GEOMETRY, SIZE).target(torch.tensor([[0.0, 0.5]]))
    torch.testing.assert_close(target.sum(dim=1), torch.ones(1, SIZE[1]))
    assert bool((target[0, 0] == 1.0).all())
