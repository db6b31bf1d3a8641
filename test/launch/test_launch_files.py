"""The launch files, run for real where launch is installed."""

from __future__ import annotations

import os
import runpy
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

NEEDS = "needs launch and launch_ros"
pytest.importorskip("launch_ros", reason=NEEDS)
pytest.importorskip("ros2launch", reason=NEEDS)

from launch import LaunchContext
from launch.actions import DeclareLaunchArgument
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch_runs import LAUNCH_FILES, Launched
from rcl_interfaces.srv import GetParameters
from rclpy.parameter import parameter_value_to_python
from rclpy.qos import qos_profile_sensor_data
from ros.support import Listener, until
from sensor_msgs.msg import CompressedImage, PointCloud2
from sentryfuse.msg import Budget, FusionStatus

from sentryfuse_ros.launching import path
from sentryfuse_ros.middleware import PROFILE_VARIABLE

pytestmark = [pytest.mark.ros, pytest.mark.capability("launch files")]

BRINGUP = """
from launch import LaunchDescription
from launch.actions import GroupAction, IncludeLaunchDescription, SetEnvironmentVariable
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch_ros.actions import PushRosNamespace, SetParameter, SetRemap


def include(file, **arguments):
    source = PythonLaunchDescriptionSource({folder!r} + "/" + file)
    return IncludeLaunchDescription(source, launch_arguments=arguments.items())


def generate_launch_description():
    return LaunchDescription([{actions}])
"""


XML_BRINGUP = """
<launch>
  <group>
    <push_ros_namespace namespace="robot"/>
    <set_parameter name="use_sim_time" value="true"/>
    <include file="{file}"><arg name="autostart" value="false"/></include>
  </group>
</launch>
"""
YAML_BRINGUP = """
launch:
- group:
  - push_ros_namespace: {{namespace: robot}}
  - set_parameter: {{name: use_sim_time, value: 'true'}}
  - include: {{file: '{file}', arg: [{{name: autostart, value: 'false'}}]}}
"""


@pytest.fixture
def listener() -> Iterator[Listener]:
    with Listener() as found:
        yield found


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve seconds of the world."""
    folder = tmp_path_factory.mktemp("world")
    command = [Path(sys.executable).with_name("sentryfuse"), "world", "record", "--seed", "3"]
    subprocess.run([*command, "--seconds", "12", folder], check=True)
    return folder / "world.mcap"


def bringup(folder: Path, *actions: str) -> Path:
    """A launch file of a robot's own around ours."""
    path = folder / "bringup.launch.py"
    path.write_text(BRINGUP.format(folder=str(LAUNCH_FILES), actions=", ".join(actions)))
    return path


def camera_dies(folder: Path, *, until_s: float) -> Path:
    """A scenario that asks for a narrow level, too."""
    path = folder / "camera_dies.yaml"
    path.write_text(
        f"name: camera dies\nseed: 1\nseconds: {until_s}\n"
        f"events:\n  - {{at_s: 6, until_s: {until_s}, stream: camera, fault: drop}}\n"
        "actions:\n  - {at_s: 0.5, level: 2}\n"
    )
    return path


def statuses_of(listener: Listener, name: str) -> list[FusionStatus]:
    """A list that grows by every status of a node."""
    statuses: list[FusionStatus] = []
    listener.node.create_subscription(
        FusionStatus, f"{name}/status", statuses.append, qos_profile_sensor_data
    )
    return statuses


def parameters(listener: Listener, name: str, wanted: Iterable[str]) -> dict[str, Any]:
    """What a node has for the parameters that are wanted of it."""
    request = GetParameters.Request(names=list(wanted))
    values = listener.call(GetParameters, f"{name}/get_parameters", request).values
    return dict(zip(wanted, map(parameter_value_to_python, values), strict=True))


def declared(file: str) -> dict[str, DeclareLaunchArgument]:
    source = PythonLaunchDescriptionSource(str(LAUNCH_FILES / file))
    description = source.try_get_launch_description_without_context()
    return {argument.name: argument for argument in description.get_launch_arguments()}


def default_of(argument: DeclareLaunchArgument) -> str:
    return "".join(part.text for part in argument.default_value)


