"""What the nodes that pass recorded topics on share: their names, their QoS and a status in /diagnostics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from diagnostic_msgs.msg import DiagnosticArray

from sentryfuse_core.account.diagnostics import OK, diagnostic_array, status_name
from sentryfuse_core.text import reason_of
from sentryfuse_ros.messages import fill
from sentryfuse_ros.qos import latched, sensor_profile

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rclpy.node import Node
    from rclpy.qos import QoSProfile

    from sentryfuse_core.bags.offers import RecordedQos

__all__ = ["DEPTH", "Report", "in_namespace", "passed_on", "refusal_of", "reporter"]

DEPTH = 20
_MOST_HELD = 100  # messages for who comes late: a topic of more is no state that holds, whatever it says
_GLOBAL = frozenset({"/tf", "/tf_static", "/clock", "/diagnostics", "/rosout", "/parameter_events"})


class Report(Protocol):
    """Says how the node stands."""

    def __call__(self, message: str, values: Mapping[str, Any], *, level: int = OK) -> None:
        """Publish it in /diagnostics."""


def passed_on(recorded: RecordedQos, *, count: int = _MOST_HELD) -> QoSProfile:
    """What a topic is published with that was published so before; `count` messages are all there will be."""
    reliability = "reliable" if recorded.reliable else "best_effort"
    if recorded.latched:
        return latched(reliability=reliability, depth=max(1, min(count, _MOST_HELD)))
    return sensor_profile(reliability=reliability, depth=DEPTH)


def reporter(node: Node, name: str, hardware_id: str) -> Report:
    """What publishes the node's one status."""
    publisher = node.create_publisher(DiagnosticArray, "/diagnostics", 10)

    def report(message: str, values: Mapping[str, Any], *, level: int = OK) -> None:
        status = {
            "level": level,
            "name": status_name(node.get_fully_qualified_name(), name),
            "message": message,
            "hardware_id": hardware_id,
            "values": [{"key": key, "value": str(value)} for key, value in values.items()],
        }
        fields = diagnostic_array(node.get_clock().now().nanoseconds, [status])
        publisher.publish(fill(DiagnosticArray(), fields))

    return report


def in_namespace(topic: str, namespace: str) -> str:
    """A topic's name in a namespace: below it, unless it is there already or belongs to all robots."""
    inside = f"{namespace.rstrip('/')}/"
    if topic in _GLOBAL or topic.startswith(inside):
        return topic
    return f"{inside}{topic.removeprefix('/')}"


def refusal_of(node: Node, name: str) -> str:
    """Why ROS 2 does not take a topic's name; empty where it does."""
    try:
        node.resolve_topic_name(name)
    except Exception as error:  # noqa: BLE001 - which one it is depends on the rule and the distribution
        return reason_of(error).removeprefix("failed to resolve name: ").partition(", at /")[0]
    return ""
