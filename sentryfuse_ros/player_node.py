"""Plays a recording over DDS: the recorded bytes go out at the pace of their log times."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, Any, NoReturn

from rclpy.duration import Duration
from rclpy.node import Node
from rosgraph_msgs.msg import Clock

from sentryfuse_core.bags.readers import BagMessage, BagReader, Undecodable
from sentryfuse_core.clock import NS_PER_S
from sentryfuse_core.errors import BagError, ConfigError, SentryFuseError
from sentryfuse_core.home import out_of_home
from sentryfuse_ros.declare import declare
from sentryfuse_ros.played import choose, messages_of
from sentryfuse_ros.relay import reporter
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
_SHORTEST_TURN_NS = 100_000_000  # of a loop, in recorded time: one message by itself lasts no time
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
        self._reader = BagReader(out_of_home(self._values["bag"])).open()
        for note in self._reader.notes:
            self.get_logger().warning(note)
        self._played, left_out = choose(self, self._reader, self._values)
        for reason in left_out:
            self.get_logger().warning(f"left out {reason}")
        self._outputs = {
            topic: self.create_publisher(item.kind, item.name, item.profile)
            for topic, item in self._played.items()
        }
        self._say = reporter(self, "playback", self._values["bag"])
        self._ticker = (
            self.create_publisher(Clock, "/clock", 10) if self._values["stamps"] == "clock" else None
        )
        self.published = 0
        self._warned: set[str] = set()
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

    def _run(self, reader: BagReader) -> None:
        try:
            self._wait_for_subscribers()
            with suppress(BagError):  # damage is told when the play comes to it
                self._clock_offset_ns = clock_offset_ns(
                    messages_of(reader, [item for item in self._played.values() if item.is_timely])
                )
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
        outputs = [self._outputs[topic] for topic, item in self._played.items() if not item.is_static]
        while time.monotonic() < deadline and not all(output.get_subscription_count() for output in outputs):
            if self._ending.wait(0.05):
                return
        deaf = ", ".join(output.topic_name for output in outputs if not output.get_subscription_count())
        if deaf and self._values["wait_s"] > 0:
            self.get_logger().warning(f"nobody listens to {deaf} after {self._values['wait_s']} s; playing")

    def _play(self, reader: BagReader) -> None:
        """One pass through the recording."""
        first_ns, end_ns = reader.start_ns, reader.end_ns
        if self._values["loop"]:
            end_ns = max(end_ns, first_ns + _SHORTEST_TURN_NS)
        now_ns = self.get_clock().now().nanoseconds
        self._timeline = Timeline(first_ns + self._clock_offset_ns, now_ns, self._values["rate"])
        started = time.monotonic()
        next_report = next_clock_ns = 0
        self._publish_static(reader)
        for item in messages_of(reader, [item for item in self._played.values() if not item.is_static]):
            if not self._wait_until(item.log_time_ns, first_ns, started):
                return
            if isinstance(item.message, Undecodable):
                self._warn_once(item.topic, item.message)
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
        self._wait_until(end_ns, first_ns, started)

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
        for played in (item for item in self._played.values() if item.is_static):
            by_child: dict[str, Any] = {}
            with suppress(BagError):  # damage is told when the play comes to it
                for item in islice(messages_of(reader, [played]), played.count):
                    message = read_transforms(item.message, played.kind)
                    by_child |= {transform.child_frame_id: transform for transform in message.transforms}
            now = self.get_clock().now().to_msg()
            for transform in by_child.values():
                if self._values["stamps"] == "now":
                    transform.header.stamp = now
            self._outputs[played.topic].publish(played.kind(transforms=list(by_child.values())))
            self.published += 1

    def _data(self, item: BagMessage) -> bytes:
        played = self._played[item.topic]
        if self._values["stamps"] == "now" and played.is_transforms:
            return restamped_transforms(bytes(item.message), played.kind, self._timeline.moved_ns)
        if self._values["stamps"] == "now" and played.has_header:
            return restamped(item.message, self._timeline.moved_ns)
        return bytes(item.message)

    def _warn_once(self, topic: str, refused: Undecodable) -> None:
        """Say that a topic has messages that cannot be played, whatever others have."""
        if topic not in self._warned:
            self._warned.add(topic)
            self.get_logger().warning(f"left out a message of {topic}: {refused.detail}")

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


def main() -> NoReturn:
    """Run the node; the exit status is 2 after an error."""
    run_process(PlayerNode)


if __name__ == "__main__":
    main()
