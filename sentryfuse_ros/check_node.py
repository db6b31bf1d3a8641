"""Listens as the fusion node would, for a few seconds, and tells what was seen of every sensor."""

from __future__ import annotations

import statistics
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from rclpy.node import Node
from rclpy.qos import ReliabilityPolicy

from sentryfuse_core.clock import NS_PER_S
from sentryfuse_core.config import Config
from sentryfuse_core.convert import SUPPORTED_TYPES, camera_info, informed, is_rectified, to_sample
from sentryfuse_core.errors import InvalidMessageError
from sentryfuse_core.types import Modality
from sentryfuse_ros.check_judge import ClockSeen, Offer, StreamSeen
from sentryfuse_ros.frames import TransformTree, tf2_available
from sentryfuse_ros.params import given_config
from sentryfuse_ros.pause import SimulatedClock
from sentryfuse_ros.subscribe import IMAGE_TYPES, Inputs, sensor_topics

__all__ = ["CheckNode"]

_POLL_S = 0.1
_ENOUGH_MESSAGES = 5  # of a sensor, and
_ENOUGH_NS = NS_PER_S  # from its first to its last: the rate is then known
_KEPT = 1000  # messages that medians are taken over


@dataclass
class _Stream:
    """What came from one sensor until now."""

    messages: int = 0
    first_ns: int | None = None
    last_ns: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    details: dict[str, str] = field(default_factory=dict)
    stamps: list[tuple[int, int]] = field(default_factory=list)  # stamp, received in ns
    frame_id: str | None = None

    @property
    def answered(self) -> bool:
        return self.messages >= _ENOUGH_MESSAGES and self._span_ns >= _ENOUGH_NS

    @property
    def _span_ns(self) -> int:
        return 0 if self.first_ns is None else self.last_ns - self.first_ns

    @property
    def rate_hz(self) -> float:
        span_ns = self._span_ns
        return (self.messages - 1) * NS_PER_S / span_ns if span_ns > 0 else 0.0


