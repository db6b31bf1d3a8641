"""Everything the fusion node says: detections, tracks, markers, status and diagnostics."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from rclpy.lifecycle import LifecycleNode

from sentryfuse_core.account import messages
from sentryfuse_core.account.diagnostics import DIAGNOSTICS_TYPE
from sentryfuse_core.account.markers import marker_array
from sentryfuse_core.config import Config, OutputConfig
from sentryfuse_core.types import FusionResult, ModalitySet
from sentryfuse_ros import qos
from sentryfuse_ros.messages import fill, message_class

if TYPE_CHECKING:
    from sentryfuse_core.runtime.bank import Bank

__all__ = ["Outputs", "vision_msgs_available"]

_LABELS_TOPIC = "~/label_info"


def vision_msgs_available() -> bool:
    """Whether vision_msgs can be imported."""
    return importlib.util.find_spec("vision_msgs") is not None


class Outputs:
    """The node's publishers; results pass only while the node is active, diagnostics always."""

    def __init__(self, node: LifecycleNode) -> None:
        self._node = node
        made = partial(qos.made, event_callbacks=qos.QUIET_PUBLISHER)
        self._publishers = {
            type_name: made(node.create_lifecycle_publisher, message_class(type_name), topic, qos.RESULTS)
            for type_name, topic in _topics().items()
        }
        self._latched = {
            type_name: made(node.create_publisher, kind, topic, qos.LATCHED)
            for type_name, (kind, topic) in _latched_topics().items()
        }
        self._diagnostics = made(
            node.create_publisher, message_class(DIAGNOSTICS_TYPE), "/diagnostics", qos.RESULTS
        )

    def publish(
        self, result: FusionResult, context: messages.PublishContext, *, config: OutputConfig
    ) -> None:
        """Publish detections, tracks, coverage and markers, then the status, which tells what is out."""
        self._send(messages.DETECTIONS_TYPE, messages.detection_array(result, context))
        if messages.DETECTIONS_3D_TYPE in self._publishers:
            self._send(messages.DETECTIONS_3D_TYPE, messages.detection_3d_array(result, context))
        if result.tracks is not None:
            self._send(messages.TRACKS_TYPE, messages.track_array(result, context))
        if config.coverage:
            self._send(messages.COVERAGE_TYPE, messages.coverage(result, context))
        if config.markers:
            self._send(messages.MARKERS_TYPE, marker_array(result, context))
        self.publish_status(result, context)

    def publish_status(self, result: FusionResult, context: messages.PublishContext) -> None:
        """Publish the account alone, for a set whose detections are withheld."""
        self._send(messages.STATUS_TYPE, messages.fusion_status(result, context))

    def publish_classes(self, bank: Bank, config: Config) -> None:
        """Publish, latched, what makes the detections and how its classes are called.

        The threshold is that of a set of all enabled sensors at the widest level: fewer have others.
        """
        top = messages.header(self._node.get_clock().now().nanoseconds, config.output.base_frame)
        enabled = ModalitySet.of(*(kind for name, kind in config.kinds if config.sensor(name).enabled))
        threshold = bank.threshold(enabled, bank.loaded.start, asked=config.model.score_threshold)
        where = self._node.resolve_topic_name(_LABELS_TOPIC)
        fields = {
            messages.VISION_INFO_TYPE: messages.vision_info(
                top, checkpoint=bank.identity, labels_topic=where
            ),
            messages.LABEL_INFO_TYPE: messages.label_info(top, labels=bank.labels, threshold=threshold),
        }
        for type_name, publisher in self._latched.items():
            publisher.publish(fill(message_class(type_name)(), fields[type_name]))

    def publish_diagnostics(self, fields: Mapping[str, Any]) -> None:
        """Publish a diagnostic_msgs/DiagnosticArray."""
        self._diagnostics.publish(fill(message_class(DIAGNOSTICS_TYPE)(), fields))

    def close(self) -> None:
        """Drop every publisher."""
        for publisher in self._publishers.values():
            self._node.destroy_lifecycle_publisher(publisher)
        self._publishers.clear()
        for latched in self._latched.values():
            self._node.destroy_publisher(latched)
        self._latched.clear()
        self._node.destroy_publisher(self._diagnostics)

    def _send(self, type_name: str, fields: Mapping[str, Any]) -> None:
        self._publishers[type_name].publish(fill(message_class(type_name)(), fields))


def _latched_topics() -> dict[str, tuple[Any, str]]:
    """Class and topic of each latched type; older vision_msgs have no LabelInfo."""
    topics = {messages.VISION_INFO_TYPE: "~/vision_info", messages.LABEL_INFO_TYPE: _LABELS_TOPIC}
    found: dict[str, tuple[Any, str]] = {}
    for type_name, topic in topics.items() if vision_msgs_available() else ():
        with suppress(ImportError):
            found[type_name] = (message_class(type_name), topic)
    return found


def _topics() -> dict[str, str]:
    """Topic of each type of result."""
    topics = {
        messages.DETECTIONS_TYPE: "~/detections",
        messages.TRACKS_TYPE: "~/tracks",
        messages.COVERAGE_TYPE: "~/coverage",
        messages.MARKERS_TYPE: "~/markers",
        messages.STATUS_TYPE: "~/status",
    }
    if vision_msgs_available():
        topics[messages.DETECTIONS_3D_TYPE] = "~/detections_3d"
    return topics
