"""The fusion node's life over real DDS: transitions, start that fails, signals, simulated time."""

from __future__ import annotations

import signal
import threading
import time
import weakref
from typing import TYPE_CHECKING

import pytest
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.msg import Transition
from rclpy.lifecycle import TransitionCallbackReturn
from ros.support import PARAMETERS, Listener, NodeProcess, Robot, S, recording, rig, running
from rosgraph_msgs.msg import Clock
from sentryfuse.msg import SensorHealth

from sentryfuse_core.types import ModalitySet
from sentryfuse_ros.fusion_node import FusionNode

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.ros, pytest.mark.capability("fusion node over real DDS")]

ALL = ModalitySet.all()


@pytest.fixture(scope="module")
def robot(listener: Listener) -> Iterator[Robot]:
    with Robot(listener.node, recording(seconds=1.0)) as found:
        yield found


@pytest.mark.slow
@pytest.mark.usefixtures("robot")
def test_node_follows_lifecycle_transitions_when_told(listener: Listener) -> None:
    with running(listener, autostart=False) as node:
        assert listener.state() == "unconfigured"
        assert not listener.change_state(Transition.TRANSITION_ACTIVATE)
        assert listener.change_state(Transition.TRANSITION_CONFIGURE)
        assert listener.state() == "inactive"
        assert listener.received["status"] == []
        for _ in range(2):
            active_s = time.monotonic()
            assert listener.change_state(Transition.TRANSITION_ACTIVATE)
            first = listener.wait_for("status", lambda _status: True, since_s=active_s)
            # Counted from 0; of several sets ready at once the newest wins and the others are skipped.
            assert first.sequence == first.skipped_sets
            assert listener.wait_for("status", lambda status: status.mask == ALL.bits)
            assert listener.change_state(Transition.TRANSITION_DEACTIVATE)
            quiet_ns = time.time_ns()
            assert listener.state() == "inactive"
        assert listener.change_state(Transition.TRANSITION_CLEANUP)
        assert listener.state() == "unconfigured"
        stamps = [status.header.stamp for status in listener.since("status", 0.0)]
        assert max(stamp.sec * S + stamp.nanosec for stamp in stamps) < quiet_ns
        assert node.end(signal.SIGINT) == 0
        assert "Traceback" not in node.output


def test_session_is_let_go_when_the_node_is_activated_anew() -> None:
    given = [part for name, value in PARAMETERS.items() for part in ("-p", f"{name}:={value}")]
    with rig(FusionNode, *given, "-p", "model.backend:=eager") as found:
        node = found.node
        assert node.trigger_configure() is TransitionCallbackReturn.SUCCESS
        sessions = []
        for _ in range(2):
            assert node.trigger_activate() is TransitionCallbackReturn.SUCCESS
            sessions.append(weakref.ref(node._session))
            assert node.trigger_deactivate() is TransitionCallbackReturn.SUCCESS
        assert sessions[0]() is None


@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        ({"model.chekpoint": "x"}, "unknown parameter 'model.chekpoint'; did you mean 'model.checkpoint'?"),
        ({"model.checkpoint": "/no/such.safetensors"}, "/no/such"),
        ({"camera.topic": '"bad topic"'}, "camera.topic = 'bad topic' is no topic name"),
        ({"autostart": 3}, "'autostart' to '3'"),
    ],
)
def test_node_ends_with_one_line_and_status_2_when_it_cannot_start(
    parameters: dict[str, object], named: str
) -> None:
    node = NodeProcess(**parameters)
    assert node.wait() == 2
    assert len(node.lines) == 1
    assert node.lines[0].startswith("error: ")
    assert named in node.lines[0]


def test_node_names_the_file_when_parameters_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text("sentryfuse: [broken", encoding="utf-8")
    node = NodeProcess(params_file=path)
    assert node.wait() == 2
    assert str(path) in node.lines[-1]
    assert node.lines[-1].startswith("error: ")
    assert "Traceback" not in node.output


def is_paused(array: DiagnosticArray) -> bool:
    told = [status.message for status in array.status if status.name == "sentryfuse: sync"]
    return any("PAUSED: /clock has not moved" in message for message in told)


def states_in(array: DiagnosticArray) -> dict[str, str]:
    """State of each sensor by its name."""
    sensors = {name: item.values for item in array.status if (name := item.name.partition("sensor/")[2])}
    return {name: item.value for name, values in sensors.items() for item in values if item.key == "state"}


def test_epoch_counts_up_and_states_stay_when_simulated_time_jumps_or_stands_still(
    robot: Robot, listener: Listener
) -> None:
    clock = listener.node.create_publisher(Clock, "/clock", 10)
    one_time = threading.Lock()  # a simulator's clock jumps once, whichever thread publishes it

    def publish(jump_ns: int = 0) -> None:
        with one_time:
            robot.shift_ns += jump_ns
            now_ns = time.time_ns() + robot.shift_ns
            clock.publish(Clock(clock=Time(sec=now_ns // 10**9, nanosec=now_ns % 10**9)))

    tick = listener.node.create_timer(0.01, publish)
    with running(listener, use_sim_time=True):
        before = listener.wait_for("status", lambda status: status.mask == ALL.bits)
        publish(-100 * 10**9)  # as a simulator does it: before any stamp of the new time
        jumped = listener.wait_for(
            "status", lambda status: status.header.stamp.sec < before.header.stamp.sec - 90
        )
        assert jumped.epoch == before.epoch + 1
        listener.wait_for("status", lambda status: status.mask == ALL.bits)

        robot.pause()
        tick.cancel()
        first, *_, last = listener.wait_for_run("diagnostics", is_paused, count=4)
        since_s = time.monotonic()
        assert states_in(first) == states_in(last)
        assert set(states_in(last)) == {"camera", "lidar", "imu", "audio"}
        assert set(states_in(last).values()) <= {"OK", "DEGRADED"}
        publish()  # before stamps that would else lie in the future
        tick.reset()
        robot.resume()
        last = listener.wait_for("status", lambda status: status.mask == ALL.bits, since_s=since_s)
        states = {sensor.state for status in listener.since("status", since_s) for sensor in status.sensors}
        assert states <= {SensorHealth.OK, SensorHealth.DEGRADED}
        assert last.epoch == jumped.epoch
    listener.node.destroy_timer(tick)
    listener.node.destroy_publisher(clock)
