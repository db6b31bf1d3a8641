"""The launch files, run for real where launch is installed."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

NEEDS = "needs launch and launch_ros"
launch_pytest = pytest.importorskip("launch_pytest", reason=NEEDS)
pytest.importorskip("launch_ros", reason=NEEDS)

import rclpy
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, RegisterEventHandler
from launch.event_handlers import OnProcessExit, OnProcessStart
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch_pytest.actions import ReadyToTest
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import parameter_value_to_python
from rclpy.parameter_client import AsyncParameterClient
from rclpy.qos import qos_profile_sensor_data
from sentryfuse.msg import FusionStatus

from sentryfuse_ros.middleware import PROFILE_VARIABLE, profile_path

ROOT = Path(__file__).resolve().parents[2]
DEADLINE_S = 180.0  # a loaded machine needs most of a minute to warm the network up
pytestmark = [pytest.mark.ros, pytest.mark.capability("launch files")]


class Processes:
    """What launch started and how it ended."""

    def __init__(self) -> None:
        self.pids: dict[str, int] = {}
        self.exits: dict[str, int] = {}
        self.changed = threading.Condition()

    def handlers(self) -> list[RegisterEventHandler]:
        return [
            RegisterEventHandler(
                OnProcessStart(on_start=lambda event, _: self._note(self.pids, event, event.pid))
            ),
            RegisterEventHandler(
                OnProcessExit(on_exit=lambda event, _: self._note(self.exits, event, event.returncode))
            ),
        ]

    def _note(self, table: dict[str, int], event: Any, value: int) -> None:
        with self.changed:
            table[event.process_name.rpartition("-")[0]] = value
            self.changed.notify_all()

    def wait(self, table: dict[str, int], name: str) -> int:
        with self.changed:
            assert self.changed.wait_for(lambda: name in table, DEADLINE_S), (
                f"{name}: {self.pids} {self.exits}"
            )
            return table[name]


def described(file: str, processes: Processes, **arguments: str) -> LaunchDescription:
    """A launch file of the source tree, with arguments, watched."""
    source = PythonLaunchDescriptionSource(str(ROOT / "launch" / file))
    included = IncludeLaunchDescription(source, launch_arguments=arguments.items())
    return LaunchDescription([*processes.handlers(), included, ReadyToTest()])


@pytest.fixture
def processes() -> Processes:
    return Processes()


@pytest.fixture
def listener() -> Iterator[tuple[Node, SingleThreadedExecutor]]:
    context = rclpy.Context()
    rclpy.init(context=context)
    node = Node("listener", context=context)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    yield node, executor
    executor.shutdown()
    node.destroy_node()
    rclpy.shutdown(context=context)


def spin_until(executor: SingleThreadedExecutor, done: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + DEADLINE_S
    while not done() and time.monotonic() < deadline:
        executor.spin_once(timeout_sec=0.1)
    return done()


def declared(file: str) -> dict[str, DeclareLaunchArgument]:
    source = PythonLaunchDescriptionSource(str(ROOT / "launch" / file))
    description = source.try_get_launch_description_without_context()
    return {argument.name: argument for argument in description.get_launch_arguments()}


def test_launch_file_offers_every_topic_and_setting_as_an_argument() -> None:
    wanted = {
        f"{name}_topic" for name in ("camera", "camera_info", "lidar", "imu", "audio", "battery", "budget")
    }
    wanted |= {
        f"{name}_topic" for name in ("detections", "detections_3d", "markers", "status", "diagnostics")
    }
    wanted |= {
        "checkpoint",
        "device",
        "params_file",
        "use_sim_time",
        "namespace",
        "log_level",
        "autostart",
        "preflight",
    }
    assert wanted <= set(declared("sentryfuse.launch.py"))


def test_replay_launch_file_asks_for_the_recording_and_offers_the_rest() -> None:
    arguments = declared("replay_faults.launch.py")
    assert not arguments["bag"].default_value
    assert {"scenario", "rate"} <= set(arguments)


@launch_pytest.fixture
def configured(processes: Processes, tmp_path: Path) -> LaunchDescription:
    parameters = tmp_path / "mine.yaml"
    parameters.write_text(
        "/**:\n  ros__parameters:\n    model: {score_threshold: 0.7}\n    lidar: {topic: mine}\n"
    )
    return described(
        "sentryfuse.launch.py", processes, namespace="robot", name="eyes", autostart="false",
        params_file=str(parameters), camera_topic="/front/image_raw", device="cpu", use_sim_time="true",
    )  # fmt: skip


@pytest.mark.launch(fixture=configured)
def test_node_has_arguments_and_parameter_file_when_launched(
    processes: Processes, listener: tuple[Node, SingleThreadedExecutor]
) -> Iterator[None]:
    pid = processes.wait(processes.pids, "fusion_node")
    environment = Path("/proc", str(pid), "environ").read_bytes().decode().split("\0")
    profile = os.environ.get(PROFILE_VARIABLE, str(profile_path()))
    assert f"{PROFILE_VARIABLE}={profile}" in environment
    node, executor = listener
    client = AsyncParameterClient(node, "/robot/eyes")
    assert spin_until(executor, client.services_are_ready)
    wanted = {
        "camera.topic": "/front/image_raw",
        "lidar.topic": "mine",
        "imu.topic": "imu/data",
        "model.device": "cpu",
        "model.score_threshold": 0.7,
        "use_sim_time": True,
        "autostart": False,
    }
    future = client.get_parameters(list(wanted))
    assert spin_until(executor, future.done)
    values = [parameter_value_to_python(value) for value in future.result().values]
    assert dict(zip(wanted, values, strict=True)) == wanted
    yield  # launch shuts down here
    assert processes.wait(processes.exits, "fusion_node") == 0


@launch_pytest.fixture
def misspelt(processes: Processes, tmp_path: Path) -> LaunchDescription:
    parameters = tmp_path / "wrong.yaml"
    parameters.write_text("/**:\n  ros__parameters:\n    camera: {topik: /front}\n")
    return described("sentryfuse.launch.py", processes, params_file=str(parameters))


@pytest.mark.launch(fixture=misspelt)
def test_node_ends_with_status_2_when_the_parameter_file_has_an_unknown_name(processes: Processes) -> None:
    assert processes.wait(processes.exits, "fusion_node") == 2


@launch_pytest.fixture
def replayed(processes: Processes, tmp_path: Path) -> LaunchDescription:
    command = Path(sys.executable).with_name("sentryfuse")
    subprocess.run([command, "world", "record", "--seed", "3", "--seconds", "6", tmp_path], check=True)
    scenario = tmp_path / "camera_dies.yaml"
    scenario.write_text(
        "name: camera dies\nseed: 1\nseconds: 6\n"
        "events:\n  - {at_s: 2.5, until_s: 6, stream: camera, fault: drop}\n"
    )
    return described(
        "replay_faults.launch.py", processes, bag=str(tmp_path / "world.mcap"), scenario=str(scenario),
        rate="1.0", camera_transport="compressed",
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.launch(fixture=replayed)
def test_replay_shows_the_fault_and_ends_when_the_recording_does(
    processes: Processes, listener: tuple[Node, SingleThreadedExecutor]
) -> None:
    node, executor = listener
    masks: list[frozenset[str]] = []
    node.create_subscription(
        FusionStatus,
        "/sentryfuse/status",
        lambda status: masks.append(frozenset(status.used)),
        qos_profile_sensor_data,
    )
    assert spin_until(executor, lambda: len(processes.exits) == 3), f"{processes.exits}, masks {set(masks)}"
    assert processes.exits == {"player_node": 0, "fault_injector_node": 0, "fusion_node": 0}
    assert any({"camera", "lidar"} <= mask for mask in masks)
    assert any("lidar" in mask and "camera" not in mask for mask in masks)
    assert "camera" not in masks[-1]
