"""Poses on the robot, with tf2 itself: parameters until transforms come, a turret at each stamp."""

from __future__ import annotations

import math
import time
from importlib.util import find_spec

import pytest
from rclpy.qos import DurabilityPolicy, QoSProfile
from ros.support import Listener, Robot, recording, running, stamped_transform

from sentryfuse_core.config import Config
from sentryfuse_core.types import Modality

pytestmark = [pytest.mark.ros, pytest.mark.capability("fusion node over real DDS")]

FRAMES = {"camera": Modality.CAMERA, "imu": Modality.IMU, "microphones": Modality.AUDIO}
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


def test_parameters_place_the_sensors_until_transforms_come_and_a_turret_is_told_when_it_ages(
    listener: Listener,
) -> None:
    if find_spec("tf2_ros") is None:
        pytest.skip("needs tf2_ros")
    from tf2_msgs.msg import TFMessage

    config, turning = Config(), True

    def turn() -> None:
        if turning:
            now_ns = time.time_ns()
            yaw = now_ns / 1e9 % (2 * math.pi)
            rotation = (0.0, 0.0, math.sin(yaw / 2), math.cos(yaw / 2))
            turret.publish(
                TFMessage(
                    transforms=[
                        stamped_transform("lidar", "base_link", (0, 0, 1.8), rotation, stamp_ns=now_ns)
                    ]
                )
            )

    with Robot(listener.node, recording()), running(listener) as node:
        listener.diagnostic("poses", lambda status: len(status.values) == 4 and status.level == b"\x01")
        status = listener.wait_for("status", lambda status: "lidar" in status.used)
        assert any(
            note.startswith("lidar is placed by the parameters") and "tf2 knows no transform" in note
            for note in status.notes
        )
        node.wait_for_line("lidar is placed by the parameters")
        turret = listener.node.create_publisher(TFMessage, "/tf", 100)
        static = listener.node.create_publisher(TFMessage, "/tf_static", LATCHED)
        sections = {frame: config.sensor(modality) for frame, modality in FRAMES.items()}
        static.publish(
            TFMessage(
                transforms=[
                    stamped_transform(frame, "base_link", section.translation_m, section.quaternion_xyzw)
                    for frame, section in sections.items()
                ]
            )
        )
        timer = listener.node.create_timer(0.02, turn)
        told = listener.diagnostic("poses", lambda status: status.level == b"\x00")
        assert {item.key: item.value for item in told.values} == {
            "camera": "base_link <- camera, tf2",
            "lidar": "base_link <- lidar, tf2, moving",
            "imu": "base_link <- imu, tf2",
            "audio": "base_link <- microphones, tf2",
        }
        turning = False
        told = listener.diagnostic(
            "poses", lambda status: "lidar is placed by a transform more than" in status.message
        )
        assert told.level == b"\x01"
        listener.node.destroy_timer(timer)
        # Once each, however many sets there were.
        assert sum("lidar is placed by the parameters" in line for line in node.lines) == 1
