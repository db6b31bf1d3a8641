"""Which topics the node listens to."""

from __future__ import annotations

import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from std_msgs.msg import String

from sentryfuse_core.config import Config, override
from sentryfuse_core.types import Modality
from sentryfuse_ros import qos, subscribe
from sentryfuse_ros.subscribe import Inputs, sensor_topics

UNHEARD = ("on_sensor", "on_camera_info", "on_battery", "on_budget")


@pytest.mark.parametrize("name", ["/front/cam", "/front/cam/compressed"])
def test_camera_topic_ends_in_compressed_once_when_the_transport_is_compressed(name: str) -> None:
    node: Any = SimpleNamespace(resolve_topic_name=lambda topic: f"/{topic.lstrip('/')}")
    config = override(Config(), {"camera.transport": "compressed", "camera.topic": name})
    assert sensor_topics(node, config)[Modality.CAMERA] == "/front/cam/compressed"
    raw = override(Config(), {"camera.topic": name})
    assert sensor_topics(node, raw)[Modality.CAMERA] == name


def test_a_type_of_a_driver_s_own_is_told_with_its_remedy() -> None:
    assert "xfer_format" in subscribe._remedy("/livox/lidar", {"livox_ros_driver2/msg/CustomMsg"})
    assert "remap" in subscribe._remedy("/odom", {"nav_msgs/msg/Odometry"})


@pytest.fixture
def node() -> Iterator[Node]:
    context = rclpy.Context()
    context.init()
    made = Node("listening", context=context)
    yield made
    made.destroy_node()
    context.shutdown()


@pytest.mark.parametrize("latched", [True, False])
def test_audio_info_is_heard_when_its_publisher_latches_it_or_not(
    node: Node, latched: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        subscribe, "AUDIO_INFO_TYPE", "std_msgs/msg/String"
    )  # its own package is not installed
    profile = qos.LATCHED if latched else qos.RESULTS
    publisher = node.create_publisher(String, "/audio_info", profile)
    publisher.publish(String(data="before anybody listened"))
    heard: list[String] = []
    handler: Any = SimpleNamespace(on_audio_info=heard.append, **dict.fromkeys(UNHEARD, print))
    inputs = Inputs(node, Config(), handler)
    executor = SingleThreadedExecutor(context=node.context)
    executor.add_node(node)
    end_s = time.monotonic() + 60.0
    while not heard and time.monotonic() < end_s:
        inputs.poll()
        if not latched:
            publisher.publish(String(data="again"))
        executor.spin_once(timeout_sec=0.1)
    inputs.close()
    assert heard
