"""ROS messages filled from plain nested values."""

from __future__ import annotations

import pytest

from sentryfuse_ros.messages import fill, message_class

pytestmark = pytest.mark.ros


def test_message_class_is_found_by_either_spelling_of_its_type() -> None:
    assert message_class("sensor_msgs/msg/Imu") is message_class("sensor_msgs/Imu")
    assert message_class("sentryfuse/msg/FusionStatus")().sequence == 0


@pytest.mark.parametrize("name", ["no_such_msgs/msg/Thing", "sensor_msgs/msg/Thing"])
def test_message_class_is_an_import_error_when_it_is_not_installed(name: str) -> None:
    with pytest.raises(ImportError, match=name.split("/", maxsplit=1)[0]):
        message_class(name)


def test_nested_values_arrays_and_bytes_are_filled_in() -> None:
    values = {
        "header": {"stamp": {"sec": 3, "nanosec": 4}, "frame_id": "map"},
        "status": [
            {"level": 2, "name": "a", "values": [{"key": "k", "value": "v"}]},
            {"level": 0, "name": "b"},
        ],
    }
    message = fill(message_class("diagnostic_msgs/msg/DiagnosticArray")(), values)
    assert (message.header.stamp.sec, message.header.stamp.nanosec, message.header.frame_id) == (3, 4, "map")
    assert [(item.level, item.name) for item in message.status] == [(b"\x02", "a"), (b"\x00", "b")]
    assert message.status[0].values[0].key == "k"
    assert list(message.status[1].values) == []


def test_unknown_field_is_an_error() -> None:
    with pytest.raises(AttributeError, match="frame"):
        fill(message_class("std_msgs/msg/Header")(), {"frame": "x"})
