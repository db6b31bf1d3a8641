"""`sentryfuse check` against robots over real DDS: one that is well, and one with a fault of every kind."""

from __future__ import annotations

import json
import re
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from builders import message
from rclpy.qos import QoSProfile, ReliabilityPolicy
from ros.support import WITHIN_S, Robot, node_command, patiently, recording, rig
from sensor_msgs.msg import CameraInfo, Imu
from sentryfuse.msg import AudioChunk
from std_msgs.msg import String

from sentryfuse_core.config import Config
from sentryfuse_core.types import Modality
from sentryfuse_ros import cli
from sentryfuse_ros.check_node import CheckNode

pytestmark = [pytest.mark.ros, pytest.mark.capability("preflight of a robot")]

COMPRESSED = ["--set", "camera.transport=compressed", "--set", "model.device=cpu"]


@pytest.fixture
def broken(node: Any) -> Iterator[None]:
    """No lidar, strings from the camera, an IMU that does not stamp, audio sent best effort."""
    reliable = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)
    best_effort = QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)
    node.create_publisher(String, "/camera/image/compressed", reliable)
    node.create_publisher(AudioChunk, "/audio", best_effort)
    imu, done = node.create_publisher(Imu, "/imu/data", reliable), threading.Event()

    def publish() -> None:
        while not done.wait(0.01):
            imu.publish(Imu())

    thread = threading.Thread(target=publish)
    thread.start()
    yield
    done.set()
    thread.join()


def test_check_exits_0_before_its_timeout_when_the_robot_is_well(node: Any) -> None:
    command = node_command("cli", "check", "--json", "--timeout", "3600", *COMPRESSED)
    with Robot(node, recording()):
        done = subprocess.run(command, capture_output=True, text=True, timeout=WITHIN_S, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = {line["subject"]: line for line in json.loads(done.stdout)["lines"]}
    assert {"camera", "camera info", "lidar", "imu", "audio", "clock", "checkpoint", "device"} <= set(lines)
    assert not [line for line in lines.values() if line["verdict"] == "FAIL"]
    assert "Hz" in lines["lidar"]["found"]
    assert lines["camera info"]["verdict"] == "OK"
    assert lines["odometry"]["verdict"] == "OK"
    assert "Hz" in lines["odometry"]["found"]


CAUSES = {
    "camera": "unknown_type",
    "lidar": "no_publisher",
    "imu": "zero_stamp",
    "audio": "qos_incompatible",
}
BROKEN = ["check", "--json", *COMPRESSED, "--set", "audio.reliability=reliable"]


@pytest.mark.usefixtures("broken")
def test_check_exits_1_and_names_each_cause_in_json_when_the_robot_is_broken(
    capfd: pytest.CaptureFixture[str],
) -> None:
    def named(within_s: float) -> bool:
        """Whether each cause was seen; a publisher not yet discovered is one that is not there."""
        assert cli.main([*BROKEN, "--timeout", str(within_s)]) == 1
        told = json.loads(capfd.readouterr().out)
        assert told["status"] == 1
        failed = {line["subject"]: line for line in told["lines"] if line["verdict"] == "FAIL"}
        assert all(line["remedy"] for line in failed.values())
        return {subject: line["code"] for subject, line in failed.items()} == CAUSES

    patiently(named, (5.0, 20.0, 60.0))


def test_check_shows_a_row_for_each_cause_when_nothing_runs(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    assert cli.main(["check", "--timeout", "0.3"]) == 1
    rows = capfd.readouterr().out.splitlines()
    for subject in CAUSES:
        assert [row for row in rows if re.match(rf"FAIL +{subject} +no publisher on .*start its driver", row)]
    assert rows[-1].startswith("4 failed")


def test_check_names_the_topic_when_a_driver_publishes_under_another_name(
    node: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    node.create_publisher(Imu, "/body/imu", 10)
    node.create_publisher(CameraInfo, "/front/camera_info", 10)
    node.create_subscription(Imu, "/nobody/imu", lambda _: None, 10)

    def named(within_s: float) -> bool:
        """Whether both were seen; a publisher not yet discovered is one that is not there."""
        cli.main(["check", "--json", "--timeout", str(within_s)])
        found = {line["subject"]: line["found"] for line in json.loads(capfd.readouterr().out)["lines"]}
        assert "/nobody" not in found["imu"]
        return "/body/imu" in found["imu"] and "/front/camera_info" in found["camera info"]

    patiently(named, (2.0, 20.0, 60.0))


def test_check_fails_for_want_of_a_clock_when_told_of_simulated_time(
    capfd: pytest.CaptureFixture[str],
) -> None:
    arguments = ["check", "--json", "--timeout", "0.3", "--ros-args", "-p", "use_sim_time:=true"]
    assert cli.main(arguments) == 1
    told = json.loads(capfd.readouterr().out)
    assert "no_clock" in {line["code"] for line in told["lines"]}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--timeout", "0"], "--timeout"),
        (["--set", "camera.topic=9 lives"], "camera.topic"),
        (["--set", "camera.colour=red"], "camera.colour"),
        (["--ros-args", "-p", "camera.topik:=/front"], "camera.topik"),
    ],
)
def test_check_exits_2_with_one_line_when_it_is_asked_wrongly(
    arguments: list[str], said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["check", *arguments]) == 2
    error = capfd.readouterr().err
    assert error.count("\n") == 1
    assert said in error


def test_check_takes_parameters_and_remappings_as_the_fusion_node_when_they_are_ros_arguments(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    shared = tmp_path / "robot.yaml"
    named = "{0}:\n  ros__parameters: {{audio: {{topic: {0}_sound}}}}\n"
    shared.write_text(
        "/**:\n  ros__parameters: {autostart: false, camera: {topic: /front}}\n"
        + "".join(map(named.format, ("sentryfuse", "eyes")))
    )
    arguments = ["--params-file", str(shared), "-p", "lidar.topic:=/top/points", "-r", "imu/data:=/body/imu"]
    command = ["check", "--json", "--timeout", "0.3", "--set", "camera.topic=/rear", "--ros-args", *arguments]
    for name, more in (("sentryfuse", []), ("eyes", ["-r", "__node:=eyes"])):
        cli.main([*command, *more])
        found = {line["subject"]: line["found"] for line in json.loads(capfd.readouterr().out)["lines"]}
        assert "/front" in found["camera"]
        assert "/top/points" in found["lidar"]
        assert "/body/imu" in found["imu"]
        assert f"/{name}_sound" in found["audio"]


def test_check_answers_no_parameter_services_in_the_fusion_nodes_place() -> None:
    with rig(lambda: CheckNode(Config(), timeout_s=WITHIN_S, on_end=lambda _: None)) as found:
        assert found.node.get_fully_qualified_name() == "/sentryfuse"
        assert "/sentryfuse/set_parameters" not in dict(found.node.get_service_names_and_types())


def test_check_judges_audio_by_its_audio_info_when_one_came() -> None:
    with rig(lambda: CheckNode(Config(), timeout_s=WITHIN_S, on_end=lambda _: None)) as found:
        told = {"sample_rate": 48_000, "channels": 2, "coding_format": "mp3", "sample_format": ""}
        found.node.on_audio_info(message(**told), "audio")
        block = message(data=bytes(64))  # nothing in it speaks against PCM
        found.node.on_sensor(Modality.AUDIO, block, "audio_common_msgs/msg/AudioData", 0)
        seen = found.node.seen()["streams"][Modality.AUDIO]
    assert seen.refused == {"unknown_audio_encoding": 1}
    assert "mp3" in seen.details["unknown_audio_encoding"]
