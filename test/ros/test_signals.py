"""Whatever of this package a signal comes to, and when: it ends at once, with its status, no traceback."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from programs import Program
from rcl_interfaces.srv import GetParameters
from ros.support import PARAMETERS, WITHIN_S, Asking, Listener, NodeProcess, node_command, until

from sentryfuse_core.bags.writer import BagWriter

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

pytestmark = [pytest.mark.ros, pytest.mark.capability("fusion node over real DDS")]

BOTH = (signal.SIGINT, signal.SIGTERM)
CPU_S = 1.5  # of processor time from the signal to the end; time on the wall depends on who else runs here
PARTS = {  # node's name -> its module, arguments and status, to which a command adds the signal's number
    "fault_injector": ("fault_injector_node", (), 0),
    "player": ("player_node", ("--ros-args", "-p", "bag:=BAG", "-p", "wait_s:=600.0"), 0),
    "sentryfuse_top": ("cli", ("top",), 0),
    "sentryfuse": ("cli", ("check", "--timeout", "600"), 128),
}


@pytest.fixture
def bag(tmp_path: Path) -> Path:
    with BagWriter(tmp_path / "walk.mcap") as writer:
        for index in range(10):
            writer.write("/imu/data", "sensor_msgs/msg/Imu", index * 10_000_000, {})
    return tmp_path / "walk.mcap"


def used_s(who: int = resource.RUSAGE_CHILDREN) -> float:
    usage = resource.getrusage(who)
    return usage.ru_utime + usage.ru_stime


def nodes(listener: Listener, name: str) -> set[bytes]:
    """The nodes of this name by their identity: the graph may keep the name of one that has ended."""
    found = listener.node.get_publishers_info_by_topic("/parameter_events")
    return {bytes(info.endpoint_gid) for info in found if info.node_name == name}


@pytest.mark.parametrize("signals", [BOTH, (signal.SIGTERM,), (signal.SIGINT, signal.SIGINT)])
@pytest.mark.parametrize("name", PARTS)
def test_process_ends_with_its_status_when_it_is_told_to_once_or_again(
    name: str, signals: Sequence[int], listener: Listener, bag: Path
) -> None:
    module, arguments, status = PARTS[name]
    before = nodes(listener, name)
    with Program(node_command(module, *(word.replace("BAG", str(bag)) for word in arguments))) as program:
        until(lambda: bool(nodes(listener, name) - before), f"{name} there")
        own = nodes(listener, name) - before
        assert program.end(*signals) == (status and status + signals[0]), program.output
        assert "Traceback" not in program.output
    until(lambda: not own & nodes(listener, name), f"{name} gone")


@pytest.mark.parametrize("number", BOTH)
def test_executable_ends_in_silence_when_a_signal_comes_while_ros_is_imported(number: int) -> None:
    told = f"""
import importlib, os, sys, time
from sentryfuse_ros import executables
importlib.import_module = lambda _name: (os.kill(os.getpid(), {int(number)}), time.sleep(60))
sys.exit(executables.fusion_node())
"""
    command = [sys.executable, "-c", told]
    done = subprocess.run(command, capture_output=True, text=True, timeout=WITHIN_S, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def asking(listener: Listener, kind: Any, name: str) -> Asking:
    return Asking(listener.node, kind, f"/sentryfuse/{name}")


def label(state: Asking) -> str:
    return str(state(GetState.Request()).current_state.label)


def change_to(transition: int) -> ChangeState.Request:
    return ChangeState.Request(transition=Transition(id=transition))


@contextmanager
def starting(**parameters: Any) -> Iterator[NodeProcess]:
    """A node that is on its way, and ends well whatever it is told meanwhile."""
    with NodeProcess(**PARAMETERS, **parameters) as node:
        yield node
        assert node.end() == 0


def test_services_answer_when_the_node_configures_and_activates_by_itself(listener: Listener) -> None:
    with (
        starting(),
        asking(listener, GetState, "get_state") as state,
        asking(listener, GetParameters, "get_parameters") as parameters,
    ):

        def told() -> None:
            (topic,) = parameters(GetParameters.Request(names=["camera.topic"])).values
            assert topic.string_value == "camera/image"

        until(lambda: label(state) == "active", turn=told)


def test_services_answer_and_a_second_transition_is_refused_when_a_manager_configures(
    listener: Listener,
) -> None:
    with (
        starting(autostart=False) as node,
        asking(listener, GetState, "get_state") as state,
        asking(listener, ChangeState, "change_state") as change,
    ):
        # Once one answer has come, none is lost any more.
        assert not change(change_to(Transition.TRANSITION_ACTIVATE)).success
        configured = change.client.call_async(change_to(Transition.TRANSITION_CONFIGURE))
        until(lambda: label(state) == "configuring" or configured.done())
        assert not configured.done()
        assert not change.once(change_to(Transition.TRANSITION_CONFIGURE)).success
        assert not configured.done()
        node.wait_for_line("a transition is under way")
        seen: set[str] = set()
        until(configured.done, turn=lambda: seen.add(label(state)))
        assert seen <= {"configuring", "inactive"}
        assert configured.result().success


@pytest.mark.parametrize("wanted", ["activating", "active"])
def test_node_ends_at_once_when_told_to_in_any_state(listener: Listener, wanted: str) -> None:
    before_s, before = used_s(), nodes(listener, "sentryfuse")
    with (
        starting(autostart=False) as node,
        asking(listener, GetState, "get_state") as state,
        asking(listener, ChangeState, "change_state") as change,
    ):
        # By a manager's requests, since a node that starts by itself may be active before it is found.
        assert label(state) == "unconfigured"
        # Once one answer has come, none is lost any more.
        assert not change(change_to(Transition.TRANSITION_ACTIVATE)).success
        for transition in (Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE):
            seen = followed(state, change.client.call_async(change_to(transition)), wanted)
        assert seen == wanted
        own = nodes(listener, "sentryfuse") - before
        ticks = sum(int(word) for word in _stat(node.pid)[11:13])
        os.kill(node.pid, signal.SIGINT)
    after_s = used_s() - before_s - ticks / os.sysconf("SC_CLK_TCK")
    assert after_s < CPU_S
    assert "Traceback" not in node.output
    until(lambda: not own & nodes(listener, "sentryfuse"), "the node gone")


def followed(state: Asking, transition: Any, wanted: str) -> str:
    """The state `wanted` as soon as it is seen, or the one that the transition led to."""
    seen = ""

    def reached() -> bool:
        nonlocal seen
        ended = transition.done()  # before the look: where it has ended, the look is at what it led to
        seen = label(state)
        return ended or seen == wanted

    until(reached, f"{wanted}, or the transition's end")
    return seen


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat after the name, which may hold spaces."""
    return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
