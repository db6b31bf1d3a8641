"""Starts fusion_node: every topic, the checkpoint, the device and the parameter file are launch arguments.

ros2 launch sentryfuse sentryfuse.launch.py camera_topic:=/front/image_raw lidar_topic:=/velodyne_points
"""

from __future__ import annotations

import os
from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchContext, LaunchDescription
from launch.action import Action
from launch.actions import DeclareLaunchArgument, OpaqueFunction, RegisterEventHandler
from launch.event_handlers import OnProcessExit
from launch.events.process import ProcessExited
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import LifecycleNode, Node

from sentryfuse_ros.middleware import PROFILE_VARIABLE, apply_profile

# Launch argument -> parameter it sets. Empty, the default: whatever the parameter file says.
PARAMETERS = {
    "camera_topic": ("camera.topic", "image topic"),
    "camera_transport": ("camera.transport", "raw or compressed"),
    "camera_info_topic": ("camera.info_topic", "CameraInfo topic"),
    "lidar_topic": ("lidar.topic", "PointCloud2 topic"),
    "imu_topic": ("imu.topic", "Imu topic"),
    "audio_topic": ("audio.topic", "audio topic"),
    "base_frame": ("output.base_frame", "frame of the detections"),
    "checkpoint": ("model.checkpoint", "safetensors file with its manifest beside it"),
    "device": ("model.device", "auto, cpu, cuda or cuda:N"),
}
# Launch argument -> name in the node. Empty, the default: not remapped.
TOPICS = {
    "battery_topic": ("battery", "BatteryState topic"),
    "budget_topic": ("~/budget", "sentryfuse/Budget topic"),
    "detections_topic": ("~/detections", "published FusedDetectionArray"),
    "detections_3d_topic": ("~/detections_3d", "published vision_msgs/Detection3DArray"),
    "markers_topic": ("~/markers", "published MarkerArray"),
    "status_topic": ("~/status", "published FusionStatus"),
    "diagnostics_topic": ("/diagnostics", "published DiagnosticArray"),
}


def generate_launch_description() -> LaunchDescription:
    """The arguments and the node."""
    share = Path(get_package_share_directory("sentryfuse"))
    general = {
        "name": ("sentryfuse", "name of the node"),
        "namespace": ("", "namespace of the node"),
        "params_file": (str(share / "config" / "sentryfuse.yaml"), "parameter file"),
        "use_sim_time": ("false", "follow /clock"),
        "autostart": ("", "true or false: configure and activate at once; empty: as in the parameter file"),
        "preflight": ("false", "true: run `sentryfuse check` first and start the node only if nothing fails"),
        "log_level": ("info", "debug, info, warn, error or fatal"),
    }
    arguments = [
        DeclareLaunchArgument(name, default_value=value, description=doc)
        for name, (value, doc) in general.items()
    ]
    arguments += [
        DeclareLaunchArgument(name, default_value="", description=f"{doc}; empty: as in the parameter file")
        for name, (_, doc) in PARAMETERS.items()
    ]
    arguments += [
        DeclareLaunchArgument(name, default_value="", description=f"{doc}; empty: {topic}")
        for name, (topic, doc) in TOPICS.items()
    ]
    return LaunchDescription([*arguments, OpaqueFunction(function=_fusion_node)])


def _fusion_node(context: LaunchContext) -> list[Action]:
    def value(name: str) -> str:
        return LaunchConfiguration(name).perform(context)

    given = {path: value(name) for name, (path, _) in PARAMETERS.items() if value(name)}
    flags = {name: _is_true(name, value(name)) for name in ("use_sim_time", "autostart") if value(name)}
    # The node would find the profile by itself; here it also shows in `ros2 launch --debug`.
    environment = dict(os.environ)
    apply_profile(environment)
    remappings = [(topic, value(name)) for name, (topic, _) in TOPICS.items() if value(name)]
    additional_env = {key: environment[key] for key in (PROFILE_VARIABLE,) if key in environment}
    fusion = LifecycleNode(
        package="sentryfuse",
        executable="fusion_node",
        name=value("name"),
        namespace=value("namespace"),
        parameters=[value("params_file"), {**given, **flags}],
        remappings=remappings,
        ros_arguments=["--log-level", value("log_level")],
        additional_env=additional_env,
        output="screen",
    )
    if not _is_true("preflight", value("preflight")):
        return [fusion]
    check = Node(
        package="sentryfuse",
        executable="sentryfuse",
        namespace=value("namespace"),
        arguments=["check", "--params", value("params_file")]
        + [f"--set={path}={text}" for path, text in given.items()],
        parameters=[{"use_sim_time": flags.get("use_sim_time", False)}],
        remappings=remappings,
        additional_env=additional_env,
        output="screen",
    )

    def passed(event: ProcessExited, _context: LaunchContext) -> list[Action]:
        if event.returncode != 0:
            # What is raised here shuts everything down and makes `ros2 launch` end with status 1.
            raise RuntimeError(f"preflight failed: `sentryfuse check` ended with status {event.returncode}")
        return [fusion]

    return [RegisterEventHandler(OnProcessExit(target_action=check, on_exit=passed)), check]


def _is_true(name: str, text: str) -> bool:
    words = {"true": True, "1": True, "false": False, "0": False}
    if text.lower() not in words:
        raise ValueError(f"{name}:={text!r}: give true or false")
    return words[text.lower()]
