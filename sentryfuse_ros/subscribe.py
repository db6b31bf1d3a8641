"""Everything the fusion node listens to: sensors, intrinsics, battery and budget."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence, Set
from functools import partial
from typing import Any, Protocol

from rclpy.exceptions import NameValidationException
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.subscription import RCLError, Subscription
from rclpy.topic_endpoint_info import TopicEndpointInfo
from rclpy.validate_full_topic_name import validate_full_topic_name

from sentryfuse_core.config import Config
from sentryfuse_core.convert import AUDIO_INFO_TYPE, ODOMETRY_TYPE, SUPPORTED_TYPES
from sentryfuse_core.errors import TopicError
from sentryfuse_core.health.senders import Senders
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

__all__ = ["UNKNOWN_NODE", "Handler", "Inputs", "full_name", "odometry_topic", "sensor_topics"]

_CAMERA_INFO_TYPE = "sensor_msgs/msg/CameraInfo"
_STATE = qos.sensor_profile(reliability="best_effort", depth=1)
_ODOMETRY_DEPTH = 100
UNKNOWN_NODE = "a node whose name is not known yet"


class Handler(Protocol):
    """What is done with what arrives; called by the executor, must return quickly and never raise."""

    def on_sensor(self, modality: Modality, message: Any, type_name: str, waited_ns: int) -> None:
        """Take one message of a sensor that came `waited_ns` ago."""

    def on_camera_info(self, message: Any) -> None:
        """Take the camera's intrinsics."""

    def on_audio_info(self, message: Any) -> None:
        """Take what an AudioInfo says of the audio."""

    def on_odometry(self, message: Any) -> None:
        """Take how the robot moves."""

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


