"""Everything the fusion node listens to: sensors, intrinsics, battery and budget.

rclpy remaps what it is asked to subscribe to, and what `get_publishers_info_by_topic` is asked about, so both
get a topic as the parameters have it: remapped twice, two topics that trade places would be back where they
were. What is shown, compared or counted is the resolved name.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence, Set
from functools import partial
from typing import Any, Protocol

from rclpy.exceptions import NameValidationException
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.subscription import RCLError, Subscription
from rclpy.topic_endpoint_info import TopicEndpointInfo
from rclpy.validate_full_topic_name import validate_full_topic_name

from sentryfuse_core.config import AudioConfig, CameraConfig, Config, SensorConfig
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
_TYPES = {Modality.LIDAR: "sensor_msgs/msg/PointCloud2", Modality.IMU: "sensor_msgs/msg/Imu"}
_STATE = qos.sensor_profile(reliability="best_effort", depth=1)
_ODOMETRY_DEPTH = 100
UNKNOWN_NODE = "a node whose name is not known yet"


class Handler(Protocol):
    """What is done with what arrives; called by the executor, must return quickly and never raise."""

    def on_sensor(self, name: str, message: Any, type_name: str, waited_ns: int) -> None:
        """Take one message of the sensor of this name that came `waited_ns` ago."""

    def on_camera_info(self, message: Any, name: str) -> None:
        """Take a camera's intrinsics."""

    def on_audio_info(self, message: Any, name: str) -> None:
        """Take what an AudioInfo says of a sensor's audio."""

    def on_odometry(self, message: Any) -> None:
        """Take how the robot moves."""

    def on_battery(self, message: Any) -> None:
        """Take the battery's state."""

    def on_budget(self, message: Any) -> None:
        """Take a budget."""


def sensor_topics(node: Node, config: Config) -> dict[str, str]:
    """The resolved topic of every enabled sensor, by its name.

    TopicError where two have the same, and where that of any input is no name.
    """
    found: dict[str, str] = {}
    for name, section in config.sensors.items():
        if not section.enabled:
            continue
        resolved = _resolve(node, f"{name}.topic", _topic(section))
        other = next((known for known, taken in found.items() if taken == resolved), None)
        if other is not None:
            raise TopicError(f"{other} and {name} both listen to {resolved}; give each a topic of its own")
        found[name] = resolved
        if isinstance(section, (CameraConfig, AudioConfig)):
            _resolve(node, f"{name}.info_topic", section.info_topic)
    if config.odometry.enabled:
        odometry_topic(node, config)
    return found


def _topic(section: SensorConfig) -> str:
    """The topic of a sensor's messages, not resolved."""
    if isinstance(section, CameraConfig) and section.transport == "compressed":
        return section.topic.removesuffix(COMPRESSED) + COMPRESSED
    return section.topic


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


def _about(take: Callable[[Any, str], None], name: str, message: Any) -> None:
    """Hand over what a message tells of the sensor of this name."""
    take(message, name)


