"""The fault injector over real DDS: faults come and go on schedule, everything else passes untouched."""

from __future__ import annotations

import itertools
import time
from typing import TYPE_CHECKING, Any

import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import CompressedImage, Image, Imu, PointCloud2, PointField
from sentryfuse.msg import Budget
from std_msgs.msg import String

from sentryfuse_core.errors import ConfigError, ScenarioError
from sentryfuse_core.replay.faults import FaultInjector
from sentryfuse_core.replay.scenario import Event, Scenario
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

    def until(self, condition: Callable[[], bool], *, within_s: float = 10.0) -> None:
        deadline = time.monotonic() + within_s
        while not condition():
            assert time.monotonic() < deadline, "did not happen in time"
            self.executor.spin_once(timeout_sec=0.02)

    def line(self, kind: Any, topic: str) -> tuple[Any, list[tuple[float, Any]]]:
        """A publisher under /raw and what arrives behind the injector, with steady arrival times in s."""
        got: list[tuple[float, Any]] = []
        publisher = self.bench.create_publisher(kind, f"/raw{topic}", 10)
        self.bench.create_subscription(
            kind, topic, lambda message: got.append((time.monotonic(), message)), 10
        )
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
        assert got[0][1].data == "first"
    finally:
        rig.close()


def test_injector_drops_and_restores_when_the_schedule_says(tmp_path: Path) -> None:
    rig = rig_with(
        tmp_path,
        "seconds: 3\nevents:\n  - {at_s: 0.5, until_s: 1.0, stream: imu, fault: drop}\n"
        "  - {at_s: 1.0, until_s: 1.5, stream: imu, fault: freeze}\n",
    )
    try:
        stories: list[str] = []

        def note(message: DiagnosticArray) -> None:
            stories.extend(status.message for status in message.status if status.name == SCENARIO_STATUS)

        rig.bench.create_subscription(DiagnosticArray, "/diagnostics", note, 10)
        publisher, got = rig.line(Imu, "/imu/data")
        sent = itertools.count()

        def send() -> None:
            message = Imu()
            message.header.stamp.sec = next(sent)
            message.linear_acceleration.x = float(message.header.stamp.sec)
            publisher.publish(message)

        rig.bench.create_timer(0.01, send)
        rig.until(lambda: bool(got) and got[-1][0] > got[0][0] + 2.0)
        first = got[0][0]
        silent = [at for at, _ in got if first + 0.55 < at < first + 0.95]
        frozen = [message for at, message in got if first + 1.05 < at < first + 1.45]
        after = [message for at, message in got if at > first + 1.55]
        assert not silent
        assert len({message.linear_acceleration.x for message in frozen}) == 1
        assert len({message.header.stamp.sec for message in frozen}) == len(frozen) > 5
        assert len(after) > 5
        assert all(message.linear_acceleration.x == message.header.stamp.sec for message in after)
        assert [story for n, story in enumerate(stories) if story not in stories[:n]] == [
            "no fault",
            "imu: drop",
            "imu: freeze",
        ]
        assert rig.injector.errors == 0
    finally:
        rig.close()


def test_injector_delays_by_the_asked_time_when_told(tmp_path: Path) -> None:
    rig = rig_with(tmp_path, "seconds: 60\nevents: [{at_s: 0, stream: imu, fault: delay, delay_s: 0.3}]\n")
    try:
        publisher, got = rig.line(Imu, "/imu/data")
        sent = time.monotonic()
        publisher.publish(Imu())
        rig.until(lambda: bool(got))
        assert 0.29 < got[0][0] - sent < 0.6
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
