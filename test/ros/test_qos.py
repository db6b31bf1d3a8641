"""What the parameters `qos_overrides.` do to the node's topics."""

from __future__ import annotations

from typing import Any
from unittest.mock import Mock

import pytest
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import ReliabilityPolicy
from ros.support import rig

from sentryfuse_core.config import Config, override
from sentryfuse_core.errors import ConfigError
from sentryfuse_ros import qos
from sentryfuse_ros.publish import Outputs
from sentryfuse_ros.subscribe import Inputs

pytestmark = pytest.mark.ros

RELIABLE, BEST_EFFORT = ReliabilityPolicy.RELIABLE, ReliabilityPolicy.BEST_EFFORT


def overridden(topic: str, value: str) -> tuple[str, str]:
    return "-p", f"qos_overrides.{topic}:={value}"


@pytest.mark.parametrize("changed", ["/sentryfuse/detections", "/sentryfuse/status", "/diagnostics"])
def test_one_topic_alone_is_published_otherwise_when_its_qos_is_overridden(changed: str) -> None:
    topics = ("/sentryfuse/detections", "/sentryfuse/tracks", "/sentryfuse/status", "/diagnostics")
    with rig(
        lambda: LifecycleNode("sentryfuse"), *overridden(f"{changed}.publisher.reliability", "best_effort")
    ) as found:
        outputs = Outputs(found.node)

        def offered() -> dict[str, ReliabilityPolicy]:
            infos = {topic: found.bench.get_publishers_info_by_topic(topic) for topic in topics}
            return {topic: info[0].qos_profile.reliability for topic, info in infos.items() if info}

        found.until(lambda: len(offered()) == len(topics))
        assert offered() == {topic: BEST_EFFORT if topic == changed else RELIABLE for topic in topics}
        outputs.close()
    assert qos.RESULTS.reliability is RELIABLE


def test_one_topic_alone_is_heard_otherwise_when_its_qos_is_overridden() -> None:
    handler: Any = Mock()
    with rig(
        lambda: LifecycleNode("sentryfuse"),
        *overridden("/camera/camera_info.subscription.reliability", "reliable"),
        *overridden("/battery.subscription.depth", "7"),
    ) as found:
        inputs = Inputs(found.node, Config(), handler)
        heard = {item.topic_name: item.qos_profile for item in found.node.subscriptions}
        inputs.close()
    info, battery = heard["/camera/camera_info"], heard["/battery"]
    assert (info.reliability, info.depth) == (RELIABLE, 1)
    assert (battery.reliability, battery.depth) == (BEST_EFFORT, 7)


@pytest.mark.parametrize("other", ["odometry.topic", "camera.info_topic"])  # made after it, and before
def test_error_says_to_remap_when_a_topic_of_the_node_has_two_types(other: str) -> None:
    """What the middleware says of it is no matter of QoS."""
    config = override(Config(), {other: "/points", "lidar.topic": "/points"})
    with (
        rig(lambda: LifecycleNode("sentryfuse")) as found,
        pytest.raises(ConfigError, match=r"^no \w+/\w+ on /points: .*another type; remap") as caught,
    ):
        Inputs(found.node, config, Mock())
    assert "reliability" not in str(caught.value)


@pytest.mark.parametrize(
    ("policy", "value"),
    [("reliability", "besteffort"), ("depth", "ten"), ("depth", "-1"), ("history", "all")],
)
def test_error_names_the_topic_when_an_override_is_no_qos(policy: str, value: str) -> None:
    topic = "/sentryfuse/status"
    with (
        rig(lambda: LifecycleNode("sentryfuse"), *overridden(f"{topic}.publisher.{policy}", value)) as found,
        pytest.raises(ConfigError, match=r"status: .*reliable or best_effort"),
    ):
        Outputs(found.node)
