"""Records what the fusion node publishes: the bytes as they came over DDS, into results.mcap."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from rclpy.node import Node
from rclpy.serialization import deserialize_message

from sentryfuse_core.account import messages
from sentryfuse_core.account.diagnostics import DIAGNOSTICS_TYPE, NODE_NAME
from sentryfuse_core.bags.writer import BagWriter
from sentryfuse_ros import qos
from sentryfuse_ros.arrival import told_wait
from sentryfuse_ros.messages import message_class

__all__ = ["record"]

_TOPICS = {
    f"{NODE_NAME}/detections": messages.DETECTIONS_TYPE,
    f"{NODE_NAME}/tracks": messages.TRACKS_TYPE,
    f"{NODE_NAME}/coverage": messages.COVERAGE_TYPE,
    f"{NODE_NAME}/markers": messages.MARKERS_TYPE,
    f"{NODE_NAME}/status": messages.STATUS_TYPE,
    "/diagnostics": DIAGNOSTICS_TYPE,
}
_QOS = qos.sensor_profile(reliability="reliable", depth=100)


def record(node: Node, writer: BagWriter, *, heard: Callable[[str, Any], None]) -> None:
    """Subscribe on `node` and write until it is destroyed; the writer's owner closes it after that.

    `heard(type_name, message)` gets each message too, decoded, from the executor's thread.
    """
    last_ns = 0

    def take(topic: str, type_name: str, kind: Any, data: bytes, waited_ns: int) -> None:
        nonlocal last_ns
        came_ns = node.get_clock().now().nanoseconds - waited_ns
        last_ns = max(came_ns, last_ns)  # a bag's times never go back
        writer.write_cdr(topic, type_name, last_ns, data)
        heard(type_name, deserialize_message(data, kind))

    for topic, type_name in _TOPICS.items():
        kind = message_class(type_name)
        node.create_subscription(
            kind,
            topic,
            told_wait(partial(take, topic, type_name, kind)),
            _QOS,
            event_callbacks=qos.QUIET_SUBSCRIPTION,
            raw=True,
        )
