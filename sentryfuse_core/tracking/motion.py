"""Motion of many objects at once: constant velocity, and constant turn rate where an object is a vehicle.

A state is x, y (m), vx, vy (m/s), yaw (rad) and turn rate (rad/s) in the base frame, seen from above; states
are `[N, 6]` and covariances `[N, 6, 6]`. The model is the coordinated turn of Bar-Shalom, Li and Kirubarajan,
'Estimation with Applications to Tracking and Navigation' (2001), section 11.7, with white noise of
acceleration and of turn acceleration; updates are those of an extended Kalman filter.
"""

from __future__ import annotations

import numpy as np

from sentryfuse_core.boxes import Floats

__all__ = ["SIZE", "half_turn", "moved", "predicted", "seen_from", "straightened", "updated"]

SIZE = 6
_MEASURED = (0, 1, 4)  # x, y, yaw


def predicted(
    states: Floats, covariances: Floats, dt_s: float, *, acceleration: Floats, turn_acceleration: Floats
) -> tuple[Floats, Floats]:
    """States `[N, 6]` and covariances `[N, 6, 6]` `dt_s` later; noise `[N]`: standard deviations."""
    vx, vy, rate = states[:, 2], states[:, 3], states[:, 5]
    angle = rate * dt_s
    cos, sin = np.cos(angle), np.sin(angle)
    along = dt_s * np.sinc(angle / np.pi)
    across = dt_s * (angle / 2) * np.sinc(angle / (2 * np.pi)) ** 2
    after = states.copy()
    after[:, 0] += along * vx - across * vy
    after[:, 1] += across * vx + along * vy
    after[:, 2], after[:, 3] = cos * vx - sin * vy, sin * vx + cos * vy
    after[:, 4] += angle
    step = np.zeros((len(states), SIZE, SIZE))
    step[:, range(SIZE), range(SIZE)] = 1.0
    step[:, 0, 2], step[:, 0, 3], step[:, 1, 2], step[:, 1, 3] = along, -across, across, along
    step[:, 2, 2], step[:, 2, 3], step[:, 3, 2], step[:, 3, 3] = cos, -sin, sin, cos
    step[:, 0, 5], step[:, 1, 5] = -(dt_s**2) / 2 * vy, dt_s**2 / 2 * vx
    step[:, 2, 5], step[:, 3, 5] = -dt_s * after[:, 3], dt_s * after[:, 2]
    step[:, 4, 5] = dt_s
    grown = step @ covariances @ step.transpose(0, 2, 1)
    for place, speed, noise in ((0, 2, acceleration), (1, 3, acceleration), (4, 5, turn_acceleration)):
        power = noise**2
        grown[:, place, place] += power * dt_s**4 / 4
        grown[:, place, speed] += power * dt_s**3 / 2
        grown[:, speed, place] += power * dt_s**3 / 2
        grown[:, speed, speed] += power * dt_s**2
    return after, grown


def updated(states: Floats, covariances: Floats, measured: Floats, noise: Floats) -> tuple[Floats, Floats]:
    """States and covariances once x, y and yaw `[N, 3]` were measured with variances `noise` `[N, 3, 3]`.

    A box's yaw tells an axis: it is taken as the nearer of its two directions.
    """
    shown = covariances[:, :, _MEASURED]
    spread = shown[:, _MEASURED, :] + noise
    off = measured - states[:, _MEASURED]
    off[:, 2] = half_turn(off[:, 2])
    gain = np.linalg.solve(spread, shown.transpose(0, 2, 1)).transpose(0, 2, 1)
    after = states + (gain @ off[:, :, None])[:, :, 0]
    left = covariances - gain @ shown.transpose(0, 2, 1)
    return after, (left + left.transpose(0, 2, 1)) / 2


def straightened(states: Floats, covariances: Floats, slip_m_s: float) -> tuple[Floats, Floats]:
    """States and covariances of what goes along its heading, forwards or backwards, but for some slip."""
    vx, vy, yaw = states[:, 2:5].T
    cos, sin = np.cos(yaw), np.sin(yaw)
    shown = np.zeros((len(states), SIZE))
    shown[:, 2], shown[:, 3], shown[:, 4] = -sin, cos, -(cos * vx + sin * vy)
    spread = (covariances @ shown[:, :, None])[:, :, 0]
    gain = spread / ((spread * shown).sum(1) + slip_m_s**2)[:, None]
    after = states - gain * (cos * vy - sin * vx)[:, None]
    return after, covariances - gain[:, :, None] * spread[:, None, :]


def moved(states: Floats, covariances: Floats, step: tuple[float, float, float]) -> tuple[Floats, Floats]:
    """The same objects seen from a base that went x, y (m) and turned yaw (rad), in its old frame."""
    whole = np.eye(SIZE)
    whole[:2, :2] = whole[2:4, 2:4] = _turned(step[2])
    after = states @ whole.T
    after[:, :2] = seen_from(states[:, :2], step)
    after[:, 4] -= step[2]
    return after, whole @ covariances @ whole.T


def seen_from(places: Floats, step: tuple[float, float, float]) -> Floats:
    """Places `[..., 2]` seen from a base that went x, y (m) and turned yaw (rad), in its old frame."""
    seen: Floats = (places - step[:2]) @ _turned(step[2]).T
    return seen


def _turned(yaw: float) -> Floats:
    cos, sin = np.cos(yaw), np.sin(yaw)
    return np.array([[cos, sin], [-sin, cos]])


def half_turn(angles: Floats) -> Floats:
    """Angles in rad between -pi/2 and pi/2 that stand for the same axes."""
    wrapped: Floats = (angles + np.pi / 2) % np.pi - np.pi / 2
    return wrapped