def environment_of(pid: int) -> list[str]:
    return Path("/proc", str(pid), "environ").read_bytes().decode().split("\0")


def command_of(pid: int) -> list[str]:
    return Path("/proc", str(pid), "cmdline").read_bytes().decode().split("\0")


def test_launch_file_offers_every_topic_and_setting_and_by_itself_gives_the_node_nothing() -> None:
    inputs = ("camera", "camera_info", "lidar", "imu", "audio", "odometry", "battery", "budget")
    outputs = ("detections", "detections_3d", "markers", "status", "diagnostics")
    settings = {"checkpoint", "device", "params_file", "use_sim_time", "namespace", "log_level", "autostart"}
    kept = {"name": "sentryfuse", "respawn": "false", "respawn_delay": "2.0", "preflight": "false"}
    arguments = declared("sentryfuse.launch.py")
    assert {*settings, *kept, *(f"{name}_topic" for name in (*inputs, *outputs))} <= set(arguments)
    given = {name: default_of(argument) for name, argument in arguments.items()}
    assert {name: value for name, value in given.items() if value} == kept


def test_replay_launch_file_asks_for_the_recording_and_offers_the_rest() -> None:
    arguments = declared("replay_faults.launch.py")
    assert not arguments["bag"].default_value
    assert {"scenario", "rate"} | set(declared("sentryfuse.launch.py")) <= set(arguments)


def test_path_of_an_argument_is_found_when_it_begins_with_the_home_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "mine.yaml").touch()
    context = LaunchContext()
    context.launch_configurations.update(params_file="~/mine.yaml", bag="")
    assert path(context, "params_file") == str(tmp_path / "mine.yaml")
    assert path(context, "bag") == ""


def test_node_has_what_is_set_around_the_include_when_no_argument_is_given(
    tmp_path: Path, listener: Listener
) -> None:
    shared = tmp_path / "shared.yaml"
    shared.write_text("/**:\n  ros__parameters:\n    camera: {topic: /front/image}\n")
    launch_file = bringup(
        tmp_path,
        "GroupAction([PushRosNamespace('robot'), SetParameter('use_sim_time', True), "
        "SetParameter('autostart', False), SetParameter('lidar.topic', '/top/points'), "
        "SetRemap('imu/data', '/body/imu'), "
        f"SetEnvironmentVariable({PROFILE_VARIABLE!r}, '/robot/profile.xml'), "
        f"__import__('launch_ros').actions.SetParametersFromFile({str(shared)!r}), "
        "include('sentryfuse.launch.py')])",
    )
    wanted = {
        "use_sim_time": True,
        "autostart": False,
        "lidar.topic": "/top/points",
        "camera.topic": "/front/image",
        "audio.topic": "audio",
    }
    with Launched(launch_file) as launched:
        pid = launched.started("fusion_node")
        assert parameters(listener, "/robot/sentryfuse", wanted) == wanted
        assert f"{PROFILE_VARIABLE}=/robot/profile.xml" in environment_of(pid)
        assert "imu/data:=/body/imu" in command_of(pid)


def test_node_has_the_arguments_when_the_include_gives_them(tmp_path: Path, listener: Listener) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text(
        "/**:\n  ros__parameters:\n    model: {score_threshold: 0.7}\n    lidar: {topic: mine}\n"
        "/robot/eyes:\n  ros__parameters:\n    imu: {topic: named}\n"
    )
    launch_file = bringup(
        tmp_path,
        "SetParameter('use_sim_time', False)",
        "SetParameter('camera.topic', 'around')",
        "include('sentryfuse.launch.py', namespace='robot', name='eyes', autostart='false', "
        f"params_file={str(mine)!r}, camera_topic='on', device='cpu', use_sim_time='true')",
    )
    wanted = {
        "camera.topic": "on",  # a word that YAML takes for true
        "lidar.topic": "mine",
        "imu.topic": "named",
        "audio.topic": "audio",
        "model.device": "cpu",
        "model.score_threshold": 0.7,
        "use_sim_time": True,
        "autostart": False,
    }
    with Launched(launch_file) as launched:
        launched.started("fusion_node")
        assert parameters(listener, "/robot/eyes", wanted) == wanted