class CheckNode(Node):
    """Calls `on_end` once everything has answered, or `timeout_s` after its start.

    ROS parameters go over `config`, as they would in the fusion node; raises ConfigError as it would.
    """

    def __init__(self, config: Config, *, timeout_s: float, on_end: Callable[[CheckNode], None]) -> None:
        super().__init__("sentryfuse_check")
        self.declare_parameter("autostart", value=True)  # may stand in the fusion node's parameter file
        self.config = config = given_config(self, config)
        self._audio = config.audio  # with what an AudioInfo says
        self._on_end = on_end
        self._end_ns = time.monotonic_ns() + round(timeout_s * NS_PER_S)
        self._topics = sensor_topics(self, config)
        self._streams = {modality: _Stream() for modality in self._topics}
        self._tree = self._transforms()
        self._intrinsics = False
        simulated = bool(self.get_parameter("use_sim_time").value)
        self._paced = SimulatedClock(lambda: self.get_clock().now().nanoseconds) if simulated else None
        self._inputs = Inputs(self, config, self)
        # Not a ROS timer: under use_sim_time that one would wait for /clock.
        self._timer = self.create_timer(_POLL_S, self._poll, clock=_steady())

    @property
    def intrinsics(self) -> bool:
        """Whether usable intrinsics came."""
        return self._intrinsics

    def clock_seen(self) -> ClockSeen:
        """How ROS time stands."""
        return ClockSeen(
            use_sim_time=bool(self.get_parameter("use_sim_time").value),
            published=self.count_publishers("/clock") > 0,
            running=self.get_clock().now().nanoseconds > 0,
        )

    def streams_seen(self) -> list[StreamSeen]:
        """One for every enabled sensor."""
        return [self._seen(modality, topic) for modality, topic in self._topics.items()]

    def on_sensor(self, modality: Modality, message: Any, type_name: str, waited_ns: int) -> None:
        """Read one message, as the fusion node would."""
        stream = self._streams[modality]
        if self._paced is not None:  # /clock waited in the same queue: on that time the message comes now
            arrival_ns, received_ns = self._paced.now_ns(), self._paced.ros_now_ns()
        else:
            arrival_ns = time.monotonic_ns() - waited_ns
            received_ns = max(0, self.get_clock().now().nanoseconds - waited_ns)
        stream.messages += 1
        stream.first_ns = arrival_ns if stream.first_ns is None else stream.first_ns
        stream.last_ns = arrival_ns
        try:
            sample = to_sample(
                modality,
                message,
                type_name=type_name,
                config=self._audio if modality is Modality.AUDIO else self.config.sensor(modality),
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

    def on_camera_info(self, message: Any) -> None:
        """Note whether the intrinsics can be used."""
        try:
            topic = self._topics.get(Modality.CAMERA, "")
            camera_info(message, rectified=is_rectified(self.config.camera, topic))
        except InvalidMessageError:
            return
        self._intrinsics = True

    def on_audio_info(self, message: Any) -> None:
        """Judge the blocks that follow by it; one that cannot be used leaves the parameters in force."""
        with suppress(InvalidMessageError):
            self._audio = informed(self.config.audio, message)

    def on_battery(self, message: Any) -> None:
        """Nothing: a robot without one is fine."""

    def on_budget(self, message: Any) -> None:
        """Nothing: budgets come as they are needed."""

    def _poll(self) -> None:
        self._inputs.poll()
        if self._answered() or time.monotonic_ns() >= self._end_ns:
            self._timer.cancel()
            self._on_end(self)

    def _answered(self) -> bool:
        return (
            (self._intrinsics or Modality.CAMERA not in self._streams)
            and all(stream.answered for stream in self._streams.values())
            and all(self._placed(stream) is not False for stream in self._streams.values())
        )

    def _seen(self, modality: Modality, topic: str) -> StreamSeen:
        stream = self._streams[modality]
        stamps = stream.stamps
        problem = self._inputs.problems().get(modality)
        offers = {
            Offer(info.topic_type, info.qos_profile.reliability is not ReliabilityPolicy.BEST_EFFORT)
            for info in self.get_publishers_info_by_topic(topic)
        }
        return StreamSeen(
            modality=modality,
            topic=topic,
            wanted=self._wanted(modality),
            offers=tuple(sorted(offers, key=lambda offer: (offer.type_name, offer.reliable))),
            messages=stream.messages,
            rate_hz=stream.rate_hz,
            refused=tuple(sorted(stream.refused.items())),
            details=dict(stream.details),
            stamp_ns=stamps[-1][0] if stamps else 0,
            received_ns=stamps[-1][1] if stamps else 0,
            lag_ns=round(statistics.median(received - stamp for stamp, received in stamps)) if stamps else 0,
            frame_id=stream.frame_id,
            placed=self._placed(stream),
            problem=problem.reason if problem else "",
            remedy=problem.remedy if problem else "",
            publishers=self._inputs.publishers.get(modality, ()),
        )

    def _wanted(self, modality: Modality) -> tuple[str, ...]:
        if modality is Modality.CAMERA:
            return (IMAGE_TYPES[self.config.camera.transport],)
        return tuple(name for name, sensor in SUPPORTED_TYPES.items() if sensor is modality)

    def _transforms(self) -> TransformTree | None:
        if self.config.output.extrinsics == "auto" and tf2_available():
            return TransformTree(self, base_frame=self.config.output.base_frame)
        return None

    def transforms_seen(self) -> bool | None:
        """Whether anybody publishes transforms; None where they are not used."""
        if self._tree is None:
            return None
        return any(self.count_publishers(self.resolve_topic_name(name)) for name in ("/tf_static", "/tf"))

    def _placed(self, stream: _Stream) -> bool | None:
        if self._tree is None or not stream.frame_id or not self.transforms_seen():
            return None
        stamp_ns = stream.stamps[-1][0] if stream.stamps else 0
        return self._tree.find(stream.frame_id.lstrip("/"), stamp_ns=stamp_ns, wait=False).pose is not None


def _steady() -> Any:
    from rclpy.clock import Clock, ClockType

    return Clock(clock_type=ClockType.STEADY_TIME)
