"""The stand-in for ApproximateTimeSynchronizer: real messages over real DDS."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import QoSProfile
from rclpy.time import Time
from ros.support import spinning_thread
from sensor_msgs.msg import Imu, MagneticField
from std_msgs.msg import String

from sentryfuse_core.errors import ConfigError
from sentryfuse_core.types import Absence
from sentryfuse_ros.synchronizer import DropoutTolerantSynchronizer, Input

pytestmark = [pytest.mark.ros, pytest.mark.capability("drop-in synchroniser over real DDS")]

MS = 1_000_000
WITHIN_S = 240.0


class Bench:
    """A node that publishes what it listens to, spun in a thread; keeps the sets and the drops."""

    def __init__(self) -> None:
        self.context = rclpy.Context()
        rclpy.init(context=self.context)
        self.node = rclpy.create_node("sync_bench", context=self.context)
        self.publishers: dict[str, Any] = {}
        self.sets: list[tuple[Any, ...]] = []
        self.drops: list[tuple[str, Any, str]] = []
        self._executor = SingleThreadedExecutor(context=self.context)
        self._executor.add_node(self.node)
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = spinning_thread(self._executor)
        for topic, publisher in self.publishers.items():
            until(lambda p=publisher: p.get_subscription_count() > 0, f"a subscriber of {topic}")

    def close(self) -> None:
        self._executor.shutdown()
        if self._thread is not None:
            self._thread.join()
        self.node.destroy_node()
        rclpy.shutdown(context=self.context)

    def input(self, topic: str, kind: type = Imu, *, depth: int = 100) -> Input:
        self.publishers[topic] = self.node.create_publisher(kind, topic, QoSProfile(depth=100))
        return Input(self.node, kind, topic, QoSProfile(depth=depth))

    def keep(self, sync: Any) -> None:
        sync.registerCallback(lambda *messages: self.sets.append(messages))
        if hasattr(sync, "registerDropCallback"):
            sync.registerDropCallback(lambda *dropped: self.drops.append(dropped))

    def publish(self, topic: str, stamp_ns: int, kind: type = Imu) -> None:
        message = kind()
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp_ns, 1_000_000_000)
        self.publishers[topic].publish(message)

    def send(self, count: int, *topics: str, start_ns: int | None = None, period_s: float = 0.05) -> int:
        """Publish `count` messages on each topic, one period apart; the last stamp."""
        ticker = threading.Event()
        first_ns, origin_s = start_ns or time.time_ns(), time.monotonic()
        for index in range(count):
            ticker.wait(max(0.0, origin_s + index * period_s - time.monotonic()))
            for topic in topics:
                self.publish(topic, first_ns + round(index * period_s * 1e9))
        return first_ns + round((count - 1) * period_s * 1e9)


def until(expected: Callable[[], Any], what: str, within_s: float = WITHIN_S) -> None:
    ticker, deadline_s = threading.Event(), time.monotonic() + within_s
    while not expected():
        assert time.monotonic() < deadline_s, f"no {what} in {within_s} s"
        ticker.wait(0.01)


def stamp_ns(message: Any) -> int:
    return int(message.header.stamp.sec) * 1_000_000_000 + int(message.header.stamp.nanosec)


def moment_ns(messages: tuple[Any, ...]) -> int:
    """Of a set: the stamp of the first input that is there."""
    return stamp_ns(next(message for message in messages if message is not None))


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.close()


@pytest.mark.parametrize("dead", [0, 1])
def test_sets_go_on_with_none_when_one_topic_stops(bench: Bench, dead: int) -> None:
    topics = ["/a", "/b"]
    sync = DropoutTolerantSynchronizer([bench.input(t) for t in topics], 10, 0.02)
    bench.keep(sync)
    absences: list[Any] = []
    sync.registerSetCallback(lambda matched: absences.append(matched.absent.get(dead)))
    bench.start()
    last_ns = bench.send(8, *topics)
    until(lambda: any(None not in item for item in bench.sets), "full set")

    def partial() -> list[tuple[Any, ...]]:
        return [item for item in bench.sets if moment_ns(item) > last_ns + 20 * MS]

    def sent(*living: str) -> bool:
        return bool(bench.send(4, *living))

    until(
        lambda: sent(topics[1 - dead]) and Absence.LOST in absences and len(partial()) >= 12,
        "sets, and one that says LOST",
    )
    assert all(item[dead] is None and item[1 - dead] is not None for item in partial())
    until(lambda: sent(*topics) and None not in bench.sets[-1], "full set after the return")


def test_set_comes_without_another_message_when_its_wait_is_over(bench: Bench) -> None:
    sync = DropoutTolerantSynchronizer([bench.input("/a"), bench.input("/b")], 10, 0.02, max_wait_s=0.1)
    bench.keep(sync)
    bench.start()
    last_ns = bench.send(6, "/a", "/b")
    until(lambda: len(bench.sets) >= 5, "sets")
    bench.publish("/a", last_ns + 50 * MS)  # and then nothing: only the timer can send it out
    until(lambda: moment_ns(bench.sets[-1]) == last_ns + 50 * MS, "the last set")
    assert bench.sets[-1][1] is None


def test_messages_come_in_input_order_and_windows_as_lists_when_an_input_has_a_window(bench: Bench) -> None:
    inputs = [bench.input("/imu"), bench.input("/field", MagneticField)]
    sync = DropoutTolerantSynchronizer(inputs, 10, 0.02, windows_s={0: 0.1})
    bench.keep(sync)
    bench.start()
    start_ns, ticker = time.time_ns(), threading.Event()
    for index in range(12):
        bench.publish("/imu", start_ns + index * 20 * MS)
        if index % 5 == 0:
            bench.publish("/field", start_ns + index * 20 * MS, MagneticField)
        ticker.wait(0.02)

    def windows() -> dict[int, list[Any]]:
        return {stamp_ns(field): window for window, field in bench.sets if isinstance(field, MagneticField)}

    until(lambda: start_ns + 10 * 20 * MS in windows(), "the third set")
    assert [stamp_ns(m) for m in windows()[start_ns + 10 * 20 * MS]] == [
        start_ns + index * 20 * MS for index in range(6, 11)
    ]


def test_drop_callback_hears_topic_and_reason_when_a_message_is_in_no_set(bench: Bench) -> None:
    sync = DropoutTolerantSynchronizer([bench.input("/a"), bench.input("/b")], 10, 0.02)
    bench.keep(sync)
    bench.start()
    last_ns = bench.send(6, "/a", "/b")
    bench.publish("/b", last_ns)  # again
    bench.publish("/a", time.time_ns() + 3600 * 1000 * MS)  # poison
    until(lambda: len(bench.drops) >= 2, "two drops")
    bench.send(6, "/a", "/b", start_ns=last_ns + 50 * MS)
    until(lambda: len(bench.sets) >= 11, "sets after the poison")
    # The first may be unmatched, and some late where the executor was held up.
    told = {(topic, reason) for topic, _, reason in bench.drops if reason not in ("unmatched", "late")}
    assert told == {("/b", "duplicate"), ("/a", "future")}
    assert sync.dropped["duplicate"] == sync.dropped["future"] == 1


def test_next_set_goes_out_when_a_callback_raises(bench: Bench) -> None:
    sync = DropoutTolerantSynchronizer([bench.input("/a"), bench.input("/b")], 10, 0.02)
    sync.registerCallback(lambda *_: 1 // 0)
    bench.keep(sync)  # the callback behind the one that raises
    bench.start()
    bench.send(6, "/a", "/b")
    until(lambda: len(bench.sets) >= 5, "sets")
    assert sync.callback_errors >= 5


def test_plain_subscription_feeds_the_sets_when_it_is_given_as_input(bench: Bench) -> None:
    for topic in ("/a", "/b"):
        bench.publishers[topic] = bench.node.create_publisher(Imu, topic, 100)
    own: list[Any] = []
    plain = [bench.node.create_subscription(Imu, topic, own.append, 100) for topic in ("/a", "/b")]
    sync = DropoutTolerantSynchronizer(plain, 10, 0.02, node=bench.node)
    bench.keep(sync)
    assert sync.topics == ("/a", "/b")
    bench.start()
    bench.send(6, "/a", "/b")
    until(lambda: len(bench.sets) >= 5 and any(None not in item for item in bench.sets), "sets")
    assert not own


def test_sets_go_on_in_a_new_epoch_when_a_bag_loops(bench: Bench) -> None:
    sync = DropoutTolerantSynchronizer([bench.input("/a"), bench.input("/b")], 10, 0.02)
    bench.keep(sync)
    moments: list[tuple[int, int]] = []
    sync.registerSetCallback(lambda matched: moments.append((matched.epoch, matched.stamp_ns)))
    bench.start()
    start_ns = time.time_ns() - 3600 * 1000 * MS
    for _ in range(2):
        bench.send(40, "/a", "/b", start_ns=start_ns)
    until(lambda: len(moments) >= 70, "sets of both laps")
    assert {epoch for epoch, _ in moments} == {0, 1}
    assert next(at_ns for epoch, at_ns in moments if epoch == 1) < start_ns + 10 * 50 * MS


def test_only_full_sets_come_when_they_are_asked_for(bench: Bench) -> None:
    sync = DropoutTolerantSynchronizer([bench.input("/a"), bench.input("/b")], 10, 0.02, complete_only=True)
    bench.keep(sync)
    bench.start()
    bench.send(6, "/a", "/b")
    until(lambda: bench.send(4, "/a") and sync.dropped["incomplete"] >= 9, "drops of what was alone")
    assert bench.sets
    assert all(None not in item for item in bench.sets)
    assert {topic for topic, _, reason in bench.drops if reason == "incomplete"} == {"/a"}


def test_message_without_header_is_stamped_or_dropped_as_asked(bench: Bench) -> None:
    strict = DropoutTolerantSynchronizer([bench.input("/text", String)], 10, 0.02)
    bench.keep(strict)
    stamped: list[Any] = []
    lenient = DropoutTolerantSynchronizer(
        [Input(bench.node, String, "/text")], 10, 0.02, allow_headerless=True
    )
    lenient.registerCallback(stamped.append)
    bench.start()
    until(lambda: bench.publishers["/text"].get_subscription_count() == 2, "both subscribers")
    bench.publishers["/text"].publish(String(data="x"))
    until(lambda: stamped and bench.drops, "both answers")
    assert [reason for _, _, reason in bench.drops] == ["headerless"]
    assert not bench.sets


def test_extra_arguments_follow_the_messages_as_in_message_filters(bench: Bench) -> None:
    sync = DropoutTolerantSynchronizer([bench.input("/a")], 10, 0.02)
    heard: list[Any] = []
    sync.registerCallback(lambda *given: heard.append(given[1:]), "extra")
    bench.start()
    bench.send(2, "/a")
    until(lambda: heard, "set")
    assert heard[0] == ("extra",)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (([], 10, 0.02), "no inputs"),
        ((["/a"], 10, 0.02), "input 0 is a str"),
        ((None, 0, 0.02), "queue_size = 0"),
        ((None, 10, -1.0), "slop_s"),
    ],
)
def test_construction_tells_what_is_wrong(bench: Bench, arguments: Any, told: str) -> None:
    inputs, queue_size, slop = arguments
    with pytest.raises(ConfigError, match=told):
        DropoutTolerantSynchronizer(
            [bench.input("/a")] if inputs is None else inputs, queue_size, slop, node=bench.node
        )


def test_construction_asks_for_a_node_when_no_input_knows_one(bench: Bench) -> None:
    with pytest.raises(ConfigError, match="give node="):
        DropoutTolerantSynchronizer([bench.node.create_subscription(Imu, "/a", print, 10)], 10, 0.02)


def test_real_subscribers_feed_it_and_sets_agree_when_message_filters_is_there(bench: Bench) -> None:
    message_filters = pytest.importorskip("message_filters", reason="needs message_filters")
    for topic in ("/a", "/b"):
        bench.publishers[topic] = bench.node.create_publisher(Imu, topic, 100)
    subscribers = [
        message_filters.Subscriber(bench.node, Imu, topic, qos_profile=100) for topic in ("/a", "/b")
    ]
    theirs: list[Any] = []
    rival = message_filters.ApproximateTimeSynchronizer(subscribers, 10, 0.02)
    rival.registerCallback(lambda *messages: theirs.append(messages))
    bench.keep(DropoutTolerantSynchronizer(subscribers, 10, 0.02, max_wait_s=0.5))
    bench.start()
    last_ns = bench.send(10, "/a", "/b")
    until(lambda: len(theirs) >= 9 and len(bench.sets) >= 9, "nine sets of each")
    bench.send(20, "/a", start_ns=last_ns + 50 * MS)
    until(lambda: len(bench.sets) >= 28, "sets without /b")
    full = [item for item in bench.sets if None not in item]
    stamps = [[tuple(map(stamp_ns, item)) for item in found] for found in (theirs, full)]
    # The first ones may lack an input that was not heard yet, which theirs waits for.
    assert stamps[1] == stamps[0][-len(stamps[1]) :]
    assert len(stamps[1]) >= 8
    assert len(bench.sets) > len(theirs) + 15


def test_synchronizer_hears_nothing_more_when_it_is_closed(bench: Bench) -> None:
    sync = DropoutTolerantSynchronizer([bench.input("/a"), bench.input("/b")], 10, 0.02)
    bench.keep(sync)
    heard: list[Any] = []
    bench.node.create_subscription(Imu, "/b", heard.append, QoSProfile(depth=100))
    bench.start()
    bench.send(4, "/a", "/b")
    until(lambda: bench.sets, "set")
    sync.close()

    def go_on() -> None:
        stamp = bench.send(4, "/a", "/b")
        until(lambda: heard and stamp_ns(heard[-1]) == stamp, "message after the end")

    go_on()  # a set may have been on its way
    before = len(bench.sets)
    go_on()
    assert len(bench.sets) == before


def test_no_input_is_lost_when_a_callback_takes_long(bench: Bench) -> None:
    sync = DropoutTolerantSynchronizer([bench.input("/a"), bench.input("/b")], 10, 0.02)
    bench.keep(sync)
    absences: list[Any] = []
    working = threading.Event()
    sync.registerSetCallback(lambda matched: absences.extend(matched.absent.values()))
    sync.registerCallback(lambda *_: working.wait(0.3))
    bench.start()
    bench.send(20, "/a", "/b")
    until(lambda: len(bench.sets) >= 8, "eight sets")
    assert Absence.LOST not in absences


@pytest.mark.parametrize(
    "options",
    [{"windows_s": {7: 0.1}}, {"windows_s": {1: -0.1}}, {"expected_lags_s": {9: 0.1}}, {"anchor": 2}],
)
def test_synchronizer_says_which_input_is_meant_when_there_is_none(
    bench: Bench, options: dict[str, Any]
) -> None:
    with pytest.raises(ConfigError, match="input"):
        DropoutTolerantSynchronizer([bench.input("/a"), bench.input("/b")], 10, 0.02, **options)


def plain(bench: Bench, topic: str) -> Any:
    bench.input(topic)  # for its publisher
    return bench.node.create_subscription(Imu, topic, lambda _: None, QoSProfile(depth=100))


def cached(bench: Bench, topic: str) -> Any:
    message_filters = pytest.importorskip("message_filters", reason="needs message_filters")
    bench.input(topic)
    return message_filters.Cache(message_filters.Subscriber(bench.node, Imu, topic, qos_profile=100), 100)


@pytest.mark.parametrize("make", [Bench.input, plain, cached])
def test_arrival_is_the_middlewares_when_a_callback_held_up_the_executor(
    bench: Bench, make: Callable[[Bench, str], Any]
) -> None:
    held, go_on = threading.Event(), threading.Event()
    sets: list[Any] = []

    def hold(*messages: Any) -> None:
        if None not in messages and not held.is_set():  # both inputs are known by then, and waited for
            held.set()
            assert go_on.wait(WITHIN_S)

    sync = DropoutTolerantSynchronizer([make(bench, "/a"), make(bench, "/b")], 10, 0.05, node=bench.node)
    sync.registerCallback(hold)
    sync.registerSetCallback(sets.append)
    bench.start()
    until(lambda: bench.send(1, "/a", "/b") and held.wait(0.1), "complete set")
    threading.Event().wait(0.1)  # the inputs' period
    before_ns, stamp_ns = time.monotonic_ns(), time.time_ns()
    bench.send(1, "/a", "/b", start_ns=stamp_ns)
    came_ns = time.monotonic_ns()
    threading.Event().wait(0.3)  # far longer than it takes a message to come
    go_on.set()
    until(lambda: sets[-1].stamp_ns == stamp_ns, "set of the messages that waited")
    for index in (0, 1):
        (received,) = sets[-1].samples[index]
        assert before_ns <= received.arrival_ns <= came_ns + 200 * MS


@pytest.mark.parametrize("depths", [(4, 12), (12, 4)])
def test_sets_are_complete_when_the_queues_hold_backlogs_of_different_length(
    bench: Bench, depths: tuple[int, int]
) -> None:
    held, go_on = threading.Event(), threading.Event()

    def hold(*messages: Any) -> None:
        bench.sets.append(messages)
        if len(bench.sets) > 8 and None not in messages and not held.is_set():  # the period is known by then
            held.set()
            assert go_on.wait(WITHIN_S)

    inputs = [bench.input(topic, depth=depth) for topic, depth in zip(("/a", "/b"), depths, strict=True)]
    sync = DropoutTolerantSynchronizer(inputs, 10, 0.02)
    sync.registerCallback(hold)
    bench.start()
    until(lambda: bench.send(4, "/a", "/b") and held.is_set(), "complete set")
    last_ns = bench.send(12, "/a", "/b")
    threading.Event().wait(0.3)  # far longer than it takes a message to come
    go_on.set()
    until(lambda: stamp_ns(bench.sets[-1][0] or bench.sets[-1][1]) == last_ns, "set of the last messages")
    assert [None in messages for messages in bench.sets[-4:]] == [False] * 4


class Filter:
    """A filter of the user's: hands on what it is given, as message_filters' SimpleFilter does."""

    def registerCallback(self, callback: Callable[..., None], *args: Any) -> int:  # noqa: N802
        self.hand_on = lambda *messages: callback(*messages, *args)
        return 0


class Raising:
    @property
    def header(self) -> Any:
        raise RuntimeError("no header today")


def stamped(stamp: Any) -> Any:
    return SimpleNamespace(header=SimpleNamespace(stamp=stamp))


def both(bench: Bench, **options: Any) -> tuple[DropoutTolerantSynchronizer, Filter, Filter]:
    one, other = Filter(), Filter()
    sync = DropoutTolerantSynchronizer([one, other], 10, 0.05, node=bench.node, **options)
    bench.keep(sync)
    return sync, one, other


@pytest.mark.parametrize(
    "make",
    [
        lambda ns: Time(nanoseconds=ns),
        lambda ns: Time(nanoseconds=ns).to_msg(),
        lambda ns: SimpleNamespace(sec=np.int32(ns // 10**9), nanosec=np.uint32(ns % 10**9)),
    ],
)
def test_stamps_of_every_kind_pair_with_messages(bench: Bench, make: Callable[[int], Any]) -> None:
    _, one, other = both(bench)
    now_ns = time.time_ns()
    for ago_ms in (100, 50, 0):  # the first of all goes out before the second input has spoken
        one.hand_on(stamped(make(now_ns - ago_ms * MS)))
        other.hand_on(stamped(Time(nanoseconds=now_ns - ago_ms * MS + MS).to_msg()))
    assert None not in bench.sets[-1]


@pytest.mark.parametrize(
    "messages",
    [
        (stamped(None),),
        (stamped("now"),),
        (stamped(SimpleNamespace(sec=1)),),
        (stamped(SimpleNamespace(sec=None, nanosec=0)),),
        (stamped(SimpleNamespace(sec=1.5, nanosec=0.0)),),
        (stamped(SimpleNamespace(sec=float("nan"), nanosec=0)),),
        (stamped(SimpleNamespace(sec=-5, nanosec=0)),),
        (SimpleNamespace(header=None),),
        (None,),
        (Raising(),),
        (stamped(Time(nanoseconds=1)), stamped(Time(nanoseconds=1))),  # a synchroniser's, before this one
        (),
    ],
)
def test_message_is_dropped_and_told_when_no_stamp_can_be_read(
    bench: Bench, messages: tuple[Any, ...]
) -> None:
    sync, one, _ = both(bench)
    one.hand_on(*messages)  # raises nothing
    assert sync.dropped == {"headerless": 1}
    assert bench.drops == [("input 0", messages[0] if len(messages) == 1 else messages, "headerless")]
    good = stamped(Time(nanoseconds=time.time_ns()))
    one.hand_on(good)
    assert bench.sets == [(good, None)]
