"""`sentryfuse check` as a process, on a healthy robot and on one with everything wrong."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import rclpy
from builtin_interfaces.msg import Time
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image, Imu, PointCloud2, PointField
from sentryfuse.msg import AudioChunk
from std_msgs.msg import Header, String

from sentryfuse_ros.cli import main

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

pytestmark = [pytest.mark.ros, pytest.mark.capability("preflight check over real DDS")]
PYTHON = Path(sys.executable)
HOUR_S = 3600


def header(ahead_s: float = -0.005, frame_id: str = "sensor") -> Header:
    stamp_ns = time.time_ns() + round(ahead_s * 1e9)
    return Header(stamp=Time(sec=stamp_ns // 10**9, nanosec=stamp_ns % 10**9), frame_id=frame_id)


def image() -> Image:
    return Image(header=header(), height=48, width=64, step=192, encoding="rgb8", data=bytes(48 * 192))


def cloud() -> PointCloud2:
    fields = [
        PointField(name=name, offset=4 * index, datatype=PointField.FLOAT32, count=1)
        for index, name in enumerate("xyz")
    ]
    points = np.ones((100, 3), np.float32).tobytes()
    return PointCloud2(
        header=header(), height=1, width=100, fields=fields, point_step=12, row_step=1200, data=points
    )


def imu(stamped: Header) -> Imu:
    message = Imu(header=stamped)
    message.linear_acceleration.z = 9.8
    return message


def audio() -> AudioChunk:
    data = np.arange(640, dtype=np.int16).tobytes()
    return AudioChunk(header=header(), sample_rate_hz=16_000, channels=2, encoding="S16LE", data=data)


def camera_info() -> CameraInfo:
    matrix = [32.0, 0.0, 32.0, 0.0, 32.0, 24.0, 0.0, 0.0, 1.0]
    return CameraInfo(header=header(), height=48, width=64, k=matrix, distortion_model="plumb_bob")


HEALTHY: dict[str, Callable[[], Any]] = {
    "/camera/image": image,
    "/camera/camera_info": camera_info,
    "/lidar/points": cloud,
    "/imu/data": lambda: imu(header()),
    "/audio": audio,
}


@contextmanager
def robot(topics: Mapping[str, Callable[[], Any]]) -> Iterator[None]:
    """Publishes every topic at 20 Hz, best effort."""
    context, done = rclpy.Context(), threading.Event()
    rclpy.init(context=context)
    node = rclpy.create_node("robot", context=context)
    profile = QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)
    publishers = [
        (node.create_publisher(type(make()), topic, profile), make) for topic, make in topics.items()
    ]

    def publish() -> None:
        while not done.wait(0.05):
            for publisher, make in publishers:
                publisher.publish(make())

    thread = threading.Thread(target=publish)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        node.destroy_node()
        rclpy.shutdown(context=context)


def check(*words: str) -> subprocess.CompletedProcess[str]:
    command = [str(PYTHON.with_name("sentryfuse")), "check", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_check_succeeds_early_when_the_robot_is_healthy() -> None:
    with robot(HEALTHY):
        began_s = time.monotonic()
        done = check("--timeout", "30", "--set", "model.device=cpu", "--json")
        took_s = time.monotonic() - began_s
    assert done.returncode == 0, done.stdout + done.stderr
    lines = json.loads(done.stdout)["lines"]
    rates = {line["subject"]: line["text"] for line in lines if line["check"] == "messages"}
    assert set(rates) == {"camera", "lidar", "imu", "audio"}
    assert all("Hz" in text for text in rates.values())
    assert not [line for line in lines if line["level"] == "FAIL"]
    assert took_s < 25


def test_check_fails_and_tells_the_causes_apart_when_the_robot_is_broken() -> None:
    wrong = {
        "/camera/image": lambda: String(data="no image"),
        "/lidar/points": cloud,
        "/imu/data": lambda: imu(Header(frame_id="imu")),
    }
    with robot(wrong):
        done = check("--timeout", "3", "--set", "lidar.reliability=reliable", "--json")
    assert done.returncode == 1, done.stdout + done.stderr
    told = {line["subject"]: line for line in json.loads(done.stdout)["lines"] if line["level"] == "FAIL"}
    assert "unknown type std_msgs/msg/String" in told["camera"]["text"]
    assert "incompatible QoS" in told["lidar"]["text"]
    assert told["lidar"]["remedy"] == "set lidar.reliability to best_effort"
    assert "zero stamp" in told["imu"]["text"]
    assert "no publisher" in told["audio"]["text"]


def test_check_names_another_clock_in_its_table(capfd: pytest.CaptureFixture[str]) -> None:
    with robot({"/imu/data": lambda: imu(header(-HOUR_S))}):
        off = [f"--set={name}.enabled=false" for name in ("camera", "lidar", "audio")]
        remap = ["--ros-args", "-r", "my_imu:=imu/data"]
        assert main(["check", "--timeout", "3", "--set", "imu.topic=my_imu", *off, *remap]) == 1
    assert "other clock" in capfd.readouterr().out


@pytest.mark.parametrize("words", [["--timeout", "0"], ["--set", "camera.topik=x"], ["--remap", "a b"]])
def test_check_is_a_usage_error_when_an_option_is_wrong(
    words: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", *words]) == 2
    assert capfd.readouterr().err.splitlines()[-1].startswith("sentryfuse: error:")
