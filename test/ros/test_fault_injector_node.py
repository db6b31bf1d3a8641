"""The fault injector over real DDS: faults come and go on schedule, everything else passes untouched."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.serialization import deserialize_message, serialize_message
from ros.support import until
from sensor_msgs.msg import CompressedImage, Image, Imu, PointCloud2, PointField
from sentryfuse.msg import Budget
from std_msgs.msg import String

from sentryfuse_core.errors import ConfigError, ScenarioError
from sentryfuse_core.faults.injector import FaultInjector
from sentryfuse_core.faults.scenario import Event, Scenario
from sentryfuse_core.types import Modality
from sentryfuse_ros.fault_injector_node import SCENARIO_STATUS, FaultInjectorNode
from sentryfuse_ros.spin import Stop, make_executor

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

S = 1_000_000_000
pytestmark = [pytest.mark.ros, pytest.mark.capability("faults injected over real DDS")]


class Rig:
    """An injector with a driver before it and a listener behind it, all in this process."""

    def __init__(self, arguments: list[str]) -> None:
        rclpy.init(args=["--ros-args", *arguments])
        self.bench = Node("bench", use_global_arguments=False)
        self.injector = FaultInjectorNode(Stop())
        self.executor = make_executor()
        self.executor.add_node(self.bench)
        self.executor.add_node(self.injector)

    def close(self) -> None:
        self.executor.shutdown()
        self.injector.destroy_node()
        self.bench.destroy_node()
        rclpy.shutdown()

    def until(self, condition: Callable[[], bool]) -> None:
        until(condition, turn=lambda: self.executor.spin_once(timeout_sec=0.02))

    def line(self, kind: Any, topic: str) -> tuple[Any, list[Any]]:
        """A publisher under /raw and what arrives behind the injector."""
        got: list[Any] = []
        publisher = self.bench.create_publisher(kind, f"/raw{topic}", 10)
        self.bench.create_subscription(kind, topic, got.append, 10)
        self.until(lambda: publisher.get_subscription_count() > 0 and self.bench.count_publishers(topic) > 0)
        return publisher, got


def rig_with(tmp_path: Path, scenario: str) -> Rig:
    path = tmp_path / "scenario.yaml"
    path.write_text(scenario, encoding="utf-8")
    return Rig(["-p", f"scenario:={path}"])


def test_injector_passes_any_type_untouched_when_it_has_no_scenario() -> None:
    rig = Rig([])
    try:
        publisher, got = rig.line(String, "/anything")
        publisher.publish(String(data="first"))
        rig.until(lambda: bool(got))
        assert got[0].data == "first"
    finally:
        rig.close()


class StoryTime:
    """The injector's time since the story began, moved by hand."""

    def __init__(self) -> None:
        self.at_s = 0.0

    def monotonic(self) -> float:
        return 1000.0 + self.at_s


@pytest.fixture
def story_time(monkeypatch: pytest.MonkeyPatch) -> StoryTime:
    made = StoryTime()
    monkeypatch.setattr("sentryfuse_ros.fault_injector_node.time", made)
    return made


