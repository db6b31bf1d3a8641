"""Everything the fusion node listens to: sensors, intrinsics, battery and budget."""

from __future__ import annotations

from collections.abc import Callable, Set
from typing import Any, Protocol

from rclpy.exceptions import NameValidationException
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.subscription import RCLError, Subscription
from rclpy.topic_endpoint_info import TopicEndpointInfo
from rclpy.validate_full_topic_name import validate_full_topic_name

from sentryfuse_core.config import Config
from sentryfuse_core.convert import AUDIO_INFO_TYPE, SUPPORTED_TYPES
from sentryfuse_core.errors import TopicError
from sentryfuse_core.types import Modality
from sentryfuse_ros import qos
from sentryfuse_ros.arrival import told_wait
from sentryfuse_ros.messages import message_class
from sentryfuse_ros.problems import (
    COMPRESSED,
    IMAGE_TYPES,
    Problem,
    best_effort_only,
    no_publisher,
    unknown_type,
)

__all__ = ["UNKNOWN_NODE", "Handler", "Inputs", "full_name", "sensor_topics"]

UNKNOWN_NODE = "a node whose name is not known yet"


class Handler(Protocol):
    """What is done with what arrives; called by the executor, must return quickly and never raise."""

    def on_sensor(self, modality: Modality, message: Any, type_name: str, waited_ns: int) -> None:
        """Take one message of a sensor that came `waited_ns` ago."""

    def on_camera_info(self, message: Any) -> None:
        """Take the camera's intrinsics."""

    def on_audio_info(self, message: Any) -> None:
        """Take what an AudioInfo says of the audio."""

    def on_battery(self, message: Any) -> None:
        """Take the battery's state."""

    def on_budget(self, message: Any) -> None:
        """Take a budget."""


def sensor_topics(node: Node, config: Config) -> dict[Modality, str]:
    """The resolved topic of every enabled sensor."""
    sections = {modality: config.sensor(modality) for modality in Modality}
    names = {modality: section.topic for modality, section in sections.items() if section.enabled}
    if Modality.CAMERA in names and config.camera.transport == "compressed":
        names[Modality.CAMERA] = names[Modality.CAMERA].removesuffix(COMPRESSED) + COMPRESSED
    return {modality: _resolve(node, f"{modality.value}.topic", name) for modality, name in names.items()}


def _resolve(node: Node, parameter: str, name: str) -> str:
    """The topic that a parameter names, remapped; TopicError where it is no name."""
    try:
        resolved = node.resolve_topic_name(name)
        validate_full_topic_name(resolved)
    except (RCLError, NameValidationException) as error:
        raise TopicError(
            f"{parameter} = {name!r} is no topic name; use letters, digits, '_' and '/', no digit first"
        ) from error
    return resolved


def full_name(info: TopicEndpointInfo) -> str:
    """Name of the node behind a publisher, with its namespace; `UNKNOWN_NODE` for its first moments."""
    if info.node_name == "_NODE_NAME_UNKNOWN_":  # rcl's, while the endpoint is known but its node is not
        return UNKNOWN_NODE
    return f"{info.node_namespace.rstrip('/')}/{info.node_name}"


