"""nav_msgs/Odometry to readings, whatever is in the message."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
from builders import S, odometry_message
from hypothesis import given
from hypothesis import strategies as st

from sentryfuse_core.bags.readers import Undecodable
from sentryfuse_core.config import OdometryConfig
from sentryfuse_core.convert import odometry_reading
from sentryfuse_core.errors import InvalidMessageError
from sentryfuse_core.types import Pose

PATHS = ("pose.pose.position", "pose.pose.orientation", "twist.twist.linear", "twist.twist.angular")


def parent(message: Any, path: str) -> tuple[Any, str]:
    """What holds the last part of a dotted path."""
    *above, name = path.split(".")
    for part in above:
        message = getattr(message, part)
    return message, name


def put(message: Any, path: str, value: Any) -> Any:
    holder, name = parent(message, path)
    setattr(holder, name, value)
    return message


def test_reading_has_pose_and_speed_and_whose_they_are() -> None:
    message = odometry_message(5 * S, place=(1.0, -2.0, 0.5), yaw=math.pi / 2, speed=3.0, rate=0.25)
    found = odometry_reading(message, config=OdometryConfig())
    assert found.stamp_ns == 5 * S
    assert (found.frame_id, found.child_frame_id) == ("odom", "base_link")
    assert found.pose == Pose((1.0, -2.0, 0.5), (0.0, 0.0, math.sin(math.pi / 4), math.cos(math.pi / 4)))
    assert (found.linear_m_s, found.angular_rad_s) == ((3.0, 0.0, 0.0), (0.0, 0.0, 0.25))


def test_reading_follows_the_parameters_where_they_say_better() -> None:
    config = OdometryConfig(frame_id="base_footprint", stamp_offset_s=0.25)
    found = odometry_reading(odometry_message(5 * S), config=config)
    assert (found.child_frame_id, found.stamp_ns) == ("base_footprint", 5 * S - S // 4)
    assert odometry_reading(odometry_message(child="/base_link"), config=OdometryConfig()).child_frame_id == (
        "base_link"
    ), "a leading slash is a habit of ROS 1"


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        ("pose.pose.position.x", math.nan, "non_finite"),
        ("twist.twist.linear.y", math.inf, "non_finite"),
        ("twist.twist.angular.z", 1e5, "out_of_range"),
        ("pose.pose.position.z", -1e9, "out_of_range"),
        ("pose.pose.orientation.w", 0.0, "out_of_range"),
        ("pose.pose.orientation", SimpleNamespace(x=0.0), "wrong_type"),
        ("twist.twist.linear.x", "fast", "wrong_type"),
        ("child_frame_id", 7, "wrong_type"),
        ("header.stamp.sec", 0, "zero_stamp"),
        ("header.stamp.sec", -1, "negative_stamp"),
        ("twist", None, "wrong_type"),
    ],
)
def test_message_is_refused_with_a_reason_when_it_cannot_be_meant(path: str, value: Any, reason: str) -> None:
    with pytest.raises(InvalidMessageError) as caught:
        odometry_reading(put(odometry_message(S), path, value), config=OdometryConfig())
    assert caught.value.reason == reason


def test_message_that_could_not_be_decoded_tells_that() -> None:
    with pytest.raises(InvalidMessageError, match="undecodable: cut off"):
        odometry_reading(Undecodable("cut off"), config=OdometryConfig())


ANYTHING = st.one_of(
    st.none(), st.text(max_size=3), st.floats(), st.integers(), st.booleans(), st.lists(st.floats())
)


@given(
    st.sampled_from([*PATHS, *(f"{path}.x" for path in PATHS), "header", "header.stamp.nanosec"]), ANYTHING
)
def test_damaged_message_is_read_or_refused_and_nothing_else_happens(path: str, value: Any) -> None:
    message = put(odometry_message(S), path, value)
    try:
        found = odometry_reading(message, config=OdometryConfig())
    except InvalidMessageError:
        return
    assert all(map(math.isfinite, (*found.pose.translation, *found.linear_m_s, *found.angular_rad_s)))