def test_sensors_have_the_names_and_options_that_the_arguments_give(
    tmp_path: Path, listener: Listener
) -> None:
    launch_file = bringup(
        tmp_path,
        "include('sentryfuse.launch.py', autostart='false', sensors=\"['front', 'top', 'imu']\", "
        "front_kind='camera', front_topic='on', front_transport='compressed', top_kind='lidar', "
        "imu_topic='body/imu')",
    )
    wanted = {
        "sensors": ["front", "top", "imu"],
        "front.kind": "camera",
        "front.topic": "on",
        "front.transport": "compressed",
        "front.info_topic": "front/camera_info",
        "top.kind": "lidar",
        "top.topic": "top/points",
        "imu.topic": "body/imu",
    }
    with Launched(launch_file) as launched:
        launched.started("fusion_node")
        assert parameters(listener, "/sentryfuse", wanted) == wanted


def test_sensors_that_the_parameter_file_names_have_the_options_that_the_arguments_give(
    tmp_path: Path, listener: Listener
) -> None:
    rig_file = tmp_path / "rig.yaml"
    rig_file.write_text(
        "/**:\n  ros__parameters:\n    sensors: [front, top]\n    front: {kind: camera, topic: mine}\n"
        "    top: {kind: lidar}\n"
    )
    launch_file = bringup(
        tmp_path,
        "include('sentryfuse.launch.py', autostart='false', front_topic='on', "
        f"params_file={str(rig_file)!r})",
    )
    wanted = {"sensors": ["front", "top"], "front.topic": "on", "top.topic": "top/points"}
    with Launched(launch_file) as launched:
        launched.started("fusion_node")
        assert parameters(listener, "/sentryfuse", wanted) == wanted


FLEET = """
/one/eyes:
  ros__parameters: {sensors: [front], front: {kind: camera}}
/two/eyes:
  ros__parameters: {sensors: [left], left: {kind: camera}}
/three/eyes:
  ros__parameters: {sensors: [top], top: {kind: lidar}}
"""


def test_nodes_have_the_sensors_of_their_robot_when_the_parameter_file_is_for_several(
    tmp_path: Path, recording: Path, listener: Listener
) -> None:
    fleet = tmp_path / "fleet.yaml"
    fleet.write_text(FLEET)
    shared = f"name='eyes', autostart='false', params_file={str(fleet)!r}, left_topic='on'"
    launch_file = bringup(
        tmp_path,
        f"GroupAction([PushRosNamespace('one'), include('sentryfuse.launch.py', {shared})])",
        "GroupAction([PushRosNamespace('two'), "
        f"include('replay_faults.launch.py', bag={str(recording)!r}, {shared})])",
    )
    left = {"left.topic": "on"}
    with Launched(launch_file) as launched:
        launched.started("fusion_node", times=2)
        launched.started("fault_injector_node")
        assert parameters(listener, "/one/eyes", ["front.topic"]) == {"front.topic": "front/image"}
        assert parameters(listener, "/two/eyes", left) == left
        told = {"sensors_of": "/two/eyes", **left}
        assert parameters(listener, "/two/fault_injector", told) == told


def test_injector_of_a_replay_knows_the_sensors_that_the_arguments_name(
    recording: Path, listener: Listener
) -> None:
    arguments = {
        "sensors": "['front', 'top']",
        "front_kind": "camera",
        "top_kind": "lidar",
        "top_topic": "on",
    }
    wanted = {"sensors": ["front", "top"], "front.kind": "camera", "top.topic": "on"}
    with Launched("replay_faults.launch.py", bag=str(recording), autostart="false", **arguments) as launched:
        launched.started("fault_injector_node")
        assert parameters(listener, "/fault_injector", wanted) == wanted


def test_two_robots_run_when_one_launch_description_includes_it_twice(
    tmp_path: Path, listener: Listener
) -> None:
    launch_file = bringup(
        tmp_path,
        "GroupAction([PushRosNamespace('one'), SetParameter('camera.topic', 'left'), "
        "include('sentryfuse.launch.py', autostart='false')])",
        "GroupAction([include('sentryfuse.launch.py', namespace='two', autostart='false', "
        "camera_topic='right')])",
    )
    with Launched(launch_file) as launched:
        launched.started("fusion_node", times=2)
        assert parameters(listener, "/one/sentryfuse", ["camera.topic"]) == {"camera.topic": "left"}
        assert parameters(listener, "/two/sentryfuse", ["camera.topic"]) == {"camera.topic": "right"}


