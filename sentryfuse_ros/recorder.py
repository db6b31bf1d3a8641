"""Records what the fusion node publishes: the bytes as they came over DDS, into results.mcap."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rclpy.node import Node
from rclpy.serialization import deserialize_message

from sentryfuse_core.account import messages
from sentryfuse_core.account.diagnostics import DIAGNOSTICS_TYPE
from sentryfuse_core.bags.writer import BagWriter
from sentryfuse_ros import qos
from sentryfuse_ros.arrival import told_wait
from sentryfuse_ros.messages import message_class

__all__ = ["Recorder"]

_QOS = qos.sensor_profile(reliability="reliable", depth=100)


class Recorder:
    """Subscribes on `node` and writes until `close`; the file is closed and readable after that.

    `heard(type_name, message)` gets each message too, decoded, from the executor's thread.
    """

    def __init__(
        self, node: Node, path: Path, *, fusion: str = "/sentryfuse", heard: Callable[[str, Any], None]
    ) -> None:
        self._node = node
        self._heard = heard
        self._lock = threading.Lock()  # close may come from another thread than the callbacks
        self._writer: BagWriter | None = BagWriter(path).open()
        self._last_ns = 0
        topics = {
            f"{fusion}/detections": messages.DETECTIONS_TYPE,
            f"{fusion}/markers": messages.MARKERS_TYPE,
            f"{fusion}/status": messages.STATUS_TYPE,
            "/diagnostics": DIAGNOSTICS_TYPE,
        }
        self._subscriptions = [self._subscribe(topic, type_name) for topic, type_name in topics.items()]

    def close(self) -> None:
        """Stop listening and finish the file; closing twice is harmless."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._subscriptions = []
        with self._lock:
            writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()

    def _subscribe(self, topic: str, type_name: str) -> Any:
        kind = message_class(type_name)

        def on_message(data: bytes, waited_ns: int) -> None:
            came_ns = self._node.get_clock().now().nanoseconds - waited_ns
            now_ns = max(came_ns, self._last_ns)  # a bag's times never go back
            with self._lock:
                if self._writer is None:
                    return
                self._last_ns = now_ns
                self._writer.write_cdr(topic, type_name, now_ns, data)
            self._heard(type_name, deserialize_message(data, kind))

        return self._node.create_subscription(
            kind, topic, told_wait(on_message), _QOS, event_callbacks=qos.QUIET_SUBSCRIPTION, raw=True
        )