def test_injector_drops_and_restores_when_the_schedule_says(tmp_path: Path, story_time: StoryTime) -> None:
    rig = rig_with(
        tmp_path,
        "seconds: 3\nevents:\n  - {at_s: 0.5, until_s: 1.0, stream: imu, fault: drop}\n"
        "  - {at_s: 1.0, until_s: 1.5, stream: imu, fault: freeze}\n",
    )
    try:
        stories: list[str] = []
        handled: list[bytes] = []

        def note(message: DiagnosticArray) -> None:
            stories.extend(status.message for status in message.status if status.name == SCENARIO_STATUS)

        rig.bench.create_subscription(DiagnosticArray, "/diagnostics", note, 10)
        publisher, got = rig.line(Imu, "/imu/data")
        rig.bench.create_subscription(Imu, "/raw/imu/data", handled.append, 10)
        rig.until(lambda: publisher.get_subscription_count() == 2)

        def send(number: int) -> None:
            """One reading, and wait until it is out; one more listener tells that a dropped one was there."""
            message = Imu()
            message.header.stamp.sec = number
            message.linear_acceleration.x = float(number)
            publisher.publish(message)
            rig.until(lambda: len(handled) == number + 1)

        for at_s, story, numbers in (
            (0.0, "no fault", range(5)),
            (0.75, "imu: drop", range(5, 10)),
            (1.25, "imu: freeze", range(10, 15)),
            (1.75, "no fault", range(15, 20)),
        ):
            story_time.at_s = at_s
            for number in numbers:
                send(number)
                rig.until(lambda: number >= 5 or len(got) == number + 1)  # noqa: B023 - called at once
            rig.until(lambda: stories and stories[-1] == story)  # noqa: B023 - called at once
        rig.until(lambda: got[-1].header.stamp.sec == 19)
        assert [message.header.stamp.sec for message in got] == [*range(5), *range(10, 20)]
        contents = [message.linear_acceleration.x for message in got]
        assert contents[:5] == [0, 1, 2, 3, 4]
        assert len(set(contents[5:10])) == 1
        assert contents[10:] == [15, 16, 17, 18, 19]
        assert rig.injector.errors == 0
    finally:
        rig.close()


def test_injector_delays_by_the_asked_time_when_told(tmp_path: Path, story_time: StoryTime) -> None:
    rig = rig_with(tmp_path, "seconds: 60\nevents: [{at_s: 0, stream: imu, fault: delay, delay_s: 0.3}]\n")
    try:
        publisher, got = rig.line(Imu, "/imu/data")
        publisher.publish(Imu())
        rig.until(lambda: bool(rig.injector._delayed))
        story_time.at_s = 0.29
        turns = iter(range(50))
        rig.until(lambda: next(turns, None) is None)
        assert not got
        story_time.at_s = 0.31
        rig.until(lambda: bool(got))
    finally:
        rig.close()


def test_injector_publishes_the_budget_when_it_is_due(tmp_path: Path) -> None:
    rig = rig_with(tmp_path, "name: low\nseconds: 60\nactions: [{at_s: 0.2, power_w: 6}]\n")
    try:
        got: list[Any] = []
        rig.bench.create_subscription(Budget, "/sentryfuse/budget", got.append, 10)
        rig.until(lambda: rig.bench.count_publishers("/sentryfuse/budget") > 0)
        publisher, _ = rig.line(Imu, "/imu/data")
        publisher.publish(Imu())
        rig.until(lambda: bool(got))
        assert got[0].power_w == 6.0
        assert got[0].latency_ms != got[0].latency_ms  # NaN: no limit
        assert (got[0].level, got[0].source) == (-1, "scenario low")
    finally:
        rig.close()


def test_injector_publishes_in_its_namespace_when_it_has_one() -> None:
    rig = Rig(["-r", "__ns:=/bot", "-p", "prefix:=raw"])
    places = {
        "/bot/raw/imu/data": "/bot/imu/data",
        "/bot/raw/bot/imu/data": "/bot/imu/data",
        "/bot/raw/tf_static": "/tf_static",
    }
    try:
        got: list[tuple[str, float]] = []
        for number, (taken, out) in enumerate(places.items()):
            publisher = rig.bench.create_publisher(Imu, taken, 10)
            subscription = rig.bench.create_subscription(
                Imu, out, lambda message, out=out: got.append((out, message.linear_acceleration.x)), 10
            )
            rig.until(
                lambda publisher=publisher, out=out: (
                    publisher.get_subscription_count() > 0 and rig.bench.count_publishers(out) > 0
                )
            )
            message = Imu()
            message.linear_acceleration.x = float(number)
            publisher.publish(message)
            rig.until(lambda out=out, number=number: (out, float(number)) in got)
            rig.bench.destroy_subscription(subscription)
    finally:
        rig.close()


