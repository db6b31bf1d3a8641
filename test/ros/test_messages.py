"""ROS messages by the names of their types; what fills them is seen in every array of diagnostics."""

from __future__ import annotations

import pytest

from sentryfuse_ros.messages import fill, message_class

pytestmark = pytest.mark.ros


def test_message_class_is_found_by_either_spelling_of_its_type() -> None:
    assert message_class("sensor_msgs/msg/Imu") is message_class("sensor_msgs/Imu")
    assert message_class("sentryfuse/msg/FusionStatus")().sequence == 0


@pytest.mark.parametrize("name", ["no_such_msgs/msg/Thing", "sensor_msgs/msg/Thing", "Thing"])
def test_message_class_is_an_import_error_when_it_is_not_installed(name: str) -> None:
    with pytest.raises(ImportError, match=name.split("/", maxsplit=1)[0]):
        message_class(name)


def test_unknown_field_is_an_error() -> None:
    with pytest.raises(AttributeError, match="frame"):
        fill(message_class("std_msgs/msg/Header")(), {"frame": "x"})
