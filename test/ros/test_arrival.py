"""Messages that wait for a busy executor: their arrival is when they came, and no sensor is lost for it."""

from __future__ import annotations

import threading
import time
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
import rclpy
from builtin_interfaces.msg import Time
from rclpy.executors import SingleThreadedExecutor
from sensor_msgs.msg import Imu
from std_msgs.msg import Header, String

from sentryfuse_core.clock import SteadyClock
from sentryfuse_core.config import Config
from sentryfuse_core.ingest import Ingest
from sentryfuse_core.types import Modality, SensorState
from sentryfuse_ros.arrival import catch_up, told_wait, waited_ns
from sentryfuse_ros.spin import make_executor
from sentryfuse_ros.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = [pytest.mark.ros, pytest.mark.capability("fusion node over real DDS")]

BLOCKED_S = 0.08
LOST_AFTER_S = 0.25  # health.timeout_floor_imu_s
WITHIN_S = 120.0


@pytest.fixture
def node() -> Iterator[Any]:
    rclpy.init()
    made = rclpy.create_node("arrival")
    try:
        yield made
    finally:
        made.destroy_node()
        rclpy.shutdown()


def test_wait_is_bounded_when_the_clock_was_set_or_says_nothing() -> None:
    assert waited_ns(1_000, 1_400) == 400
    assert waited_ns(1_400, 1_000) == 0
    assert waited_ns(0, 1_400) == 0
    assert waited_ns(1, 10**18) == 10**9


@pytest.mark.parametrize("make", [make_executor, SingleThreadedExecutor])
def test_callback_is_told_how_long_the_message_waited(node: Any, make: Callable[[], Any]) -> None:
    waits_ms: list[float] = []
    node.create_subscription(String, "words", told_wait(lambda _, ns: waits_ms.append(ns / 1e6)), 10)
    publisher = node.create_publisher(String, "words", 10)
    executor = make()
    executor.add_node(node)
    deadline_s = time.monotonic() + WITHIN_S
    while not publisher.get_subscription_count() and time.monotonic() < deadline_s:
        executor.spin_once(timeout_sec=0.02)
    sent_ns = time.time_ns()
    publisher.publish(String(data="hello"))
    time.sleep(BLOCKED_S)  # the block itself
    while not waits_ms and time.monotonic() < deadline_s:
        executor.spin_once(timeout_sec=0.02)
    longest_ms = (time.time_ns() - sent_ns) / 1e6
    executor.shutdown()
    assert BLOCKED_S * 1e3 / 2 < waits_ms[0] <= longest_ms


def test_no_sensor_is_lost_when_the_executor_is_blocked_for_longer_than_it_may_be_silent(
    node: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sentryfuse_ros.arrival._CATCH_UP_S", WITHIN_S)  # however slow this machine is
    clock, ingest = SteadyClock(), Ingest(Config())
    assert Config().health.timeout_floor_imu_s == LOST_AFTER_S

    def take(message: Imu, ns: int) -> None:
        ingest.message(
            Modality.IMU,
            message,
            type_name="sensor_msgs/msg/Imu",
            arrival_ns=clock.now_ns() - ns,
            received_ns=time.time_ns() - ns,
        )

    node.create_subscription(Imu, "imu", told_wait(take), 100)
    publisher = node.create_publisher(Imu, "imu", 100)
    executor = make_executor()
    executor.add_node(node)
    worker = Worker(
        ingest,
        clock=clock,
        catch_up=lambda: catch_up(executor),
        handle=lambda _: None,
        idle=lambda _: None,
        report=lambda _: None,
    )
    ended = threading.Event()

    def spin() -> None:
        while not ended.is_set():
            executor.spin_once(timeout_sec=0.02)

    thread = threading.Thread(target=spin)
    thread.start()
    worker.start()
    try:
        smooth = 0
        deadline_s = time.monotonic() + WITHIN_S
        while smooth < 3 and time.monotonic() < deadline_s:
            found, longest_gap_s = _blocked_once(publisher, executor, ingest)
            if longest_gap_s < LOST_AFTER_S / 2:  # else the publisher was kept from sending: silence indeed
                smooth += 1
                assert SensorState.LOST not in found
        assert smooth == 3
    finally:
        worker.stop()
        ended.set()
        thread.join()
        executor.shutdown()


def _blocked_once(publisher: Any, executor: Any, ingest: Ingest) -> tuple[list[SensorState], float]:
    """States entered while messages at 200 Hz meet a blocked executor, and the longest gap between them."""
    sent_s: list[float] = []
    for index in range(100):
        stamp = Time(sec=time.time_ns() // 10**9, nanosec=time.time_ns() % 10**9)
        message = Imu(header=Header(stamp=stamp, frame_id="imu"))
        message.linear_acceleration.z = 9.8 + 1e-3 * (len(sent_s) + time.monotonic() % 1)
        publisher.publish(message)
        sent_s.append(time.monotonic())
        if index == 30:
            ingest.take_transitions()
            executor.create_task(lambda: time.sleep(1.2 * LOST_AFTER_S))
        time.sleep(0.005)
    return [item.after for item in ingest.take_transitions()], max(b - a for a, b in pairwise(sent_s))
