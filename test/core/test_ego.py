"""Ego motion: odometry is used as long as it can be believed, and told why where it cannot."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import replace

import pytest
from builders import MS, S
from hypothesis import given
from hypothesis import strategies as st

from sentryfuse_core.config import OdometryConfig
from sentryfuse_core.ego import EgoMotion, Mount
from sentryfuse_core.errors import InvalidMessageError
from sentryfuse_core.odometry import OdometryReading
from sentryfuse_core.planar import step
from sentryfuse_core.types import Pose

START = 100 * S
BASE = "base_link"
IDENTITY = Pose((0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0))
SPEED, RATE = 10.0, 0.5

Change = Callable[[OdometryReading], OdometryReading]


def about_z(yaw: float) -> tuple[float, float, float, float]:
    return (0.0, 0.0, math.sin(yaw / 2), math.cos(yaw / 2))


def reading(at_ns: int, *, speed: float = SPEED, rate: float = RATE) -> OdometryReading:
    """On a circle of radius speed / rate, begun at the origin along x."""
    yaw, radius = rate * at_ns / S, speed / rate
    place = (radius * math.sin(yaw), radius * (1 - math.cos(yaw)), 0.0)
    pose = Pose(place, about_z(yaw))
    return OdometryReading(START + at_ns, "odom", BASE, pose, (speed, 0.0, 0.0), (0.0, 0.0, rate))


def stream(until_ns: int, *, period_ns: int = 20 * MS) -> list[OdometryReading]:
    return [reading(at_ns) for at_ns in range(0, until_ns + 1, period_ns)]


def base_alone(frame: str, _stamp_ns: int) -> Pose | None:
    return IDENTITY if frame == BASE else None


def followed(
    readings: Iterable[OdometryReading | InvalidMessageError],
    *,
    to_ns: int,
    mount: Mount = base_alone,
    ego: EgoMotion | None = None,
    from_ns: int = 0,
    gyro: float | None = None,
) -> EgoMotion:
    """Ten sets a second, each after what came by then; without a stamp: with the set before."""
    made = ego or EgoMotion(OdometryConfig())
    waiting = list(readings)
    for at_ns in range(from_ns, to_ns + 1, 100 * MS):
        while waiting and (
            isinstance(waiting[0], InvalidMessageError) or waiting[0].stamp_ns <= START + at_ns
        ):
            item = waiting.pop(0)
            if isinstance(item, InvalidMessageError):
                made.refuse(item)
            else:
                made.take(item)
        made.follow(START + at_ns, epoch=0, mount=mount)
        if gyro is not None:
            made.compare(START + at_ns - 100 * MS, START + at_ns, gyro * 0.1)
    return made


@given(st.integers(0, 2 * S), st.integers(0, 2 * S))
def test_motion_is_the_way_between_two_moments_of_a_circle(one_ns: int, other_ns: int) -> None:
    ego = followed(stream(2 * S), to_ns=2 * S)
    found = ego.motion(START + one_ns, START + other_ns)
    assert found is not None
    turn = RATE * (other_ns - one_ns) / S
    chord = 2 * SPEED / RATE * math.sin(turn / 2)
    expected = (chord * math.cos(turn / 2), chord * math.sin(turn / 2), turn)
    assert found == pytest.approx(expected, abs=2e-3)


@given(st.lists(st.integers(0, 2 * S), min_size=3, max_size=3))
def test_motions_add_up(moments_ns: list[int]) -> None:
    ego = followed(stream(2 * S), to_ns=2 * S)
    a, b, c = (START + at_ns for at_ns in moments_ns)
    first, second, whole = ego.motion(a, b), ego.motion(b, c), ego.motion(a, c)
    assert first is not None
    assert second is not None
    assert whole is not None
    cos, sin = math.cos(first.yaw), math.sin(first.yaw)
    x = first.x + cos * second.x - sin * second.y
    y = first.y + sin * second.x + cos * second.y
    assert (x, y, first.yaw + second.yaw) == pytest.approx(tuple(whole), abs=1e-6)


def test_motion_goes_on_at_the_last_speed_for_the_timeout_alone() -> None:
    ego = followed(stream(1 * S), to_ns=1 * S)
    truth = step(
        *(ego._at(START + at_ns).pose for at_ns in (900 * MS, 1000 * MS))  # type: ignore[union-attr]
    )
    ahead = ego.motion(START + 1000 * MS, START + 1100 * MS)
    assert ahead is not None
    assert tuple(ahead) == pytest.approx(tuple(truth), abs=2e-3)
    assert ego.motion(START, START + 1301 * MS) is None
    assert ego.motion(START - 1, START) is None
    velocity = ego.velocity(START + 1100 * MS)
    assert velocity is not None
    assert tuple(velocity) == (SPEED, 0.0, RATE)


def test_velocity_is_that_of_the_base_where_another_frame_is_told() -> None:
    """A child frame 2 m ahead of the base, turned to the left and lying on its side."""
    quaternion = (0.5, 0.5, 0.5, 0.5)  # its x is the base's y, its y the base's z
    mount = Pose((2.0, 0.0, 1.0), quaternion)
    straight = [reading(at_ns) for at_ns in range(0, S + 1, 20 * MS)]
    told = []
    for item in straight:
        yaw = RATE * (item.stamp_ns - START) / S
        x, y, _ = item.pose.translation
        place = (x + 2 * math.cos(yaw), y + 2 * math.sin(yaw), 1.0)
        # The base's turn, then the mount's.
        a, b = math.sin(yaw / 2), math.cos(yaw / 2)
        whole = (b * 0.5 - a * 0.5, b * 0.5 + a * 0.5, b * 0.5 + a * 0.5, b * 0.5 - a * 0.5)
        pose = Pose(place, whole)
        linear, angular = (2 * RATE, 0.0, SPEED), (0.0, RATE, 0.0)  # along y, z and x of the base
        told.append(replace(item, child_frame_id="imu", pose=pose, linear_m_s=linear, angular_rad_s=angular))
    ego = followed(told, to_ns=S, mount=lambda frame, _: mount if frame == "imu" else None)
    plain = followed(straight, to_ns=S)
    assert ego.problem == ""
    velocity, way = ego.velocity(START + S), ego.motion(START, START + S)
    expected = plain.motion(START, START + S)
    assert velocity is not None
    assert way is not None
    assert expected is not None
    assert tuple(velocity) == pytest.approx((SPEED, 0.0, RATE))
    assert tuple(way) == pytest.approx(tuple(expected), abs=1e-9)


def after(at_ns: int, change: Change) -> list[OdometryReading]:
    """Three seconds of it, changed from a moment on."""
    return [change(item) if item.stamp_ns >= START + at_ns else item for item in stream(3 * S)]


def beside(item: OdometryReading) -> OdometryReading:
    x, y, z = item.pose.translation
    return replace(item, pose=replace(item.pose, translation=(x + 5.0, y - 5.0, z)))


def sideways(item: OdometryReading) -> OdometryReading:
    return replace(item, linear_m_s=(0.0, SPEED, 0.0))


def mirrored(item: OdometryReading) -> OdometryReading:
    (x, y, z), (_, _, sin, cos) = item.pose.translation, item.pose.quaternion
    angular = (0.0, 0.0, -item.angular_rad_s[2])
    return replace(item, pose=Pose((x, -y, z), (0.0, 0.0, -sin, cos)), angular_rad_s=angular)


def delayed(item: OdometryReading, by_ns: int) -> OdometryReading:
    return replace(item, stamp_ns=item.stamp_ns - by_ns)


@pytest.mark.parametrize(
    ("readings", "code", "words", "gyro"),
    [
        ([], "", "", RATE),
        (stream(3 * S), "", "", RATE),
        (stream(3 * S, period_ns=100 * MS), "", "", RATE),
        (stream(2 * S), "stopped", "no message for more than 0.3 s", RATE),
        (
            [replace(item, child_frame_id="left_wheel") for item in stream(1 * S)],
            "stopped",
            "no message for more than 0.3 s",
            RATE,
        ),
        (after(2500 * MS, beside), "jumped", "jumped; use odometry that goes on without jumps", RATE),
        (
            after(2500 * MS, lambda item: replace(item, frame_id="map")),
            "jumped",
            "its frame_id changed from 'odom' to 'map'",
            RATE,
        ),
        (after(0, sideways), "contradicts_itself", "its twist contradicts its pose", RATE),
        (after(0, mirrored), "contradicts_imu", "its yaw rate contradicts the IMU's", RATE),
        (
            after(0, lambda item: replace(item, child_frame_id="left_wheel")),
            "wrong_frame",
            "'left_wheel'",
            RATE,
        ),
        (after(0, lambda item: replace(item, child_frame_id="")), "wrong_frame", "no child_frame_id", RATE),
        ([*stream(3 * S)[:-5], InvalidMessageError("non_finite", "x = nan")], "invalid", "x = nan", RATE),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_odometry_is_told_and_not_used_when_it_cannot_be_believed(
    readings: list[OdometryReading | InvalidMessageError], code: str, words: str, gyro: float
) -> None:
    ego = followed(readings, to_ns=3 * S, gyro=gyro)
    assert ego.code == code
    assert words in ego.problem
    assert (ego.motion(START + 2800 * MS, START + 3 * S) is None) == bool(code or not readings)
    assert (ego.velocity(START + 3 * S) is None) == bool(code or not readings)


@pytest.mark.parametrize(
    ("by_ns", "code"), [(37 * S, "other_clock"), (-37 * S, "other_clock"), (S // 2, "late")]
)
def test_odometry_is_not_used_when_its_stamps_are_of_another_clock(by_ns: int, code: str) -> None:
    ego = EgoMotion(OdometryConfig())
    for item in stream(2 * S):
        ego.take(delayed(item, by_ns))
        ego.follow(item.stamp_ns, epoch=0, mount=base_alone)
    assert ego.code == code
    assert ego.motion(START + S, START + 2 * S) is None


def test_odometry_is_used_again_a_second_after_its_last_fault() -> None:
    ego = followed(after(1 * S, beside), to_ns=3 * S)
    assert ego.code == ""
    assert ego.motion(START + 2 * S, START + 3 * S) is not None
    assert ego.motion(START, START + 3 * S) is None, "nobody knows the way across the jump"


def test_odometry_is_not_called_a_liar_for_a_moment_of_contradiction() -> None:
    skids = [sideways(item) if S < item.stamp_ns - START < 1200 * MS else item for item in stream(3 * S)]
    ego = EgoMotion(OdometryConfig())
    for at_ns in range(0, 3 * S + 1, 100 * MS):
        while skids and skids[0].stamp_ns <= START + at_ns:
            ego.take(skids.pop(0))
        ego.follow(START + at_ns, epoch=0, mount=base_alone)
        assert ego.code == ""


def test_what_was_before_a_jump_of_time_is_forgotten() -> None:
    ego = followed(stream(1 * S), to_ns=1 * S)
    for item in stream(200 * MS):
        ego.take(delayed(item, 50 * S))
    ego.follow(START - 50 * S + 200 * MS, epoch=1, mount=base_alone)
    assert ego.code == ""
    assert ego.motion(START - 50 * S, START - 50 * S + 200 * MS) is not None
    assert ego.motion(START, START + 1 * S) is None


def test_odometry_is_told_to_have_stopped_when_none_came_since_a_jump_of_time() -> None:
    ego = followed(stream(1 * S), to_ns=1 * S)
    codes = []
    for at_ns in range(0, 1 * S, 100 * MS):
        ego.follow(START - 50 * S + at_ns, epoch=1, mount=base_alone)
        codes.append(ego.code)
    assert codes == [""] * 4 + ["stopped"] * 6  # within odometry.timeout_s it may come yet
    assert followed([], to_ns=3 * S).code == ""  # none ever came: none is missed


def test_odometry_at_a_thousand_hertz_is_as_good_and_takes_no_more_memory() -> None:
    ego, usual = (followed(stream(2 * S, period_ns=ms * MS), to_ns=2 * S) for ms in (1, 20))
    ways = [item.motion(START + S, START + 2 * S) for item in (ego, usual)]
    assert ways[0] is not None
    assert ways[1] is not None
    assert tuple(ways[0]) == pytest.approx(tuple(ways[1]), abs=2e-3)
    assert len(ego._states) <= 251


def test_memory_stays_bounded_when_odometry_goes_on_for_long() -> None:
    ego = followed(stream(20 * S, period_ns=10 * MS), to_ns=20 * S)
    assert len(ego._states) <= 700
    assert ego.motion(START + 18 * S, START + 20 * S) is not None
    idle = EgoMotion(OdometryConfig())
    for _ in range(20_000):
        idle.take(reading(0))
    assert len(idle._pending) <= 10_000