@pytest.mark.parametrize(
    ("name", "text"), [("robot.launch.xml", XML_BRINGUP), ("robot.launch.yaml", YAML_BRINGUP)]
)
def test_node_has_what_is_set_around_when_an_xml_or_yaml_file_includes_it(
    name: str, text: str, tmp_path: Path, listener: Listener
) -> None:
    pytest.importorskip("launch_xml", reason=NEEDS)
    pytest.importorskip("launch_yaml", reason=NEEDS)
    (tmp_path / name).write_text(text.format(file=LAUNCH_FILES / "sentryfuse.launch.py"))
    wanted = {"use_sim_time": True, "autostart": False}
    with Launched(tmp_path / name) as launched:
        launched.started("fusion_node")
        assert parameters(listener, "/robot/sentryfuse", wanted) == wanted


def test_node_is_started_again_when_it_is_killed_and_respawn_is_on(
    listener: Listener,
) -> None:
    arguments = {"autostart": "false", "respawn": "true", "respawn_delay": "0.1"}
    with Launched("sentryfuse.launch.py", **arguments) as launched:
        os.kill(launched.started("fusion_node"), signal.SIGKILL)
        launched.started("fusion_node", times=2)
        assert listener.state() == "unconfigured"


def test_node_starts_in_its_scope_when_the_preflight_has_passed(tmp_path: Path, listener: Listener) -> None:
    sensors_off = ", ".join(
        f"SetParameter('{sensor}.enabled', False)" for sensor in ("camera", "lidar", "imu", "audio")
    )
    launch_file = bringup(
        tmp_path,
        f"GroupAction([PushRosNamespace('robot'), SetParameter('autostart', False), {sensors_off}, "
        "include('sentryfuse.launch.py', preflight='true')])",
    )
    wanted = {"lidar.enabled": False, "autostart": False}
    with Launched(launch_file) as launched:
        launched.started("fusion_node")
        assert parameters(listener, "/robot/sentryfuse", wanted) == wanted


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"preflight": "true"}, "preflight failed"),  # nothing is published
        ({"params_file": "/nowhere/mine.yaml"}, "params_file:=/nowhere/mine.yaml: there is no such file"),
        ({"use_sim_time": "maybe"}, "use_sim_time:=maybe: give true or false"),
        ({"respawn_delay": "soon"}, "respawn_delay:=soon: give a number"),
    ],
)
def test_launch_ends_with_status_1_and_the_reason_when_it_cannot_start(
    arguments: dict[str, str], said: str
) -> None:
    with Launched("sentryfuse.launch.py", **arguments) as launched:
        assert launched.wait() == 1
        assert [line for line in launched.lines if line.startswith("[ERROR] [launch]") and said in line]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"scenario": "/nowhere/faults.yaml"}, "error: cannot read the scenario /nowhere/faults.yaml"),
        ({"bag": "/nowhere/drive.mcap"}, "bag:=/nowhere/drive.mcap: there is no such file"),
        ({"rate": "fast"}, "rate:=fast: give a number"),
        ({"camera_transport": "steam"}, "error: camera.transport"),
        ({"remap": "[1, {}]"}, "remap:=[1, {}]: give a list of texts"),
        ({"remap": "2024-13-01"}, "remap:=2024-13-01: give a list of texts"),
    ],
)
def test_replay_ends_with_status_1_and_the_reason_when_it_is_given_something_bad(
    arguments: dict[str, str], said: str, recording: Path
) -> None:
    given = {"bag": str(recording), "autostart": "false", **arguments}
    with Launched("replay_faults.launch.py", **given) as launched:
        assert launched.wait() == 1
        assert [line for line in launched.lines if said in line], launched.output
        assert not [pid for pids in launched.pids().values() for pid in pids if Path(f"/proc/{pid}").exists()]


