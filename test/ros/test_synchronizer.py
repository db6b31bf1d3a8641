"""The drop-in for ApproximateTimeSynchronizer, over real DDS: plain subscriptions and the real filters."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import rclpy
from builtin_interfaces.msg import Time
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Imu
from std_msgs.msg import Header, String

from sentryfuse_core.errors import ConfigError
from sentryfuse_core.types import Absence
from sentryfuse_ros.synchronizer import DropoutTolerantSynchronizer

pytestmark = [pytest.mark.ros, pytest.mark.capability("drop-in synchroniser over real DDS")]

WITHIN_S = 20.0
S = 1_000_000_000
PERIOD_S = 0.05
QOS = QoSProfile(depth=50, reliability=ReliabilityPolicy.RELIABLE)


@dataclass
class Bench:
    """A node with two topics, their publishers, and what the synchroniser called back with."""

    node: Any
    executor: Any
    subscriptions: list[Any] = field(default_factory=list)
    publishers: list[Any] = field(default_factory=list)
    sets: list[tuple[Any, ...]] = field(default_factory=list)
    drops: list[tuple[str, str]] = field(default_factory=list)

    def until(self, condition: Callable[[], object]) -> None:
        deadline_s = time.monotonic() + WITHIN_S
        while not condition():
            assert time.monotonic() < deadline_s, f"{len(self.sets)} sets, drops {self.drops[-5:]}"
            self.executor.spin_once(timeout_sec=0.01)

    def publish(self, *indices: int, shift_ns: int = 0) -> int:
        """One message on each of the topics, stamped alike; returns the stamp."""
        stamp_ns = time.time_ns() + shift_ns
        stamp = Time(sec=stamp_ns // S, nanosec=stamp_ns % S)
        for index in indices:
            self.publishers[index].publish(Imu(header=Header(stamp=stamp)))
        return stamp_ns

    def play(self, rounds: int, *indices: int, shift_ns: int = 0, step_ns: int = 0) -> list[int]:
        """So many rounds, a period apart; what comes is handled meanwhile."""
        stamps_ns = []
        for number in range(rounds):
            stamps_ns.append(self.publish(*indices, shift_ns=shift_ns + number * step_ns))
            due_s = time.monotonic() + PERIOD_S
            self.until(lambda due_s=due_s: time.monotonic() >= due_s)
        return stamps_ns

    def record(self, synchronizer: DropoutTolerantSynchronizer) -> DropoutTolerantSynchronizer:
        synchronizer.registerCallback(lambda *messages: self.sets.append(messages))
        synchronizer.registerDropCallback(lambda topic, _, reason: self.drops.append((topic, reason)))
        return synchronizer


@pytest.fixture
def bench() -> Iterator[Bench]:
    rclpy.init()
    node = rclpy.create_node("bench")
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    made = Bench(node, executor)
    for topic in ("a", "b"):
        made.publishers.append(node.create_publisher(Imu, topic, QOS))
        made.subscriptions.append(node.create_subscription(Imu, topic, lambda _: None, QOS))
    made.until(lambda: all(publisher.get_subscription_count() for publisher in made.publishers))
    try:
        yield made
    finally:
        executor.shutdown()
        node.destroy_node()
        rclpy.shutdown()


def _stamp_ns(message: Any) -> int:
    return int(message.header.stamp.sec) * S + int(message.header.stamp.nanosec)


def test_synchronizer_pairs_by_stamp_when_both_topics_speak(bench: Bench) -> None:
    bench.record(DropoutTolerantSynchronizer(bench.subscriptions, 10, 0.02, node=bench.node))
    stamps_ns = bench.play(10, 0, 1)
    bench.until(lambda: len(bench.sets) >= 10)
    full = [found for found in bench.sets if None not in found]
    assert [_stamp_ns(a) for a, _ in full[-8:]] == stamps_ns[-8:]
    assert all(_stamp_ns(a) == _stamp_ns(b) for a, b in full)


@pytest.mark.parametrize("dead", [0, 1])
def test_synchronizer_goes_on_with_none_when_one_topic_stops(bench: Bench, dead: int) -> None:
    synchronizer = bench.record(DropoutTolerantSynchronizer(bench.subscriptions, 10, 0.02, node=bench.node))
    reasons: list[Absence] = []
    synchronizer.registerSetCallback(lambda matched: reasons.extend(matched.absent.values()))
    bench.play(5, 0, 1)
    before = len(bench.sets)
    bench.play(15, 1 - dead)
    bench.until(lambda: len(bench.sets) >= before + 14)
    assert all(found[dead] is None and found[1 - dead] is not None for found in bench.sets[before + 1 :])
    assert reasons[-1] is Absence.LOST


def test_synchronizer_emits_the_next_set_when_a_callback_raises(bench: Bench) -> None:
    synchronizer = DropoutTolerantSynchronizer(bench.subscriptions, 10, 0.02, node=bench.node)

    def fail(*_: Any) -> None:
        raise RuntimeError("a user's mistake")

    synchronizer.registerCallback(fail)
    bench.record(synchronizer)
    bench.play(6, 0, 1)
    bench.until(lambda: len(bench.sets) >= 6)
    assert synchronizer.callback_errors >= 6


def test_synchronizer_tells_of_drops_when_stamps_are_bad(bench: Bench) -> None:
    bench.record(DropoutTolerantSynchronizer(bench.subscriptions, 10, 0.02, node=bench.node))
    bench.play(5, 0, 1)
    bench.publish(1, shift_ns=1000 * S)
    bench.until(lambda: ("/b", "future") in bench.drops)
    before = len(bench.sets)
    bench.play(5, 0, 1)
    bench.until(lambda: sum(None not in found for found in bench.sets[before:]) >= 4)


def test_synchronizer_goes_on_when_stamps_begin_again(bench: Bench) -> None:
    bench.record(DropoutTolerantSynchronizer(bench.subscriptions, 10, 0.02, node=bench.node))
    bench.play(8, 0, 1)
    before = len(bench.sets)
    again_ns = bench.play(12, 0, 1, shift_ns=-30 * S)
    bench.until(lambda: len(bench.sets) >= before + 10)
    second = {_stamp_ns(found[0]) for found in bench.sets[before:] if None not in found}
    assert len(second & set(again_ns)) >= 10


def test_synchronizer_gives_full_sets_only_when_asked_to(bench: Bench) -> None:
    bench.record(
        DropoutTolerantSynchronizer(bench.subscriptions, 10, 0.02, node=bench.node, complete_only=True)
    )
    bench.play(4, 0, 1)
    bench.play(4, 0)
    bench.until(lambda: ("/a", "incomplete") in bench.drops)
    assert bench.sets
    assert all(None not in found for found in bench.sets)


def test_synchronizer_gives_a_list_when_an_input_has_a_window(bench: Bench) -> None:
    synchronizer = DropoutTolerantSynchronizer(
        bench.subscriptions, 10, 0.02, node=bench.node, windows_s={1: 0.2}
    )
    bench.record(synchronizer)
    bench.play(8, 1, 0)
    bench.until(lambda: bench.sets and len(bench.sets[-1][1]) >= 3)


def test_synchronizer_stamps_by_arrival_when_messages_have_no_header(bench: Bench) -> None:
    words = bench.node.create_subscription(String, "words", lambda _: None, QOS)
    publisher = bench.node.create_publisher(String, "words", QOS)
    bench.until(publisher.get_subscription_count)
    strict = bench.record(DropoutTolerantSynchronizer([words], 10, 0.02, node=bench.node))
    publisher.publish(String(data="a"))
    bench.until(lambda: ("/words", "headerless") in bench.drops)
    strict.close()
    bench.record(DropoutTolerantSynchronizer([words], 10, 0.02, True, node=bench.node))
    publisher.publish(String(data="b"))
    bench.until(lambda: bench.sets and bench.sets[-1][0].data == "b")


@pytest.mark.parametrize(
    ("inputs", "options", "told"),
    [
        ([], {}, "no inputs"),
        ([object()], {}, "node="),
        ([object()], {"node": True}, "input 0 is a object"),
    ],
)
def test_synchronizer_says_what_is_wrong_when_inputs_are_none(
    bench: Bench, inputs: list[Any], options: dict[str, Any], told: str
) -> None:
    options = {"node": bench.node} if options else {}
    with pytest.raises(ConfigError, match=told):
        DropoutTolerantSynchronizer(inputs, 10, 0.02, **options)


def test_synchronizer_drops_in_when_inputs_are_message_filters_subscribers(bench: Bench) -> None:
    message_filters = pytest.importorskip("message_filters", reason="needs message_filters")
    filters = [message_filters.Subscriber(bench.node, Imu, topic, qos_profile=QOS) for topic in ("a", "b")]
    bench.until(lambda: all(publisher.get_subscription_count() >= 2 for publisher in bench.publishers))
    bench.record(DropoutTolerantSynchronizer(filters, 10, 0.02))
    bench.play(5, 0, 1)
    bench.until(lambda: sum(None not in found for found in bench.sets) >= 4)
    before = len(bench.sets)
    bench.play(5, 1)
    bench.until(lambda: len(bench.sets) >= before + 4)