def test_injector_takes_parameters_of_other_nodes_when_they_are_set_for_all() -> None:
    Rig(["-p", "camera.topic:=/front", "-p", "use_sim_time:=false"]).close()


@pytest.mark.parametrize("prefix", ["''", "/"])
def test_injector_refuses_to_start_when_its_prefix_takes_every_topic(prefix: str) -> None:
    rclpy.init(args=["--ros-args", "-p", f"prefix:={prefix}"])
    try:
        with pytest.raises(ConfigError, match="prefix"):
            FaultInjectorNode(Stop())
    finally:
        rclpy.shutdown()


def test_injector_refuses_to_start_when_the_scenario_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text("seconds: 1\nevents: [{at_s: 0, stream: radar, fault: drop}]\n", encoding="utf-8")
    rclpy.init(args=["--ros-args", "-p", f"scenario:={path}"])
    try:
        with pytest.raises(ScenarioError, match="radar"):
            FaultInjectorNode(Stop())
    finally:
        rclpy.shutdown()


def image() -> Image:
    return Image(height=4, width=4, step=12, encoding="rgb8", data=bytes(range(48)))


def cloud() -> PointCloud2:
    fields = [PointField(name=name, offset=4 * i, datatype=7, count=1) for i, name in enumerate("xyz")]
    return PointCloud2(height=1, width=4, point_step=12, row_step=48, fields=fields, data=bytes(48))


@pytest.mark.parametrize(
    ("message", "modality", "fault", "options"),
    [
        (image(), Modality.CAMERA, "black", {}),
        (image(), Modality.CAMERA, "truncate", {"keep": 0.5}),
        (CompressedImage(format="jpeg", data=bytes(64)), Modality.CAMERA, "truncate", {"keep": 0.5}),
        (cloud(), Modality.LIDAR, "nan", {"share": 1.0}),
        (cloud(), Modality.LIDAR, "blocked", {"from_deg": -10.0, "to_deg": 10.0}),
        (Imu(), Modality.IMU, "noise", {"sigma": 1.0}),
        (Imu(), Modality.IMU, "offset", {"offset_s": -2.5}),
    ],
)
def test_fault_makes_a_publishable_copy_when_the_message_is_rclpys(
    message: Any, modality: Modality, fault: str, options: dict[str, float]
) -> None:
    before = serialize_message(message)
    event = Event(0.0, 1.0, modality.value, fault, options)
    injector = FaultInjector(Scenario("one", 0, 1.0, (event,)))
    (delivery,) = injector.apply("/topic", modality, message, at_s=0.5)
    after = serialize_message(delivery.message)
    assert after != before
    assert serialize_message(message) == before
    assert type(deserialize_message(after, type(message))) is type(message)


def test_injector_keeps_static_transforms_for_those_who_come_late() -> None:
    latched = QoSProfile(depth=10, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    rig = Rig([])
    try:
        # Two publishers, as a robot has: each keeps its own part.
        for text in ("base_link -> mast", "mast -> lidar"):
            publisher = rig.bench.create_publisher(String, "/raw/tf_static", latched)
            publisher.publish(String(data=text))
        rig.until(lambda: rig.bench.count_publishers("/tf_static") > 0)
        (offer,) = rig.bench.get_publishers_info_by_topic("/tf_static")
        assert offer.qos_profile.durability is DurabilityPolicy.TRANSIENT_LOCAL
        for _ in range(20):  # what the injector has still to pass
            rig.executor.spin_once(timeout_sec=0.02)
        late: set[str] = set()
        rig.bench.create_subscription(String, "/tf_static", lambda message: late.add(message.data), latched)
        rig.until(lambda: len(late) == 2)
        assert late == {"base_link -> mast", "mast -> lidar"}
    finally:
        rig.close()