class Inputs:
    """The node's subscriptions; audio's type is found in the graph, so `poll` it a few times a second."""

    def __init__(self, node: Node, config: Config, handler: Handler) -> None:
        self._node = node
        self._config = config
        self._handler = handler
        self._topics = sensor_topics(node, config)
        self._sensors: dict[Modality, tuple[str, Subscription[Any]]] = {}
        self._others: list[Subscription[Any]] = []
        self._audio_info: tuple[bool, Subscription[Any]] | None = None  # whether it is latched
        self.publishers: dict[Modality, tuple[str, ...]] = {}  # whom each subscription hears, by full name
        self.problems: dict[Modality, Problem] = {}  # why a sensor's topic brings nothing, where it is known
        self._told: set[str] = set()  # topics whose mismatch has been logged
        self._open()

    def close(self) -> None:
        """Drop every subscription."""
        held = [*self._sensors.values(), *([self._audio_info] if self._audio_info else [])]
        for subscription in [*self._others, *(subscription for _, subscription in held)]:
            self._node.destroy_subscription(subscription)
        self._audio_info = None
        self._others.clear()
        self._sensors.clear()

    def poll(self) -> None:
        """Compare what publishers offer with what is subscribed; subscribe audio once its type is known."""
        if Modality.AUDIO in self._topics:
            self._find_audio_info()
        problems = {}
        for modality, topic in self._topics.items():
            publishers = self._node.get_publishers_info_by_topic(topic)
            offered = {info.topic_type for info in publishers}
            problem = self._problem(modality, topic, offered)
            if problem is None and self._config.sensor(modality).reliability == "reliable":
                reliabilities = {info.qos_profile.reliability for info in publishers}
                if ReliabilityPolicy.BEST_EFFORT in reliabilities:
                    problem = best_effort_only(modality)
            if problem is not None:
                problems[modality] = problem
            wanted = self._sensors[modality][0] if modality in self._sensors else None
            heard = (full_name(info) for info in publishers if info.topic_type == wanted)
            self.publishers[modality] = tuple(sorted(heard))
        self.problems = problems
        for subscription in self._others:
            self._compare(subscription)

    def _problem(self, modality: Modality, topic: str, offered: Set[str]) -> Problem | None:
        """What keeps a sensor's messages away, but for QoS."""
        wanted = self._sensors[modality][0] if modality in self._sensors else None
        if wanted in offered:
            return None
        if not offered:
            return no_publisher(topic, sibling=self._sibling(topic) if modality is Modality.CAMERA else "")
        if modality is Modality.AUDIO:
            return self._find_audio(topic, offered)
        return unknown_type(modality, topic, offered, wanted=wanted)

    def _sibling(self, topic: str) -> str:
        """The name that a picture has by the other transport, where it is published; else nothing."""
        compressed = topic.endswith(COMPRESSED)
        name = topic.removesuffix(COMPRESSED) if compressed else topic + COMPRESSED
        return name if self._node.get_publishers_info_by_topic(name) else ""

    def _compare(self, subscription: Subscription[Any]) -> None:
        """Log, once, a publisher whose offer keeps its messages from another subscription than a sensor's."""
        topic = subscription.topic_name
        for info in self._node.get_publishers_info_by_topic(topic):
            reason = qos.mismatch(info.qos_profile, subscription.qos_profile)
            if reason and topic not in self._told:
                self._told.add(topic)
                text = f"nothing comes of a publisher on {topic}: {reason}; change either side's QoS"
                self._node.get_logger().warning(text)

    def _open(self) -> None:
        config = self._config
        types = {
            Modality.CAMERA: IMAGE_TYPES[config.camera.transport],
            Modality.LIDAR: "sensor_msgs/msg/PointCloud2",
            Modality.IMU: "sensor_msgs/msg/Imu",
        }
        for modality, type_name in types.items():
            if modality in self._topics:
                self._subscribe(modality, type_name)
        handler, state = self._handler, qos.sensor_profile(reliability="best_effort", depth=1)
        if Modality.CAMERA in self._topics:
            info_topic = _resolve(self._node, "camera.info_topic", config.camera.info_topic)
            self._other("sensor_msgs/msg/CameraInfo", info_topic, handler.on_camera_info, state)
        self._other("sensor_msgs/msg/BatteryState", "battery", handler.on_battery, state)
        self._other("sentryfuse/msg/Budget", "~/budget", handler.on_budget, qos.COMMANDS)
        self.poll()

    def _find_audio_info(self) -> None:
        """Subscribe to AudioInfo as its publishers offer it: audio_capture latches it and says it once."""
        topic = _resolve(self._node, "audio.info_topic", self._config.audio.info_topic)
        publishers = self._node.get_publishers_info_by_topic(topic)
        if not any(info.topic_type == AUDIO_INFO_TYPE for info in publishers):
            return
        latched = all(info.qos_profile.durability is qos.LATCHED.durability for info in publishers)
        if self._audio_info is not None:
            if self._audio_info[0] is latched:
                return
            self._node.destroy_subscription(self._audio_info[1])
        try:
            kind = message_class(AUDIO_INFO_TYPE)
        except ImportError:
            return  # nor can the audio itself be read then, which is told
        profile = qos.LATCHED if latched else qos.sensor_profile(reliability="best_effort", depth=1)
        found = self._node.create_subscription(
            kind, topic, self._handler.on_audio_info, profile, event_callbacks=qos.QUIET_SUBSCRIPTION
        )
        self._audio_info = latched, found

    def _subscribe(self, modality: Modality, type_name: str) -> None:
        section, handler = self._config.sensor(modality), self._handler
        if modality in self._sensors:
            self._node.destroy_subscription(self._sensors.pop(modality)[1])
        self._sensors[modality] = (
            type_name,
            self._node.create_subscription(
                message_class(type_name),
                self._topics[modality],
                told_wait(lambda message, ns: handler.on_sensor(modality, message, type_name, ns)),
                qos.sensor_profile(reliability=section.reliability, depth=section.depth),
                event_callbacks=qos.QUIET_SUBSCRIPTION,
            ),
        )

    def _other(
        self, type_name: str, topic: str, callback: Callable[[Any], None], profile: QoSProfile
    ) -> None:
        self._others.append(
            self._node.create_subscription(
                message_class(type_name),
                topic,
                callback,
                profile,
                event_callbacks=qos.QUIET_SUBSCRIPTION,
                qos_overriding_options=QoSOverridingOptions.with_default_policies(),
            )
        )

    def _find_audio(self, topic: str, offered: Set[str]) -> Problem | None:
        """Subscribe the first offered type that is audio and installed; say why where there is none."""
        problem = unknown_type(Modality.AUDIO, topic, offered, wanted=None)
        for type_name in sorted(name for name in offered if SUPPORTED_TYPES.get(name) is Modality.AUDIO):
            try:
                self._subscribe(Modality.AUDIO, type_name)
            except ImportError as error:  # noqa: PERF203 - at most a few types
                reason, package = f"{type_name} on {topic}: {error}", type_name.split("/")[0]
                problem = Problem("unknown_type", reason, f"install {package}")
            else:
                return None
        return problem
