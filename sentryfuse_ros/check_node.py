"""Listens as the fusion node would, for a few seconds, and tells what was seen of every sensor."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Any

from rclpy.clock import Clock, ClockType
from rclpy.node import Node

from sentryfuse_core.clock import NS_PER_S
from sentryfuse_core.config import AudioConfig, CameraConfig, Config, OdometryConfig
from sentryfuse_core.convert import (
    SUPPORTED_TYPES,
    camera_info,
    informed,
    is_rectified,
    odometry_reading,
    to_sample,
)
from sentryfuse_core.errors import InvalidMessageError
from sentryfuse_core.types import Modality, Pose
from sentryfuse_ros.check_judge import ClockSeen, InfoSeen, Stream
from sentryfuse_ros.clocks import clocks_of
from sentryfuse_ros.frames import TransformTree, tf2_available
from sentryfuse_ros.params import given_config
from sentryfuse_ros.problems import Problem, no_publisher
from sentryfuse_ros.subscribe import Inputs, odometry_topic, sensor_topics

__all__ = ["CheckNode"]

_POLL_S = 0.1
_KEPT = 1000  # messages that medians are taken over


class CheckNode(Node):
    """Calls `on_end` once everything has answered, or `timeout_s` after its start.

    ROS parameters go over `config`, as they would in the fusion node; raises ConfigError as it would.
    """

    def __init__(self, config: Config, *, timeout_s: float, on_end: Callable[[CheckNode], None]) -> None:
        # The fusion node's name, by which parameter files and rules address it. It may run meanwhile, and is
        # then the only one to ask for parameters.
        super().__init__("sentryfuse", start_parameter_services=False)
        self.declare_parameter("autostart", value=True)  # may stand in the fusion node's parameter file
        self.config = config = given_config(self, config)
        self._sections = dict(config.sensors)  # with what an AudioInfo says
        self._on_end = on_end
        self._end_ns = time.monotonic_ns() + round(timeout_s * NS_PER_S)
        topics = sensor_topics(self, config)
        self._rectified = {
            name
            for name, section in config.sensors.items()
            if isinstance(section, CameraConfig) and is_rectified(section, topics.get(name, ""))
        }
        self._streams = {name: Stream(topic=topic) for name, topic in topics.items()}
        self._odometry = Stream(topic=odometry_topic(self, config))
        self._tree = None
        if config.output.extrinsics == "auto" and tf2_available():
            self._tree = TransformTree(self, base_frame=config.output.base_frame)
        self._infos = {
            name: InfoSeen(self.resolve_topic_name(section.info_topic))
            for name, section in config.sensors.items()
            if isinstance(section, CameraConfig) and name in topics
        }
        self._clocks = clocks_of(self)
        self._inputs = Inputs(self, config, self)
        # Not a ROS timer: under use_sim_time that one would wait for /clock.
        self._timer = self.create_timer(_POLL_S, self._poll, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def seen(self) -> dict[str, Any]:
        """What is known by now, as `judge` takes it."""
        clock = ClockSeen(
            use_sim_time=self._clocks.simulated,
            published=self.count_publishers("/clock") > 0,
            running=self.get_clock().now().nanoseconds > 0,
        )
        for name, stream in self._streams.items():
            stream.problem = self._inputs.problems.get(name)
            stream.publishers = self._inputs.publishers.get(name, ())
            stream.placed, stream.pose = self._placed(stream)
            stream.elsewhere = self._elsewhere(_types(self.config.kind_of(name)))
        for info in self._infos.values():
            info.elsewhere = self._elsewhere(("sensor_msgs/msg/CameraInfo",))
        return {
            "streams": self._streams,
            "config": self.config,
            "infos": self._infos,
            "clock": clock,
            "transforms": self._transformed(),
            "odometry": self._odometry_seen(),
        }

    def on_sensor(self, name: str, message: Any, type_name: str, waited_ns: int) -> None:
        """Read one message, as the fusion node would."""
        stream = self._streams[name]
        arrival_ns, received_ns = self._clocks.came(waited_ns)
        stream.came(arrival_ns)
        try:
            sample = to_sample(
                self.config.kind_of(name),
                message,
                sensor=name,
                type_name=type_name,
                config=self._sections[name],
                received_ns=received_ns,
                arrival_ns=arrival_ns,
            )
        except InvalidMessageError as error:
            stream.refused[error.reason] += 1
            stream.details[error.reason] = error.detail
            return
        except Exception:  # noqa: BLE001 - the callback's boundary, as in the fusion node
            stream.refused["unreadable"] += 1
            return
        stream.frame_id = sample.frame_id
        if received_ns > 0 and len(stream.stamps) < _KEPT:
            stream.stamps.append((sample.stamp_ns, received_ns))

    def on_odometry(self, message: Any) -> None:
        """Read one message, as the fusion node would."""
        stream = self._odometry
        arrival_ns, received_ns = self._clocks.came(0)
        stream.came(arrival_ns)
        try:
            reading = odometry_reading(message, config=self.config.odometry)
        except InvalidMessageError as error:
            stream.refused[error.reason] += 1
            stream.details[error.reason] = error.detail
            return
        stream.frame_id = reading.child_frame_id
        if received_ns > 0 and len(stream.stamps) < _KEPT:
            stream.stamps.append((reading.stamp_ns, received_ns))

    def on_camera_info(self, message: Any, name: str) -> None:
        """Note whether a camera's intrinsics can be used."""
        try:
            camera_info(message, rectified=name in self._rectified)
        except InvalidMessageError as error:
            self._infos[name].refused = str(error)
            return
        self._infos[name].usable = True

    def on_audio_info(self, message: Any, name: str) -> None:
        """Judge the blocks that follow by it; one that cannot be used leaves the parameters in force."""
        section = self.config.sensor(name)
        with suppress(InvalidMessageError):
            if isinstance(section, AudioConfig):
                self._sections[name] = informed(section, message)

    def on_battery(self, message: Any) -> None:
        """Nothing: a robot without one is fine."""

    def on_budget(self, message: Any) -> None:
        """Nothing: budgets come as they are needed."""

    def _odometry_seen(self) -> Stream | None:
        """Odometry where it is published, or was asked for by a parameter."""
        stream, section = self._odometry, self.config.odometry
        published = self.count_publishers(stream.topic) > 0
        if not section.enabled or not (published or section != OdometryConfig()):
            return None
        if not published:
            stream.problem = no_publisher(stream.topic)
        elif self._inputs.unread:
            remedy = "install nav_msgs (pip install ros-nav-msgs, or your distribution's package)"
            stream.problem = Problem("unknown_type", "nav_msgs is not installed", remedy)
        stream.placed, stream.pose = self._placed(stream)
        return stream

    def _poll(self) -> None:
        self._inputs.poll()
        if self._answered() or time.monotonic_ns() >= self._end_ns:
            self._timer.cancel()
            self._on_end(self)

    def _answered(self) -> bool:
        odometry = self._odometry_seen()
        asked = [*self._streams.values(), *([odometry] if odometry and not odometry.problem else [])]
        return all(info.usable for info in self._infos.values()) and all(
            stream.answered and self._placed(stream)[0] is not False for stream in asked
        )

    def _transformed(self) -> bool | None:
        """Whether anybody publishes transforms; None where they are not used."""
        if self._tree is None:
            return None
        return any(self.count_publishers(self.resolve_topic_name(name)) for name in ("/tf_static", "/tf"))

    def _placed(self, stream: Stream) -> tuple[bool | None, Pose | None]:
        """Whether tf2 places a stream's frame, and where; None where it was not asked."""
        if self._tree is None or not stream.frame_id or not self._transformed():
            return None, None
        stamp_ns = stream.stamps[-1][0] if stream.stamps else 0
        pose = self._tree.find(stream.frame_id.lstrip("/"), stamp_ns=stamp_ns, wait=False).pose
        return pose is not None, pose

    def _elsewhere(self, types: Collection[str]) -> tuple[str, ...]:
        """The topics on which one of these types is published, but for those that are listened to."""
        taken = {stream.topic for stream in self._streams.values()} | {
            info.topic for info in self._infos.values()
        }
        return tuple(
            sorted(
                topic
                for topic, offered in self.get_topic_names_and_types()
                if topic not in taken and set(offered) & set(types) and self.count_publishers(topic)
            )
        )


def _types(kind: Modality) -> list[str]:
    """The types of message that a sensor of this kind can be read of."""
    return [type_name for type_name, read in SUPPORTED_TYPES.items() if read is kind]
