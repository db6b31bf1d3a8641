"""Topics that bring the wrong thing or nothing, and audio's many types, at the fusion node."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from nav_msgs.msg import Odometry
from rclpy.qos import QoSProfile, ReliabilityPolicy
from ros.support import Listener, NodeProcess, now, participant, running
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, Imu, PointCloud2
from sentryfuse.msg import AudioChunk
from std_msgs.msg import Header, Int16MultiArray, String

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = [pytest.mark.ros, pytest.mark.capability("fusion node over real DDS")]


@pytest.fixture(scope="module", autouse=True)
def node(listener: Listener) -> Iterator[NodeProcess]:
    parameters = {"camera.transport": "raw", "lidar.reliability": "reliable", "sync.tick_period_s": 1.0}
    with running(listener, **parameters) as found:
        yield found


@contextmanager
def publishing(
    make: Callable[[int], Any], topic: str, *, period_s: float, reliable: bool = True
) -> Iterator[None]:
    """A stranger, with a participant of its own, that publishes `make(index)` at a fixed pace."""
    reliability = ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT
    done = threading.Event()

    def publish() -> None:
        index = 0
        while not done.wait(period_s):
            publisher.publish(make(index))
            index += 1

    with participant("stranger") as stranger:
        publisher = stranger.create_publisher(
            type(make(0)), topic, QoSProfile(depth=10, reliability=reliability)
        )
        thread = threading.Thread(target=publish)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()


def test_missing_publisher_is_told_and_logged_when_a_sensor_sends_nothing(
    listener: Listener, node: NodeProcess
) -> None:
    silent = listener.diagnostic("sensor/imu", lambda status: "no publisher" in status.message)
    assert silent.level == b"\x03"
    assert "no publisher on /imu/data; start its driver" in silent.message
    node.wait_for_line("imu: nothing received: no publisher on /imu/data")
    node.wait_for_line("camera: nothing received: no publisher")


@pytest.mark.parametrize(
    ("stamp_s", "told"), [(1_000, "other clock"), (2_000_000_000, "other clock"), (0, "zero stamp")]
)
def test_wrong_clock_is_named_when_every_stamp_is_wrong(listener: Listener, stamp_s: int, told: str) -> None:
    def reading(index: int) -> Imu:
        seconds, step = (stamp_s + index // 50, index % 50) if stamp_s else (0, 0)
        message = Imu(header=Header(stamp=Time(sec=seconds, nanosec=step * 20_000_000)))
        message.linear_acceleration.z = 9.8 + 1e-3 * index
        return message

    with publishing(reading, "/imu/data", period_s=0.02):
        wrong = listener.diagnostic("sensor/imu", lambda status: told in status.message)
    assert "driver of /imu/data" in wrong.message


def test_odometry_is_told_with_its_remedy_and_not_used_when_it_makes_no_sense(
    listener: Listener, node: NodeProcess
) -> None:
    """The IMU sends meanwhile, so that there are sets."""

    def reading(index: int) -> Imu:
        message = Imu(header=Header(stamp=now(), frame_id="imu"))
        message.linear_acceleration.z = 9.8 + 1e-3 * index
        return message

    def odometry(index: int) -> Odometry:
        message = Odometry(header=Header(stamp=now(), frame_id="odom"), child_frame_id="base_link")
        message.pose.pose.position.x = float("nan") if index % 2 else 0.0
        message.pose.pose.orientation.w = 1.0
        return message

    assert not any("odometry" in status.name for status in listener.wait_for("diagnostics", bool).status)
    with publishing(reading, "/imu/data", period_s=0.02), publishing(odometry, "/odometry", period_s=0.02):
        told = "non_finite: x = nan; correct what publishes it"  # and where the stranger stutters its silence
        status = listener.diagnostic(
            "odometry", lambda status: "not used" in status.message and told in status.message
        )
        assert status.level == b"\x01"
        listener.wait_for("status", lambda told: "odometry is not used: non_finite" in str(told.notes))
        node.wait_for_line("odometry is not used: non_finite")


def test_diagnostics_name_the_remedy_when_qos_is_incompatible(listener: Listener) -> None:
    with publishing(lambda _: PointCloud2(), "/lidar/points", period_s=0.1, reliable=False):
        status = listener.diagnostic("sensor/lidar", lambda status: "incompatible QoS" in status.message)
    assert "set lidar.reliability to best_effort" in status.message
    assert "RELIABILITY" in status.message


def test_audio_is_used_once_its_type_is_known(listener: Listener) -> None:
    with publishing(lambda _: String(data="hello"), "/audio", period_s=0.1):
        unknown = listener.diagnostic("sensor/audio", lambda status: "unknown type" in status.message)
        assert "std_msgs/msg/String" in unknown.message
        assert "remap" in unknown.message
    noise = np.random.default_rng(0)
    with publishing(
        lambda _: Int16MultiArray(data=noise.integers(-900, 900, 640, dtype=np.int16).tolist()),
        "/audio",
        period_s=0.02,
    ):
        listener.diagnostic("sensor/audio", lambda status: status.message.startswith(("OK", "DEGRADED")))
        heard = listener.wait_for("status", lambda status: "audio" in status.used)
    assert heard.mask & 8

    def chunk(_: int) -> AudioChunk:
        data = noise.integers(-900, 900, 640, dtype=np.int16).tobytes()
        return AudioChunk(
            header=Header(stamp=now()), sample_rate_hz=16_000, channels=2, encoding="S16LE", data=data
        )

    lost = listener.diagnostic("sensor/audio", lambda status: "LOST" in status.message)
    assert lost.hardware_id == "/audio"
    with publishing(chunk, "/audio", period_s=0.02):
        listener.wait_for("status", lambda status: "audio" in status.used)


def image(index: int, **wrong: Any) -> Image:
    pixels = np.random.default_rng(index).integers(20, 235, 64 * 48 * 3, dtype=np.uint8)
    fields = {"height": 48, "width": 64, "step": 192, "encoding": "rgb8", "data": pixels.tobytes(), **wrong}
    return Image(header=Header(stamp=now(), frame_id="camera"), **fields)


def test_images_are_refused_with_a_reason_when_malformed_and_used_when_good(listener: Listener) -> None:
    with publishing(lambda _: CompressedImage(), "/camera/image", period_s=0.1):
        mistyped = listener.diagnostic("sensor/camera", lambda status: "unknown type" in status.message)
        assert "set camera.transport to compressed" in mistyped.message
    for wrong, reason in (
        ({"encoding": "plaid"}, "unknown_encoding"),
        ({"step": 10, "data": bytes(200 * 48)}, "step_too_small"),
        ({"height": 4000}, "truncated"),
        ({"height": 0}, "empty"),
    ):
        with publishing(lambda index, wrong=wrong: image(index, **wrong), "/camera/image", period_s=0.05):
            listener.diagnostic(
                "sync",
                lambda status, reason=reason: any(item.key == f"dropped_{reason}" for item in status.values),
            )
    with publishing(image, "/camera/image", period_s=0.05):
        used = listener.wait_for(
            "status", lambda status: "camera" in status.used and status.anchor == "camera"
        )
        assert used.sensors[0].invalid > 0
        assert any("no CameraInfo received" in note for note in used.notes)
        k = [320.0, 0.0, 320.0, 0.0, 320.0, 240.0, 0.0, 0.0, 1.0]
        info = CameraInfo(width=640, height=480, distortion_model="plumb_bob", d=[0.0] * 5, k=k)
        with publishing(lambda _: info, "/camera/camera_info", period_s=0.1):
            listener.wait_for(
                "status",
                lambda status: (
                    "camera" in status.used and not any("no CameraInfo" in note for note in status.notes)
                ),
            )
