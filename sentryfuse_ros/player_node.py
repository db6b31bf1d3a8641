"""Plays a recording over DDS: the recorded bytes go out at the pace of their log times."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from rclpy.duration import Duration
from rclpy.node import Node
from rosgraph_msgs.msg import Clock

from sentryfuse_core.bags.definitions import TRANSFORMS_TYPE
from sentryfuse_core.bags.readers import BagMessage, BagReader, Undecodable
from sentryfuse_core.clock import NS_PER_S
from sentryfuse_core.errors import BagError, ConfigError, SentryFuseError, TopicError
from sentryfuse_ros.declare import declare
from sentryfuse_ros.messages import message_class
from sentryfuse_ros.qos import LATCHED
from sentryfuse_ros.relay import in_namespace, passed_on, reporter
from sentryfuse_ros.restamp import (
    Timeline,
    clock_offset_ns,
    read_transforms,
    restamped,
    restamped_transforms,
)
from sentryfuse_ros.spin import Stop, run_process

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rclpy.publisher import Publisher

__all__ = ["PLAYBACK_STATUS", "PlayerNode", "main"]

PLAYBACK_STATUS = "player: playback"  # without a namespace
_STAMPS = ("now", "bag", "clock")
_PARAMETERS: Mapping[str, tuple[Any, str]] = {
    "bag": ("", "recording to play: .mcap, .db3, .bag or a rosbag2 folder"),
    "rate": (1.0, "speed of play, 2.0 is twice as fast"),
    "topics": ([""], "topics to play; empty: all"),
    "remap": ([""], "recorded:=published topic names"),
    "prefix": ("", "put before every published topic, e.g. /raw; without a slash: in the node's namespace"),
    "stamps": (
        "now",
        "now: header stamps are moved to now; bag: left alone; clock: left alone and /clock published",
    ),
    "loop": (False, "begin again at the end; stamps of bag and clock then go back"),
    "wait_s": (0.0, "wait this long for every topic to have a subscriber before starting, in s"),
}
_CLOCK_PERIOD_NS = 10_000_000
_LONGEST_SLEEP_S = 0.1


class PlayerNode(Node):
    """Publishes a recording from a thread of its own and asks for the end when it is through."""

    def __init__(self, stop: Stop) -> None:
        # Before anything that can fail: the context destroys the node then too.
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None
        self._reader: BagReader | None = None
        super().__init__("player")
        self._stop = stop
        self._values = declare(self, _PARAMETERS)
        if not self._values["bag"]:
            raise ConfigError("parameter bag of player is missing; give the recording to play")
        if self._values["stamps"] not in _STAMPS:
            stamps = self._values["stamps"]
            raise ConfigError(f"parameter stamps = {stamps!r}: give one of {', '.join(_STAMPS)}")
        if not 0.0 < self._values["rate"] <= 1000.0:
            raise ConfigError(f"parameter rate = {self._values['rate']} is outside 0 .. 1000")
        self._reader = BagReader(Path(self._values["bag"])).open()
        for note in self._reader.notes:
            self.get_logger().warning(note)
        self._outputs: dict[str, Publisher[Any]] = {}
        self._headers: set[str] = set()  # topics whose type begins with a header
        self._latched: set[str] = set()  # topics of what holds on, whose stamps may be of long ago
        self._transforms: dict[str, Any] = {}  # topics of transforms between frames, with their class
        self._static: dict[str, int] = {}  # those that hold for the whole recording, and how many messages
        self._advertise(self._reader)
        self._say = reporter(self, "playback", self._values["bag"])
        self._ticker = (
            self.create_publisher(Clock, "/clock", 10) if self._values["stamps"] == "clock" else None
        )
        self.published = 0
        self._clock_offset_ns = 0  # of the stamps from the log times
        self._timeline = Timeline(0, 0, 1.0)  # of this pass
        self._thread = threading.Thread(target=self._run, args=(self._reader,), name="player", daemon=True)
        self._thread.start()

    def destroy_node(self) -> None:
        """Stop playing and close the recording."""
        self._ending.set()
        if self._thread is not None:
            self._thread.join()
        if self._reader is not None:
            self._reader.close()
        super().destroy_node()

    def _advertise(self, reader: BagReader) -> None:
        remap = dict(_pair(item) for item in self._values["remap"] if item)
        chosen = {item for item in self._values["topics"] if item}
        found = {topic.name: topic for topic in reader.topics() if topic.count}
        recorded = {name: topic.type_name for name, topic in found.items()}
        for name in sorted(chosen - set(recorded)) + sorted(set(remap) - set(recorded)):
            raise TopicError(
                f"no topic {name!r} in {self._values['bag']}; it has {', '.join(sorted(recorded))}"
            )
        for topic, type_name in recorded.items():
            if chosen and topic not in chosen:
                continue
            try:
                kind = message_class(TRANSFORMS_TYPE if found[topic].is_transforms else type_name)
            except ImportError:
                self.get_logger().warning(f"left out {topic}: {type_name} is not installed")
                continue
            static = found[topic].is_static
            profile = LATCHED if static else passed_on(found[topic].qos, count=found[topic].count)
            name = self._published_as(remap.get(topic, topic))
            self._outputs[topic] = self.create_publisher(kind, name, profile)
            if found[topic].is_transforms:
                self._transforms[topic] = kind
            if static:
                self._static[topic] = found[topic].count
            if next(iter(kind.get_fields_and_field_types().values()), "") == "std_msgs/Header":
                self._headers.add(topic)
            if found[topic].qos.latched:
                self._latched.add(topic)
        if not self._outputs:
            raise TopicError(f"nothing to play in {self._values['bag']}; its types are not installed")

    def _published_as(self, topic: str) -> str:
        prefix: str = self._values["prefix"]
        return f"{prefix}{topic}" if prefix else in_namespace(topic, self.get_namespace())

    def _run(self, reader: BagReader) -> None:
        try:
            self._wait_for_subscribers()
            with suppress(BagError):  # damage is told when the play comes to it
                timely = self._headers - self._latched
                self._clock_offset_ns = clock_offset_ns(reader.messages(timely, raw=True))
            self._play(reader)
            while self._values["loop"] and not self._ending.is_set():
                self._play(reader)
        except SentryFuseError as error:
            self._stop.request(error)
        except Exception as error:  # noqa: BLE001 - thread boundary: without it the node would idle for ever
            self._stop.request(BagError(f"playing {self._values['bag']} failed: {error!r}"))
        else:
            for output in self._outputs.values():
                output.wait_for_all_acked(Duration(seconds=1))
            self._stop.request()

    def _wait_for_subscribers(self) -> None:
        deadline = time.monotonic() + self._values["wait_s"]
        outputs = [output for topic, output in self._outputs.items() if topic not in self._static]
        while time.monotonic() < deadline and not all(output.get_subscription_count() for output in outputs):
            if self._ending.wait(0.05):
                return
        deaf = ", ".join(output.topic_name for output in outputs if not output.get_subscription_count())
        if deaf and self._values["wait_s"] > 0:
            self.get_logger().warning(f"nobody listens to {deaf} after {self._values['wait_s']} s; playing")

    def _play(self, reader: BagReader) -> None:
        """One pass through the recording."""
        first_ns = reader.start_ns
        now_ns = self.get_clock().now().nanoseconds
        self._timeline = Timeline(first_ns + self._clock_offset_ns, now_ns, self._values["rate"])
        started = time.monotonic()
        next_report = next_clock_ns = 0
        self._publish_static(reader)
        for item in reader.messages(tuple(self._outputs.keys() - self._static.keys()), raw=True):
            if not self._wait_until(item.log_time_ns, first_ns, started):
                return
            if isinstance(item.message, Undecodable):
                self.get_logger().warning(
                    f"left out a message of {item.topic}: {item.message.detail}", once=True
                )
                continue
            if self._ticker is not None and item.log_time_ns >= next_clock_ns:
                self._tick(item.log_time_ns)
                next_clock_ns = item.log_time_ns + _CLOCK_PERIOD_NS
            self._outputs[item.topic].publish(self._data(item))
            self.published += 1
            if time.monotonic() >= next_report:
                self._report((item.log_time_ns - first_ns) / NS_PER_S)
                next_report = time.monotonic() + 1.0

        # Silence of the played topics up to the recording's own end is part of it.
        self._wait_until(reader.end_ns, first_ns, started)

    def _wait_until(self, log_time_ns: int, first_ns: int, started: float) -> bool:
        """Wait for a log time's turn; False when the end was asked for."""
        due = started + (log_time_ns - first_ns) / NS_PER_S / self._values["rate"]
        while (wait_s := due - time.monotonic()) > 0:
            if self._ticker is not None:
                bag_ns = first_ns + int((time.monotonic() - started) * self._values["rate"] * NS_PER_S)
                self._tick(min(bag_ns, log_time_ns))
                wait_s = min(wait_s, _CLOCK_PERIOD_NS / NS_PER_S)
            if self._ending.wait(min(wait_s, _LONGEST_SLEEP_S)):
                return False
        return not self._ending.is_set()

    def _publish_static(self, reader: BagReader) -> None:
        """Publish static transforms before all else, those of all their publishers in one message.

        They hold for the whole recording, whenever they were recorded, and a subscriber that comes late
        gets the message from this node, as it would have got one from each publisher.
        """
        for topic in sorted(self._static):
            by_child: dict[str, Any] = {}
            with suppress(BagError):  # damage is told when the play comes to it
                for item in islice(reader.messages([topic], raw=True), self._static[topic]):
                    message = read_transforms(item.message, self._transforms[topic])
                    by_child |= {transform.child_frame_id: transform for transform in message.transforms}
            now = self.get_clock().now().to_msg()
            for transform in by_child.values():
                if self._values["stamps"] == "now":
                    transform.header.stamp = now
            self._outputs[topic].publish(self._transforms[topic](transforms=list(by_child.values())))
            self.published += 1

    def _data(self, item: BagMessage) -> bytes:
        if self._values["stamps"] == "now" and item.topic in self._transforms:
            return restamped_transforms(
                bytes(item.message), self._transforms[item.topic], self._timeline.moved_ns
            )
        if self._values["stamps"] == "now" and item.topic in self._headers:
            return restamped(item.message, self._timeline.moved_ns)
        return bytes(item.message)

    def _tick(self, bag_ns: int) -> None:
        """Publish the recording's time where /clock was asked for."""
        if self._ticker is None:
            return
        message = Clock()
        message.clock.sec, message.clock.nanosec = divmod(bag_ns, NS_PER_S)
        self._ticker.publish(message)

    def _report(self, position_s: float) -> None:
        """Say where play is, and how stamps map to the recording's, in /diagnostics."""
        moved = self._values["stamps"] == "now"
        values = {
            "bag": self._values["bag"],
            "position_s": f"{position_s:.3f}",
            "rate": self._values["rate"],
            "recorded_origin_ns": self._timeline.origin_ns,
            "published_origin_ns": self._timeline.start_ns if moved else self._timeline.origin_ns,
            "published": self.published,
        }
        self._say("playing", values)


def _pair(item: str) -> tuple[str, str]:
    recorded, separator, published = item.partition(":=")
    if not separator or not recorded or not published:
        raise ConfigError(f"parameter remap: {item!r} is not recorded:=published")
    return recorded, published


def main() -> NoReturn:
    """Run the node; the exit status is 2 after an error."""
    run_process(PlayerNode)


if __name__ == "__main__":
    main()
