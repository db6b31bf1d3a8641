"""Motion of the base frame seen from above: steps, speeds, and where they lead."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from sentryfuse_core.clock import NS_PER_S
from sentryfuse_core.odometry import OdometryReading
from sentryfuse_core.rotation import pose_rotation
from sentryfuse_core.types import Pose

__all__ = ["EgoState", "EgoStep", "Velocity", "ahead", "base_state", "between", "leads_to", "step", "turned"]

_OFF_M, _OFF_RAD, _OFF_PART = 0.3, 0.2, 0.3  # by how much, and by which part of it, a step may be off
_OFF_M_S, _OFF_RAD_S, _APART_PART = 0.5, 0.2, 0.25  # and speeds that are to be the same


class EgoStep(NamedTuple):
    """How the base frame moved between two moments, in its self of the first: m and rad."""

    x: float = 0.0
    y: float = 0.0
    yaw: float = 0.0


class Velocity(NamedTuple):
    """Of the base frame over ground, along its own axes: m/s and rad/s."""

    x: float = 0.0
    y: float = 0.0
    yaw_rate: float = 0.0


class EgoState(NamedTuple):
    """The base frame at one moment: where it is in some other frame, and how fast."""

    stamp_ns: int
    pose: EgoStep
    velocity: Velocity


def turned(x: float, y: float, angle: float) -> tuple[float, float]:
    """A vector turned left."""
    cos, sin = math.cos(angle), math.sin(angle)
    return cos * x - sin * y, sin * x + cos * y


def step(before: EgoStep, after: EgoStep) -> EgoStep:
    """The way from one pose to another."""
    x, y = turned(after.x - before.x, after.y - before.y, -before.yaw)
    return EgoStep(x, y, math.remainder(after.yaw - before.yaw, math.tau))


def ahead(state: EgoState, stamp_ns: int) -> EgoState:
    """At another moment, at the same speed and yaw rate."""
    seconds = (stamp_ns - state.stamp_ns) / NS_PER_S
    (x, y, yaw), (along, across, rate) = state.pose, state.velocity
    turn = rate * seconds
    chord_s = seconds * (math.sin(turn / 2) / (turn / 2) if turn else 1.0)
    dx, dy = turned(chord_s * along, chord_s * across, yaw + turn / 2)
    return EgoState(stamp_ns, EgoStep(x + dx, y + dy, yaw + turn), state.velocity)


def between(before: EgoState, after: EgoState, stamp_ns: int) -> EgoState:
    """At a moment between two that are known."""
    share = (stamp_ns - before.stamp_ns) / (after.stamp_ns - before.stamp_ns)
    a, b = before.pose, after.pose
    pose = EgoStep(a.x + share * (b.x - a.x), a.y + share * (b.y - a.y), a.yaw + share * step(a, b).yaw)
    speeds = zip(before.velocity, after.velocity, strict=True)
    return EgoState(stamp_ns, pose, Velocity(*(p + share * (q - p) for p, q in speeds)))


def leads_to(last: Sequence[EgoState], state: EgoState) -> bool:
    """Whether a pose is about where the last one's speed leads, or the way between the last two."""
    leads = [ahead(last[-1], state.stamp_ns)]
    if len(last) > 1:
        span_s = (last[-1].stamp_ns - last[-2].stamp_ns) / NS_PER_S
        speed = Velocity(*(value / span_s for value in step(last[-2].pose, last[-1].pose)))
        leads.append(ahead(last[-1]._replace(velocity=speed), state.stamp_ns))
    for lead in leads:
        way, off = step(last[-1].pose, lead.pose), step(lead.pose, state.pose)
        near = math.hypot(off.x, off.y) <= _OFF_M + _OFF_PART * math.hypot(way.x, way.y)
        if near and abs(off.yaw) <= _OFF_RAD + _OFF_PART * abs(way.yaw):
            return True
    return False


def contradicts_speed(states: Sequence[EgoState]) -> bool:
    """Whether the way from the first to the last is another than their speeds tell."""
    span_s = (states[-1].stamp_ns - states[0].stamp_ns) / NS_PER_S
    way = step(states[0].pose, states[-1].pose)
    along, across = turned(way.x / span_s, way.y / span_s, -way.yaw / 2)  # as the axes lay half way
    x, y, rate = (sum(axis) / len(states) for axis in zip(*(state.velocity for state in states), strict=True))
    most = max(math.hypot(along, across), math.hypot(x, y))
    off = math.hypot(along - x, across - y) > _OFF_M_S + _APART_PART * most
    return off or apart(way.yaw / span_s, rate, least=_OFF_RAD_S)


def apart(one: float, other: float, *, least: float) -> bool:
    """Whether two rates differ by more than `least` and a part of them."""
    return abs(one - other) > least + _APART_PART * max(abs(one), abs(other))


def base_state(reading: OdometryReading, mount: Pose) -> EgoState:
    """The base frame's state, of a reading of a frame that is mounted like this on it."""
    on_base, place = pose_rotation(mount), np.asarray(mount.translation)
    base = pose_rotation(reading.pose) @ on_base.T
    x, y, _ = np.asarray(reading.pose.translation) - base @ place
    angular = on_base @ np.asarray(reading.angular_rad_s)
    linear = on_base @ np.asarray(reading.linear_m_s)
    p, q, rate = angular.tolist()
    x_m, y_m, z_m = mount.translation
    along, across = float(linear[0]) - (q * z_m - rate * y_m), float(linear[1]) - (rate * x_m - p * z_m)
    pose = EgoStep(float(x), float(y), math.atan2(base[1, 0], base[0, 0]))
    return EgoState(reading.stamp_ns, pose, Velocity(along, across, rate))
