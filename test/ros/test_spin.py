"""Running a node: which executor, and what a parameter of the wrong type is told."""

from __future__ import annotations

import subprocess
import sys

import pytest
from ros.support import WITHIN_S, node_command

from sentryfuse_ros.spin import events_executor_available, make_executor


@pytest.mark.parametrize("blocked", ["rclpy.experimental", "rclpy.experimental.events_executor"])
def test_single_threaded_executor_runs_when_rclpy_has_no_events_executor(
    blocked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "rclpy.experimental.events_executor", raising=False)
    monkeypatch.setitem(sys.modules, blocked, None)  # as if it were not there
    assert not events_executor_available()
    monkeypatch.setattr("rclpy.executors.SingleThreadedExecutor", lambda: "single-threaded")
    assert make_executor() == "single-threaded"


@pytest.mark.ros
@pytest.mark.parametrize("node", ["fusion_node", "player_node", "fault_injector_node"])
def test_node_says_in_one_line_which_parameter_has_the_wrong_type(node: str) -> None:
    done = subprocess.run(
        node_command(node, use_sim_time=3), capture_output=True, text=True, timeout=WITHIN_S, check=False
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "'use_sim_time' to '3'" in done.stderr
    assert "give it a value" in done.stderr


@pytest.mark.ros
@pytest.mark.parametrize("streams", [">&-", "<&- >&- 2>&-"])
def test_node_ends_with_its_own_status_when_standard_streams_are_closed(streams: str) -> None:
    told = "import sys; from sentryfuse_ros import executables; sys.exit(executables.fusion_node())"
    command = [sys.executable, "-c", told, "--ros-args", "-p", "camera.topik:=/x"]
    shell = ["/bin/sh", "-c", f'exec "$@" {streams}', "sh", *command]
    done = subprocess.run(shell, capture_output=True, text=True, timeout=WITHIN_S, check=False)
    assert (done.returncode, "Traceback" in done.stderr) == (2, False)


@pytest.mark.ros
def test_process_ends_and_tells_where_it_stood_when_its_node_does_not_end() -> None:
    told = """
import os, signal, threading
from rclpy.node import Node
from sentryfuse_ros import spin

class Stuck(Node):
    def destroy_node(self):
        threading.Event().wait()

def make(stop):
    node = Stuck("stuck")
    node.create_timer(0.0, lambda: os.kill(os.getpid(), signal.SIGINT))
    return node

spin._HARD_END_S = 0.5
spin.run_process(make, args=[])
"""
    done = subprocess.run(
        [sys.executable, "-c", told], capture_output=True, text=True, timeout=WITHIN_S, check=False
    )
    assert done.returncode == 1
    assert "Timeout" in done.stderr
    assert "in destroy_node" in done.stderr
