"""Messages that wait for a busy executor: their arrival is when they came, and no sensor is lost for it."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from rclpy.executors import SingleThreadedExecutor
from ros.support import WITHIN_S, until
from std_msgs.msg import String

from sentryfuse_ros.arrival import catch_up, told_wait, waited_ns
from sentryfuse_ros.spin import events_executor_available

pytestmark = [pytest.mark.ros, pytest.mark.capability("fusion node over real DDS")]

BLOCKED_S = 0.08


def fastest(**options: Any) -> Any:
    """As `make_executor` takes it."""
    if not events_executor_available():
        return SingleThreadedExecutor(**options)
    from rclpy.experimental.events_executor import EventsExecutor

    return EventsExecutor(**options)


def test_wait_is_bounded_when_the_clock_was_set_or_says_nothing() -> None:
    assert waited_ns(1_000, 1_400) == 400
    assert waited_ns(1_400, 1_000) == 0
    assert waited_ns(0, 1_400) == 0
    assert waited_ns(1, 10**18) == 10**9


@pytest.mark.parametrize("make", [fastest, SingleThreadedExecutor])
def test_callback_is_told_how_long_the_message_waited(node: Any, make: Any) -> None:
    waits_ms: list[float] = []
    node.create_subscription(String, "words", told_wait(lambda _, ns: waits_ms.append(ns / 1e6)), 10)
    publisher = node.create_publisher(String, "words", 10)
    executor = make(context=node.context)
    executor.add_node(node)

    def spin() -> None:
        executor.spin_once(timeout_sec=0.02)

    until(lambda: bool(publisher.get_subscription_count()), turn=spin)
    sent_ns = time.time_ns()
    publisher.publish(String(data="hello"))
    time.sleep(BLOCKED_S)  # the block itself
    until(lambda: bool(waits_ms), turn=spin)
    longest_ms = (time.time_ns() - sent_ns) / 1e6
    executor.shutdown()
    assert BLOCKED_S * 1e3 / 2 < waits_ms[0] <= longest_ms


def test_catching_up_ends_when_the_executor_has_handled_what_it_has(
    node: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    executor, done = SingleThreadedExecutor(context=node.context), threading.Event()
    catch_up(None)
    catch_up(executor)  # which nobody spins: not for ever
    monkeypatch.setattr("sentryfuse_ros.arrival._CATCH_UP_S", WITHIN_S)
    order: list[str] = []
    executor.create_task(lambda: order.append("message"))

    def spin() -> None:
        while not done.is_set():
            executor.spin_once(timeout_sec=0.02)

    thread = threading.Thread(target=spin)
    thread.start()
    catch_up(executor)
    order.append("caught up")
    done.set()
    thread.join()
    executor.shutdown()
    assert order == ["message", "caught up"]
