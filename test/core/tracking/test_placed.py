"""Tracks in odometry's frame: moved and turned as a whole, and as before from where the base is."""

from __future__ import annotations

import math

import numpy as np
import pytest
import results
from hypothesis import given
from hypothesis import strategies as st

from sentryfuse_core.planar import EgoStep, step, turned
from sentryfuse_core.tracking.placed import placed

metres = st.floats(-500.0, 500.0)
bases = st.builds(EgoStep, metres, metres, st.floats(-math.pi, math.pi))


@given(bases)
def test_track_is_where_the_base_sees_it_and_moves_as_the_base_says(base: EgoStep) -> None:
    own = results.track()
    (track,) = placed((own,), base)
    x, y = turned(own.x, own.y, base.yaw)
    assert (track.x, track.y, track.z) == pytest.approx((base.x + x, base.y + y, own.z))
    assert (track.vx, track.vy) == pytest.approx(turned(own.vx, own.vy, base.yaw))
    assert math.remainder(track.yaw - own.yaw - base.yaw, math.tau) == pytest.approx(0.0, abs=1e-9)
    assert (track.turn_rate, track.identity, track.length) == (own.turn_rate, own.identity, own.length)
    end = turned(*own.trail[-1], base.yaw)
    assert track.trail[-1] == pytest.approx((base.x + end[0], base.y + end[1]))


@given(bases)
def test_track_is_as_before_when_it_is_placed_there_and_back(base: EgoStep) -> None:
    own = results.track()
    (back,) = placed(placed((own,), base), step(base, EgoStep()))
    assert (back.x, back.y, back.vx, back.vy) == pytest.approx((own.x, own.y, own.vx, own.vy), abs=1e-6)
    assert np.allclose(back.covariance, own.covariance)


def test_uncertainty_turns_with_the_track() -> None:
    (track,) = placed((results.track(),), EgoStep(yaw=math.pi / 2))
    own = np.diag(results.track().covariance)
    assert np.diag(track.covariance) == pytest.approx(own[[1, 0, 3, 2, 4, 5]])


def test_nothing_is_placed_where_nothing_is_followed() -> None:
    assert placed((), EgoStep(1.0, 2.0, 3.0)) == ()
