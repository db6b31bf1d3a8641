"""Looks at the topics of a running robot: who publishes what, and what the messages are like."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import ReliabilityPolicy

from sentryfuse_core import convert
from sentryfuse_core.clock import NS_PER_S
from sentryfuse_core.convert import to_sample
from sentryfuse_core.errors import InvalidMessageError
from sentryfuse_core.types import Modality
from sentryfuse_ros import qos
from sentryfuse_ros.arrival import told_wait
from sentryfuse_ros.check_findings import Frame, Level, Line, Publisher, SensorSeen
from sentryfuse_ros.frames import TransformTree, tf2_available
from sentryfuse_ros.messages import message_class
from sentryfuse_ros.subscribe import info_topic, sensor_topics, sensor_types

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rclpy.node import Node

    from sentryfuse_core.config import Config

__all__ = ["Look"]

_ENOUGH_MESSAGES, _ENOUGH_S = 5, 0.5  # of every sensor, so that a rate can be told
_DISCOVERY_S = 1.5  # a topic that has had no publisher for this long has none


@dataclass
class _Stream:
    """What came on one topic."""

    arrivals_ns: list[int] = field(default_factory=list)
    stamps_ns: list[tuple[int, int]] = field(default_factory=list)
    faults: dict[str, str] = field(default_factory=dict)
    frame_id: str | None = None


class Look:
    """Subscribes what the node would; a context that destroys the node it was given."""

    def __init__(self, node: Node, config: Config) -> None:
        self._node, self._config = node, config
        self._began_s = time.monotonic()
        self._topics = sensor_topics(node, config)
        self._types = sensor_types(config)
        self._streams = {modality: _Stream() for modality in self._topics}
        self._subscribed: set[Modality] = set()
        self._infos: list[str] = []  # what is wrong with each CameraInfo; empty text: it fits
        self._tree: TransformTree | None = None
        if config.output.extrinsics == "auto" and tf2_available():
            self._tree = TransformTree(node, base_frame=config.output.base_frame)
        if Modality.CAMERA in self._topics:
            profile = qos.sensor_profile(reliability="best_effort", depth=1)
            kind = message_class("sensor_msgs/msg/CameraInfo")
            node.create_subscription(kind, info_topic(node, config), self._on_info, profile)
        self._executor = SingleThreadedExecutor(context=node.context)
        self._executor.add_node(node)

    def __enter__(self) -> Look:
        return self

    def __exit__(self, *_: object) -> None:
        if self._tree is not None:
            self._tree.close()
        self._executor.shutdown()
        self._node.destroy_node()

    def until(self, deadline_s: float) -> None:
        """Look until everything has answered, or until this monotonic time."""
        while time.monotonic() < deadline_s and not self._answered():
            self._subscribe()
            self._executor.spin_once(timeout_sec=0.05)

    def seen(self) -> Iterator[tuple[Modality, SensorSeen]]:
        """What was seen of every enabled sensor."""
        for modality, topic in self._topics.items():
            stream = self._streams[modality]
            yield (
                modality,
                SensorSeen(
                    topic=topic,
                    wanted=self._types[modality],
                    wants_reliable=self._config.sensor(modality).reliability == "reliable",
                    publishers=self._publishers(topic),
                    waited_s=time.monotonic() - self._began_s,
                    arrivals_ns=tuple(stream.arrivals_ns),
                    stamps_ns=tuple(stream.stamps_ns),
                    faults=stream.faults,
                    frame_id=stream.frame_id,
                    frame=self._frame(modality, stream),
                ),
            )

    def other_lines(self) -> list[Line]:
        """CameraInfo and simulated time."""
        lines = []
        if Modality.CAMERA in self._topics:
            lines.append(self._info_line())
        if self._node.get_parameter("use_sim_time").value and self._node.get_clock().now().nanoseconds == 0:
            remedy = "play a clock, or set use_sim_time to false"
            lines.append(Line("time", "clock", Level.FAIL, "use_sim_time without /clock", remedy))
        return lines

    def _info_line(self) -> Line:
        if not self._infos:
            text = f"no CameraInfo on {info_topic(self._node, self._config)}: camera.fx and so on are used"
            remedy = "set camera.info_topic, or check that camera.fx ... are this camera's"
            return Line("camera", "CameraInfo", Level.WARN, text, remedy)
        if self._infos[-1]:
            remedy = "calibrate the camera, or correct its driver"
            return Line("camera", "CameraInfo", Level.FAIL, self._infos[-1], remedy)
        return Line("camera", "CameraInfo", Level.OK, "intrinsics can be used")

    def _answered(self) -> bool:
        elapsed_s = time.monotonic() - self._began_s
        if elapsed_s < _DISCOVERY_S:
            return False
        return all(self._is_settled(modality) for modality in self._topics) and (
            Modality.CAMERA not in self._topics or bool(self._infos) or elapsed_s > 2 * _DISCOVERY_S
        )

    def _is_settled(self, modality: Modality) -> bool:
        arrivals_ns = self._streams[modality].arrivals_ns
        enough = len(arrivals_ns) >= _ENOUGH_MESSAGES
        return enough and arrivals_ns[-1] - arrivals_ns[0] >= _ENOUGH_S * NS_PER_S

    def _publishers(self, topic: str) -> tuple[Publisher, ...]:
        found = self._node.get_publishers_info_by_topic(topic)
        best_effort = ReliabilityPolicy.BEST_EFFORT
        return tuple(
            Publisher(info.topic_type, info.qos_profile.reliability is best_effort) for info in found
        )

    def _subscribe(self) -> None:
        """Subscribe the topics that have a publisher of a type that the node would take."""
        for modality in self._topics.keys() - self._subscribed:
            topic, section = self._topics[modality], self._config.sensor(modality)
            offered = {item.type_name for item in self._publishers(topic)}
            wanted = [name for name in self._types[modality] if name in offered]
            if not wanted:
                continue
            self._subscribed.add(modality)
            try:
                kind = message_class(wanted[0])
            except ImportError as error:
                self._streams[modality].faults["not installed"] = str(error)
                continue
            self._node.create_subscription(
                kind,
                topic,
                told_wait(partial(self._on_message, modality, wanted[0])),
                qos.sensor_profile(reliability=section.reliability, depth=section.depth),
            )

    def _on_message(self, modality: Modality, type_name: str, message: Any, waited_ns: int) -> None:
        stream = self._streams[modality]
        arrival_ns = time.monotonic_ns() - waited_ns
        received_ns = self._node.get_clock().now().nanoseconds - waited_ns
        stream.arrivals_ns.append(arrival_ns)
        header = getattr(message, "header", None)
        if header is not None:
            stream.frame_id = header.frame_id
            offset_ns = round(self._config.sensor(modality).stamp_offset_s * NS_PER_S)
            stamp_ns = header.stamp.sec * NS_PER_S + header.stamp.nanosec - offset_ns
            stream.stamps_ns.append((stamp_ns, received_ns))
        try:
            to_sample(
                modality,
                message,
                type_name=type_name,
                config=self._config.sensor(modality),
                received_ns=received_ns,
                arrival_ns=arrival_ns,
            )
        except InvalidMessageError as error:
            if error.reason != "negative_stamp":  # what the stamps say is told of them all together
                stream.faults[error.reason] = error.detail

    def _on_info(self, message: Any) -> None:
        try:
            convert.camera_info(message)
        except InvalidMessageError as error:
            self._infos.append(f"{error.reason}: {error.detail}")
        else:
            self._infos.append("")

    def _frame(self, modality: Modality, stream: _Stream) -> Frame:
        if self._tree is None:
            return Frame.UNASKED
        frame_id = self._config.sensor(modality).frame_id or stream.frame_id or ""
        if frame_id and self._tree.pose(frame_id, now_ns=time.monotonic_ns()) is not None:
            return Frame.PLACED
        return Frame.APART if self._tree.knows(frame_id) else Frame.UNKNOWN