class Inputs:
    """The node's subscriptions; types are found in the graph, so `poll` it a few times a second."""

    def __init__(self, node: Node, config: Config, handler: Handler) -> None:
        self._node = node
        self._config = config
        self._handler = handler
        self._topics = sensor_topics(node, config)
        self._sensors: dict[str, tuple[str, Subscription[Any]]] = {}
        self._others: list[tuple[str, Subscription[Any]]] = []  # with the topic, not resolved
        self._infos: dict[str, tuple[str, Subscription[Any]]] = {}  # what tells of a sensor, by its name
        self._senders = {name: Senders() for name in self._topics}
        self._tells_senders: bool | None = None  # whether the middleware does; not known before a message
        self.publishers: dict[str, tuple[str, ...]] = {}  # whom each subscription hears, by full name
        self.problems: dict[str, Problem] = {}  # why a sensor's topic brings nothing, where it is known
        self.unread = ""  # topic of odometry, where nav_msgs is not installed
        self._told: set[str] = set()  # topics whose mismatch has been logged
        try:
            self._open()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Drop every subscription."""
        for _, subscription in (*self._others, *self._infos.values(), *self._sensors.values()):
            self._node.destroy_subscription(subscription)
        self._infos.clear()
        self._others.clear()
        self._sensors.clear()

    def poll(self) -> None:
        """Compare what publishers offer with what is subscribed; subscribe audio once its type is known."""
        self._find_infos()
        problems = {}
        for name, topic in self._topics.items():
            publishers = self._node.get_publishers_info_by_topic(_topic(self._config.sensor(name)))
            offered = {info.topic_type for info in publishers}
            problem = self._problem(name, topic, offered)
            if problem is None and self._config.sensor(name).reliability == "reliable":
                reliabilities = {info.qos_profile.reliability for info in publishers}
                if ReliabilityPolicy.BEST_EFFORT in reliabilities:
                    problem = best_effort_only(name)
            if problem is not None:
                problems[name] = problem
            wanted = self._sensors[name][0] if name in self._sensors else None
            heard = [info for info in publishers if info.topic_type == wanted]
            self.publishers[name] = self._names(name, heard)
        self.problems = problems
        for topic, subscription in (*self._others, *self._infos.values()):
            self._compare(topic, subscription)
        if self.unread and self.unread not in self._told and self._node.count_publishers(self.unread):
            self._told.add(self.unread)
            text = f"odometry on {self.unread} is not read: the input needs nav_msgs, which is not installed"
            self._node.get_logger().warning(text)

    def _names(self, name: str, listed: Sequence[TopicEndpointInfo]) -> tuple[str, ...]:
        """Who sends to a sensor's subscription, or who is mixed there.

        The graph goes on to list a publisher that died for up to 20 s, and some are silent, so what came
        counts unless the middleware does not tell of whom it came.
        """
        names = {bytes(info.endpoint_gid): full_name(info) for info in listed}
        if self._tells_senders is not False and len(names) > 1:
            mixed = self._senders[name].mixed(time.monotonic_ns())
            return tuple(sorted(names.get(gid, UNKNOWN_NODE) for gid in mixed))
        return tuple(sorted(names.values()))

    def _take(self, name: str, message: Any, type_name: str, waited_ns: int) -> None:
        if self._tells_senders is None:  # `_heard` comes first where it does
            self._tells_senders = False
        self._handler.on_sensor(name, message, type_name, waited_ns)

    def _heard(self, name: str, gid: bytes) -> None:
        self._tells_senders = True
        self._senders[name].heard(gid, time.monotonic_ns())

    def _problem(self, name: str, topic: str, offered: Set[str]) -> Problem | None:
        """What keeps a sensor's messages away, but for QoS."""
        wanted = self._sensors[name][0] if name in self._sensors else None
        if wanted in offered:
            return None
        if not offered:
            is_camera = self._config.kind_of(name) is Modality.CAMERA
            return no_publisher(topic, name=name, sibling=self._sibling(topic) if is_camera else "")
        return self._find(name, topic, offered)

    def _sibling(self, topic: str) -> str:
        """The name that a picture has by the other transport, where it is published; else nothing."""
        compressed = topic.endswith(COMPRESSED)
        name = topic.removesuffix(COMPRESSED) if compressed else topic + COMPRESSED
        return name if self._node.count_publishers(name) else ""

    def _compare(self, topic: str, subscription: Subscription[Any]) -> None:
        """Log, once, a publisher whose offer keeps its messages from another subscription than a sensor's."""
        shown = subscription.topic_name
        for info in self._node.get_publishers_info_by_topic(topic):
            reason = qos.mismatch(info.qos_profile, subscription.qos_profile)
            if reason and shown not in self._told:
                self._told.add(shown)
                text = f"nothing comes of a publisher on {shown}: {reason}; change either side's QoS"
                self._node.get_logger().warning(text)

    def _open(self) -> None:
        config = self._config
        handler = self._handler
        for name in self._topics:
            section, kind = config.sensor(name), config.kind_of(name)
            if isinstance(section, CameraConfig):
                self._subscribe(name, IMAGE_TYPES[section.transport])
                callback = partial(_about, handler.on_camera_info, name)
                self._infos[name] = self._subscribe_other(
                    _CAMERA_INFO_TYPE, section.info_topic, callback, _STATE
                )
            elif kind in _TYPES:
                self._subscribe(name, _TYPES[kind])
        if config.odometry.enabled:
            self._open_odometry()
        for type_name, topic, callback, profile in (
            ("sensor_msgs/msg/BatteryState", "battery", handler.on_battery, _STATE),
            ("sentryfuse/msg/Budget", "~/budget", handler.on_budget, qos.COMMANDS),
        ):
            self._others.append(self._subscribe_other(type_name, topic, callback, profile))
        self.poll()

    def _open_odometry(self) -> None:
        topic = self._config.odometry.topic
        profile = qos.sensor_profile(reliability="best_effort", depth=_ODOMETRY_DEPTH)
        try:
            heard = self._subscribe_other(ODOMETRY_TYPE, topic, self._handler.on_odometry, profile)
        except ImportError:  # nobody misses it before somebody publishes it
            self.unread = odometry_topic(self._node, self._config)
        else:
            self._others.append(heard)

    def _find_infos(self) -> None:
        """Subscribe to CameraInfo and AudioInfo as they are offered: some latch them and say them once."""
        handler = self._handler
        for name in self._topics:
            section = self._config.sensor(name)
            if not isinstance(section, (CameraConfig, AudioConfig)):
                continue
            topic, is_camera = section.info_topic, isinstance(section, CameraConfig)
            type_name = _CAMERA_INFO_TYPE if is_camera else AUDIO_INFO_TYPE
            take = handler.on_camera_info if is_camera else handler.on_audio_info
            self._find_info(name, type_name, topic, partial(_about, take, name))

    def _find_info(self, name: str, type_name: str, topic: str, callback: Callable[[Any], None]) -> None:
        publishers = self._node.get_publishers_info_by_topic(topic)
        offers = [info.qos_profile for info in publishers if info.topic_type == type_name]
        if not offers:
            return
        # A latched best-effort offer is not kept for who comes late, and does not reach LATCHED at all.
        latched = not any(qos.mismatch(offer, qos.LATCHED) for offer in offers)
        profile = qos.LATCHED if latched else _STATE
        _, before = self._infos.get(name, ("", None))
        if before is not None:
            if before.qos_profile.durability is profile.durability:
                return
            self._node.destroy_subscription(before)
        try:
            kind = message_class(type_name)
        except ImportError:
            return  # of AudioInfo alone; nor can the audio itself be read then, which is told
        # Not by qos.made: what the parameters would say is declared, with the profile before.
        subscription = self._node.create_subscription(
            kind, topic, callback, profile, event_callbacks=qos.QUIET_SUBSCRIPTION
        )
        self._infos[name] = topic, subscription

    def _subscribe(self, name: str, type_name: str) -> None:
        section = self._config.sensor(name)
        kind, topic = message_class(type_name), _topic(section)
        callback = told_wait(
            lambda message, ns: self._take(name, message, type_name, ns), sender=partial(self._heard, name)
        )
        profile = qos.sensor_profile(reliability=section.reliability, depth=section.depth)
        with qos.one_type(kind, topic):
            subscription = self._node.create_subscription(
                kind, topic, callback, profile, event_callbacks=qos.QUIET_SUBSCRIPTION
            )
        self._sensors[name] = type_name, subscription

    def _subscribe_other(
        self, type_name: str, topic: str, callback: Callable[[Any], None], profile: QoSProfile
    ) -> tuple[str, Subscription[Any]]:
        return topic, qos.made(
            self._node.create_subscription,
            message_class(type_name),
            topic,
            profile,
            callback=callback,
            event_callbacks=qos.QUIET_SUBSCRIPTION,
        )

    def _find(self, name: str, topic: str, offered: Set[str]) -> Problem | None:
        """Subscribe the first offered type that is the sensor's and installed; say why where there is none.

        Which of the two image types is read is not found but told by the camera's transport.
        """
        wanted = self._sensors[name][0] if name in self._sensors else None
        kind = self._config.kind_of(name)
        problem = unknown_type(name, kind, topic, offered, wanted=None if kind is Modality.AUDIO else wanted)
        readable = {item for item in offered if SUPPORTED_TYPES.get(item) is kind}
        understood = sorted(readable - set(IMAGE_TYPES.values()))
        if understood and name in self._sensors:
            # A topic has one type, this one's until the executor has let go of it: the next look subscribes.
            self._node.destroy_subscription(self._sensors.pop(name)[1])
            return None
        for type_name in understood:
            try:
                self._subscribe(name, type_name)
            except ImportError as error:  # noqa: PERF203 - at most a few types
                reason, package = f"{type_name} on {topic}: {error}", type_name.split("/")[0]
                problem = Problem("unknown_type", reason, f"install {package}")
            else:
                return None
        return problem
