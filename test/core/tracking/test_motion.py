"""Motion of tracked objects: the turn, the filter, and a base that moves itself."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentryfuse_core.tracking import motion

speeds = st.floats(-15.0, 15.0)


def state(**values: float) -> np.ndarray:
    """One state `[1, 6]`."""
    names = ("x", "y", "vx", "vy", "yaw", "rate")
    return np.array([[values.get(name, 0.0) for name in names]])


def still(states: np.ndarray, dt_s: float) -> np.ndarray:
    """The states `dt_s` later without any noise."""
    zero = np.zeros(len(states))
    after, _ = motion.predicted(
        states, np.zeros((len(states), 6, 6)), dt_s, acceleration=zero, turn_acceleration=zero
    )
    return after


@given(speeds, speeds, st.floats(-2.0, 2.0), st.floats(0.01, 1.0))
def test_motion_keeps_to_a_circle_when_an_object_turns(
    vx: float, vy: float, rate: float, dt_s: float
) -> None:
    one = still(state(vx=vx, vy=vy, rate=rate), dt_s)
    many = state(vx=vx, vy=vy, rate=rate)
    for _ in range(20):
        many = still(many, dt_s / 20)
    np.testing.assert_allclose(one, many, atol=1e-8)
    assert np.hypot(one[0, 2], one[0, 3]) == pytest.approx(np.hypot(vx, vy), abs=1e-9)


def test_motion_is_straight_when_nothing_turns() -> None:
    after = still(state(x=1.0, vx=2.0, vy=-1.0, yaw=0.3), 0.5)
    np.testing.assert_allclose(after, state(x=2.0, y=-0.5, vx=2.0, vy=-1.0, yaw=0.3))


def test_covariance_is_that_of_many_simulated_objects_when_they_turn() -> None:
    start, spread = state(vx=5.0, rate=0.4), np.diag([0.1, 0.1, 0.5, 0.5, 0.05, 0.05]) ** 2
    drawn = np.random.default_rng(0).multivariate_normal(start[0], spread, 40_000)
    after = still(drawn, 0.2)
    _, told = motion.predicted(
        start, spread[None], 0.2, acceleration=np.zeros(1), turn_acceleration=np.zeros(1)
    )
    np.testing.assert_allclose(np.cov(after.T), told[0], rtol=0.05, atol=3e-3)


def test_update_takes_the_nearer_direction_when_a_box_lies_the_other_way_round() -> None:
    spread, noise = np.eye(6)[None], np.eye(3)[None] * 1e-6
    after, left = motion.updated(state(yaw=0.1), spread, np.array([[1.0, 2.0, 0.2 + np.pi]]), noise)
    np.testing.assert_allclose(after[0, [0, 1, 4]], [1.0, 2.0, 0.2], atol=1e-4)
    assert (np.linalg.eigvalsh(left[0]) > 0.0).all()


@given(st.floats(-5.0, 5.0), st.floats(-5.0, 5.0), st.floats(-3.0, 3.0))
def test_object_stands_where_it_stood_when_the_base_moves_there_and_back(
    x: float, y: float, yaw: float
) -> None:
    spread = np.diag([0.1, 0.2, 0.3, 0.4, 0.5, 0.6])[None]
    there = motion.moved(state(x=3.0, y=-2.0, vx=1.0, yaw=0.4), spread, (x, y, yaw))
    back = (-np.cos(yaw) * x - np.sin(yaw) * y, np.sin(yaw) * x - np.cos(yaw) * y, -yaw)
    states, covariances = motion.moved(*there, back)
    np.testing.assert_allclose(states, state(x=3.0, y=-2.0, vx=1.0, yaw=0.4), atol=1e-9)
    np.testing.assert_allclose(covariances, spread, atol=1e-9)