def odometry_topic(node: Node, config: Config) -> str:
    """The resolved topic of odometry."""
    return _resolve(node, "odometry.topic", config.odometry.topic)


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
    """The node's subscriptions; types are found in the graph, so `poll` it a few times a second."""

    def __init__(self, node: Node, config: Config, handler: Handler) -> None:
        self._node = node
        self._config = config
        self._handler = handler
        self._topics = sensor_topics(node, config)
        self._sensors: dict[Modality, tuple[str, Subscription[Any]]] = {}
        self._others: list[Subscription[Any]] = []
        self._infos: dict[str, Subscription[Any]] = {}  # what tells of a sensor, by type
        self._senders = {modality: Senders() for modality in self._topics}
        self._tells_senders = False  # whether the middleware does
        self.publishers: dict[Modality, tuple[str, ...]] = {}  # whom each subscription hears, by full name
        self.problems: dict[Modality, Problem] = {}  # why a sensor's topic brings nothing, where it is known
        self.unread = ""  # topic of odometry, where nav_msgs is not installed
        self._told: set[str] = set()  # topics whose mismatch has been logged
        self._open()

    def close(self) -> None:
        """Drop every subscription."""
        sensors = (subscription for _, subscription in self._sensors.values())
        for subscription in [*self._others, *self._infos.values(), *sensors]:
            self._node.destroy_subscription(subscription)
        self._infos.clear()
        self._others.clear()
        self._sensors.clear()

    def poll(self) -> None:
        """Compare what publishers offer with what is subscribed; subscribe audio once its type is known."""
        self._find_infos()
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
            heard = [info for info in publishers if info.topic_type == wanted]
            self.publishers[modality] = self._names(modality, heard)
        self.problems = problems
        for subscription in (*self._others, *self._infos.values()):
            self._compare(subscription)
        if self.unread and self.unread not in self._told and self._node.count_publishers(self.unread):
            self._told.add(self.unread)
            text = f"odometry on {self.unread} is not read: the input needs nav_msgs, which is not installed"
            self._node.get_logger().warning(text)

    def _names(self, modality: Modality, listed: Sequence[TopicEndpointInfo]) -> tuple[str, ...]:
        """Who sends to a sensor's subscription, or who is mixed there.

        The graph goes on to list a publisher that died for up to 20 s, so what came counts where it is told
        of whom it came.
        """
        names = {bytes(info.endpoint_gid): full_name(info) for info in listed}
        if self._tells_senders and len(names) > 1:
            mixed = self._senders[modality].mixed(time.monotonic_ns())
            return tuple(sorted(names.get(gid, UNKNOWN_NODE) for gid in mixed))
        return tuple(sorted(names.values()))

    def _heard(self, modality: Modality, gid: bytes) -> None:
        self._tells_senders = True
        self._senders[modality].heard(gid, time.monotonic_ns())

    def _problem(self, modality: Modality, topic: str, offered: Set[str]) -> Problem | None:
        """What keeps a sensor's messages away, but for QoS."""
        wanted = self._sensors[modality][0] if modality in self._sensors else None
        if wanted in offered:
            return None
        if not offered:
            return no_publisher(topic, sibling=self._sibling(topic) if modality is Modality.CAMERA else "")
        return self._find(modality, topic, offered)

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
        handler = self._handler
        if Modality.CAMERA in self._topics:
            info_topic = _resolve(self._node, "camera.info_topic", config.camera.info_topic)
            told = self._subscribe_other(_CAMERA_INFO_TYPE, info_topic, handler.on_camera_info, _STATE)
            self._infos[_CAMERA_INFO_TYPE] = told
        if config.odometry.enabled:
            self._open_odometry(odometry_topic(self._node, config))
        self._others += (
            self._subscribe_other("sensor_msgs/msg/BatteryState", "battery", handler.on_battery, _STATE),
            self._subscribe_other("sentryfuse/msg/Budget", "~/budget", handler.on_budget, qos.COMMANDS),
        )
        self.poll()

    def _open_odometry(self, topic: str) -> None:
        profile = qos.sensor_profile(reliability="best_effort", depth=_ODOMETRY_DEPTH)
        try:
            heard = self._subscribe_other(ODOMETRY_TYPE, topic, self._handler.on_odometry, profile)
        except ImportError:  # nobody misses it before somebody publishes it
            self.unread = topic
        else:
            self._others.append(heard)

    def _find_infos(self) -> None:
        """Subscribe to CameraInfo and AudioInfo as they are offered: some latch them and say them once."""
        camera, audio, handler = self._config.camera, self._config.audio, self._handler
        if Modality.CAMERA in self._topics:
            topic = _resolve(self._node, "camera.info_topic", camera.info_topic)
            self._find_info(_CAMERA_INFO_TYPE, topic, handler.on_camera_info)
        if Modality.AUDIO in self._topics:
            topic = _resolve(self._node, "audio.info_topic", audio.info_topic)
            self._find_info(AUDIO_INFO_TYPE, topic, handler.on_audio_info)

    def _find_info(self, type_name: str, topic: str, callback: Callable[[Any], None]) -> None:
        publishers = self._node.get_publishers_info_by_topic(topic)
        if not any(info.topic_type == type_name for info in publishers):
            return
        latched = all(info.qos_profile.durability is qos.LATCHED.durability for info in publishers)
        profile = qos.LATCHED if latched else _STATE
        before = self._infos.get(type_name)
        if before is not None:
            if before.qos_profile.durability is profile.durability:
                return
            self._node.destroy_subscription(before)
        try:
            kind = message_class(type_name)
        except ImportError:
            return  # of AudioInfo alone; nor can the audio itself be read then, which is told
        self._infos[type_name] = self._node.create_subscription(
            kind, topic, callback, profile, event_callbacks=qos.QUIET_SUBSCRIPTION
        )

    def _subscribe(self, modality: Modality, type_name: str) -> None:
        section, handler = self._config.sensor(modality), self._handler
        if modality in self._sensors:
            self._node.destroy_subscription(self._sensors.pop(modality)[1])
        self._sensors[modality] = (
            type_name,
            self._node.create_subscription(
                message_class(type_name),
                self._topics[modality],
                told_wait(
                    lambda message, ns: handler.on_sensor(modality, message, type_name, ns),
                    sender=partial(self._heard, modality),
                ),
                qos.sensor_profile(reliability=section.reliability, depth=section.depth),
                event_callbacks=qos.QUIET_SUBSCRIPTION,
            ),
        )

    def _subscribe_other(
        self, type_name: str, topic: str, callback: Callable[[Any], None], profile: QoSProfile
    ) -> Subscription[Any]:
        return self._node.create_subscription(
            message_class(type_name),
            topic,
            callback,
            profile,
            event_callbacks=qos.QUIET_SUBSCRIPTION,
            qos_overriding_options=QoSOverridingOptions.with_default_policies(),
        )

    def _find(self, modality: Modality, topic: str, offered: Set[str]) -> Problem | None:
        """Subscribe the first offered type that is the sensor's and installed; say why where there is none.

        Which of the two image types is read is not found but told by camera.transport.
        """
        wanted = self._sensors[modality][0] if modality in self._sensors else None
        problem = unknown_type(
            modality, topic, offered, wanted=None if modality is Modality.AUDIO else wanted
        )
        understood = {name for name in offered if SUPPORTED_TYPES.get(name) is modality}
        for type_name in sorted(understood - set(IMAGE_TYPES.values())):
            try:
                self._subscribe(modality, type_name)
            except ImportError as error:  # noqa: PERF203 - at most a few types
                reason, package = f"{type_name} on {topic}: {error}", type_name.split("/")[0]
                problem = Problem("unknown_type", reason, f"install {package}")
            else:
                return None
        return problem