def test_replay_ends_with_status_1_when_the_injector_dies(recording: Path) -> None:
    with Launched("replay_faults.launch.py", bag=str(recording), autostart="false") as launched:
        os.kill(launched.started("fault_injector_node"), signal.SIGKILL)
        assert launched.wait() == 1
        assert "fault_injector_node ended with status -9 before the recording was over" in launched.output


def over(status: int, *, shutting_down: bool) -> list[Any] | None:
    """What the launch file does when the player has ended so."""
    found = runpy.run_path(str(LAUNCH_FILES / "replay_faults.launch.py"))["_over"]
    event = SimpleNamespace(process_name="player_node-1", returncode=status)
    done: list[Any] | None = found(event, SimpleNamespace(is_shutdown=shutting_down))
    return done


def test_replay_ends_nothing_twice_when_another_robots_recording_is_over_first() -> None:
    assert len(over(0, shutting_down=False) or []) == 1
    assert over(0, shutting_down=True) is None


@pytest.mark.parametrize("status", [2, -9])  # a damaged recording, a player that was killed
def test_replay_ends_with_the_reason_when_the_player_ends_otherwise_than_well(status: int) -> None:
    with pytest.raises(RuntimeError, match=f"player_node ended with status {status} before the recording"):
        over(status, shutting_down=False)


@pytest.mark.slow
@pytest.mark.parametrize("namespace", ["", "bot"])
def test_replay_shows_the_fault_and_ends_well_when_the_recording_does(
    namespace: str, tmp_path: Path, recording: Path, listener: Listener
) -> None:
    scenario = camera_dies(tmp_path, until_s=12)
    arguments = {"namespace": namespace} if namespace else {}
    prefix = f"/{namespace}" if namespace else ""
    statuses = statuses_of(listener, f"{prefix}/sentryfuse")
    with Launched(
        "replay_faults.launch.py", bag=str(recording), scenario=str(scenario), camera_transport="compressed",
        device="cpu", **arguments,
    ) as launched:  # fmt: skip
        assert launched.wait() == 0, launched.output
        assert sorted(launched.pids()) == ["fault_injector_node", "fusion_node", "player_node"]
    masks = [frozenset(status.used) for status in statuses]
    assert any({"camera", "lidar"} <= mask for mask in masks)
    assert any("lidar" in mask and "camera" not in mask for mask in masks)


@pytest.mark.slow
def test_each_robot_has_its_own_faults_when_two_play_in_their_namespaces(
    tmp_path: Path, recording: Path, listener: Listener
) -> None:
    scenario = camera_dies(tmp_path, until_s=1000)
    play = f"bag={str(recording)!r}, loop='true', camera_transport='compressed', device='cpu'"
    launch_file = bringup(
        tmp_path,
        "SetParameter('output.extrinsics', 'parameters')",
        f"GroupAction([PushRosNamespace('one'), include('replay_faults.launch.py', {play})])",
        f"GroupAction([include('replay_faults.launch.py', {play}, namespace='two', name='eyes', "
        f"scenario={str(scenario)!r})])",
    )
    arrived: list[str] = []

    def listen(kind: type, topic: str) -> None:
        listener.node.create_subscription(
            kind, topic, lambda _: arrived.append(topic), qos_profile_sensor_data
        )

    for robot in ("/one", "/two"):
        listen(CompressedImage, f"{robot}/camera/image/compressed")
        listen(PointCloud2, f"{robot}/lidar/points")
    listen(Budget, "/two/eyes/budget")
    used = {name: statuses_of(listener, name) for name in ("/one/sentryfuse", "/two/eyes")}

    def since_blind(topic: str) -> int:
        """Messages since the last picture of the robot whose camera dies."""
        pictures = [at for at, name in enumerate(arrived) if name == "/two/camera/image/compressed"]
        return arrived[pictures[-1] :].count(topic) if pictures else 0

    with Launched(launch_file) as launched:
        until(
            lambda: (
                since_blind("/two/lidar/points") >= 20
                and since_blind("/one/camera/image/compressed") >= 20
                and "/two/eyes/budget" in arrived
                and all(any(status.used for status in statuses) for statuses in used.values())
            ),
            "the two robots' own streams",
        )
        assert not launched.ended
