"""What the fusion node itself does wrong is told as that, and so is a second driver; in a namespace."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import TYPE_CHECKING

import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from ros.support import TOPICS, Listener, NodeProcess, Robot, participant, recording, running
from sentryfuse.msg import FusionStatus

from sentryfuse_core.types import Modality, ModalitySet, SensorState
from sentryfuse_ros.messages import message_class
from sentryfuse_ros.subscribe import UNKNOWN_NODE

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.ros, pytest.mark.capability("fusion node over real DDS")]

STOPPED_S = 1.6
TRIES = 4  # other programs can hold up who plays the sensors; what the node does by itself it does each time
PATIENCE_S = 1.0  # of the node with its sensors: less than it is stopped, more than a publisher here stutters
PARAMETERS = {
    **{f"health.timeout_floor_{modality.value}_s": PATIENCE_S for modality in Modality},
    "camera.topic": "/camera/image",
    "lidar.topic": "/lidar/points",
    "imu.topic": "/imu/data",
    "audio.topic": "/audio",
}


@pytest.fixture(scope="module")
def listener() -> Iterator[Listener]:
    with Listener(namespace="/robot/sentryfuse") as found:
        yield found


@pytest.fixture(scope="module")
def robot(listener: Listener) -> Iterator[Robot]:
    with Robot(listener.node, recording()) as found:
        yield found


@pytest.fixture(scope="module")
def node(listener: Listener, robot: Robot) -> Iterator[NodeProcess]:  # noqa: ARG001 - it has to send by then
    with running(listener, remap=["__ns:=/robot"], **PARAMETERS) as found:
        listener.wait_for("status", lambda status: status.mask == ModalitySet.all().bits)
        yield found


def changes(listener: Listener, since_s: float) -> set[str]:
    """Every change of a sensor's state."""
    events = (
        status
        for array in listener.since("diagnostics", since_s)
        for status in array.status
        if status.name == "/robot/sentryfuse: events"
    )
    return {item.key for status in events for item in status.values}


def states(statuses: list[FusionStatus]) -> set[int]:
    return {sensor.state for status in statuses for sensor in status.sensors}


def figure(status: DiagnosticStatus, name: str) -> float:
    return next(float(item.value) for item in status.values if item.key == name)


def blamed(listener: Listener, node: NodeProcess) -> set[str]:
    """What sensors are blamed for while the process is stopped three times, and goes on."""
    listener.wait_for("status", lambda status: states([status]) == {SensorState.OK})
    began_s, said = time.monotonic(), len(node.lines)
    for _ in range(3):
        before_s = figure(listener.diagnostic("node", lambda _: True), "stalled_s")
        os.kill(node.pid, signal.SIGSTOP)
        threading.Event().wait(STOPPED_S)
        resumed_s = time.monotonic()
        os.kill(node.pid, signal.SIGCONT)
        listener.wait_for("detections", lambda _: True, since_s=resumed_s)
        told = listener.diagnostic(  # by the sum: on a busy machine it may stall once more before it tells
            "node",
            lambda status, least_s=before_s + STOPPED_S - 0.2: (
                "the node did not run for" in status.message and figure(status, "stalled_s") >= least_s
            ),
        )
        assert told.level == b"\x01"
        assert "no sensor is blamed" in told.message
        assert "CPU load" in told.message
        listener.wait_for("status", lambda status: status.mask == ModalitySet.all().bits)
    statuses = listener.since("status", began_s)
    assert any("the node did not run" in note for status in statuses for note in status.notes)
    wrong = {change for change in changes(listener, began_s) if "LOST" in change or "DEGRADED" in change}
    wrong |= {line for line in node.lines[said:] if "power, cable" in line}
    return wrong | {SensorState(state).name for state in states(statuses) - {SensorState.OK}}


def test_no_sensor_is_blamed_when_the_process_is_stopped_again_and_again(
    listener: Listener, node: NodeProcess
) -> None:
    for _ in range(TRIES):
        found = blamed(listener, node)
        if not found:
            break
    assert not found


@pytest.mark.usefixtures("node")
def test_second_publisher_is_named_when_two_are_mixed_on_one_topic(listener: Listener) -> None:
    other = next(item for item in recording(seconds=0.5) if item.topic == TOPICS[Modality.LIDAR])
    with participant("rear_lidar", namespace="/robot") as rear:
        publisher = rear.create_publisher(message_class(other.type_name), other.topic, 10)
        over = threading.Event()

        def send() -> None:
            while not over.wait(0.1):
                publisher.publish(other.stamped(time.time_ns()))

        sending = threading.Thread(target=send)
        sending.start()
        try:
            told = listener.diagnostic(  # its name comes a moment after the publisher itself
                "sensor/lidar",
                lambda status: (
                    "publishers" in status.message
                    and UNKNOWN_NODE not in status.message
                    and status.level == b"\x01"  # ERROR where the last set had nothing that could be used
                ),
            )
        finally:
            over.set()
            sending.join()
        assert "2 publishers on /lidar/points are mixed: /listener, /robot/rear_lidar" in told.message
        assert "remap" in told.message
    listener.wait_for(
        "status",
        lambda status: all(sensor.state == SensorState.OK for sensor in status.sensors),
    )
