"""The fusion node with sensors by name over real DDS: two lidars, two cameras, and what is refused."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from ros.support import PARAMETERS, Listener, NodeProcess, Robot, recording
from sentryfuse.msg import FusionStatus, SensorHealth

from sentryfuse_core.config import Config, override
from sentryfuse_core.errors import TopicError
from sentryfuse_core.types import Modality, ModalitySet
from sentryfuse_ros.subscribe import sensor_topics

pytestmark = [pytest.mark.ros, pytest.mark.capability("sensors by name over real DDS")]

KINDS = {"front": "camera", "rear": "camera", "top": "lidar", "low": "lidar", "imu": "imu", "mic": "audio"}
RIG: dict[str, Any] = {
    "sensors": f"[{', '.join(KINDS)}]",
    **{f"{name}.kind": kind for name, kind in KINDS.items() if name != kind},
    "front.transport": "compressed",
    "front.topic": "/camera/image",
    "front.translation_m": "[0.3, 0.0, 1.5]",
    "front.quaternion_xyzw": "[-0.5, 0.5, -0.5, 0.5]",
    "rear.transport": "compressed",
    "rear.translation_m": "[-0.3, 0.0, 1.5]",
    "rear.quaternion_xyzw": "[-0.5, -0.5, 0.5, 0.5]",
    "top.topic": "/lidar/points",
    "top.translation_m": "[0.0, 0.0, 1.8]",
    "low.translation_m": "[0.0, 0.0, 1.8]",
    "mic.topic": "/audio",
    # How fast this machine is at it is not under test.
    "sync.max_wait_s": 0.5,
    "output.max_output_age_s": 30.0,
    "odometry.enabled": "false",
}
COPIES = {"/camera/image/compressed": "/rear/image/compressed", "/lidar/points": "/low/points"}
USED = ["front", "top", "low", "imu", "mic"]


@pytest.fixture(scope="module")
def robot(listener: Listener) -> Iterator[Robot]:
    messages = [
        copy
        for item in recording()
        for copy in (item, *([replace(item, topic=COPIES[item.topic])] if item.topic in COPIES else []))
    ]
    given = {name: value for name, value in PARAMETERS.items() if not name.startswith("camera.")}
    with Robot(listener.node, messages) as found, NodeProcess(**{**given, **RIG}) as node:
        node.wait_for_line("warmed up")
        listener.wait_for("status", lambda status: list(status.used) == USED)
        yield found
        node.end()


def health(status: FusionStatus, name: str) -> SensorHealth:
    return next(sensor for sensor in status.sensors if sensor.name == name)


def test_status_and_detections_are_by_name_and_kind(robot: Robot, listener: Listener) -> None:
    robot.muted = set()
    status = listener.wait_for(
        "status",
        lambda status: list(status.used) == USED and health(status, "rear").state == SensorHealth.OK,
    )
    assert {sensor.name: sensor.kind for sensor in status.sensors} == KINDS
    assert status.mask == 15
    assert health(status, "rear").absence == "LEFT_OUT"
    array = listener.wait_for("detections", lambda array: list(array.sensors) == USED)
    assert list(array.modalities) == ["camera", "lidar", "lidar", "imu", "audio"]
    assert len(array.modality_stamps) == len(array.modality_ages_ms) == 5
    found = listener.diagnostic("sensor/low", lambda item: item.level == DiagnosticStatus.OK)
    assert found.hardware_id == "/low/points"


def test_other_lidar_goes_on_when_one_dies(robot: Robot, listener: Listener) -> None:
    for dead, living in (("low", "top"), ("top", "low")):
        robot.muted = {"/low/points" if dead == "low" else "/lidar/points"}
        status = listener.wait_for(
            "status",
            lambda item, dead=dead, living=living: (
                health(item, dead).absence == "LOST" and living in item.used
            ),
        )
        assert dead not in status.used
        assert status.mask & ModalitySet.of(Modality.LIDAR).bits
        again = listener.wait_for("status", lambda item, living=living: item.anchor == living)
        assert health(again, dead).state == SensorHealth.LOST
        robot.muted = set()
        listener.wait_for("status", lambda item: list(item.used) == USED, since_s=time.monotonic())


@pytest.mark.parametrize(
    ("parameters", "told"),
    [
        ({"sensors": "[top, top]"}, "sensors names 'top' twice"),
        ({"sensors": "[top]"}, "top.kind is not given"),
        ({"sensors": "[imu]", "lidar.topic": "/points"}, "no sensor is called 'lidar'"),
    ],
)
def test_node_ends_with_one_line_when_sensors_do_not_fit(parameters: dict[str, str], told: str) -> None:
    with NodeProcess(**parameters) as node:
        assert node.wait() == 2
    assert told in node.output


def test_topics_are_refused_when_a_remap_gives_two_sensors_the_same() -> None:
    node: Any = SimpleNamespace(resolve_topic_name=lambda _topic: "/points")
    config = override(Config(), {"sensors": ["a", "b"], "a.kind": "lidar", "b.kind": "lidar"})
    with pytest.raises(TopicError, match="a and b both listen to /points"):
        sensor_topics(node, config)
