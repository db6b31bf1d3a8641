"""Starts fusion_node: every topic, the checkpoint, the device and the parameter file are launch arguments.

ros2 launch sentryfuse sentryfuse.launch.py camera_topic:=/front/image_raw lidar_topic:=/velodyne_points
ros2 launch sentryfuse sentryfuse.launch.py sensors:="['front', 'top']" front_kind:=camera top_kind:=lidar

An argument that is not given changes nothing: what a bringup sets around the include with SetParameter,
SetRemap, PushRosNamespace or SetEnvironmentVariable holds. One that is given goes before it.
"""

from __future__ import annotations

from launch import LaunchContext, LaunchDescription
from launch.action import Action
from launch.actions import DeclareLaunchArgument, OpaqueFunction, RegisterEventHandler
from launch.event_handlers import OnProcessExit
from launch.events.process import ProcessExited
from launch_ros.actions import LifecycleNode, Node
from launch_ros.parameter_descriptions import ParameterValue

from sentryfuse_ros.launching import flag, later, number, path, sensor_parameters, text
from sentryfuse_ros.middleware import PROFILE_VARIABLE, apply_profile

GENERAL = {
    "name": ("sentryfuse", "name of the node"),
    "namespace": ("", "namespace of the node, below the one it is included in"),
    "params_file": ("", "parameter file; empty: none, so that defaults and what is set around hold"),
    "use_sim_time": ("", "true: follow /clock; empty: as set around or in the parameter file"),
    "sensors": (
        "",
        "names, as ['front', 'top']; of each, and of those in params_file: <name>_kind, _topic, ...",
    ),
    "autostart": ("", "false: wait for a lifecycle manager; empty: as set around or in the parameter file"),
    "respawn": ("false", "true: start the node again whenever it ends by itself"),
    "respawn_delay": ("2.0", "s between its end and its new start"),
    "preflight": ("false", "true: run `sentryfuse check` first and start the node only if nothing fails"),
    "log_level": ("", "debug, info, warn, error or fatal; empty: as ROS has it, info"),
}
# Launch argument -> parameter it sets. Empty, the default: as set around or in the parameter file.
PARAMETERS = {
    "camera_topic": ("camera.topic", "image topic"),
    "camera_transport": ("camera.transport", "raw or compressed"),
    "camera_info_topic": ("camera.info_topic", "CameraInfo topic"),
    "lidar_topic": ("lidar.topic", "PointCloud2 topic"),
    "imu_topic": ("imu.topic", "Imu topic"),
    "audio_topic": ("audio.topic", "audio topic"),
    "odometry_topic": ("odometry.topic", "Odometry topic"),
    "base_frame": ("output.base_frame", "frame of the detections, its origin on the ground"),
    "checkpoint": ("model.checkpoint", "safetensors file with its manifest beside it"),
    "device": ("model.device", "auto, cpu, cuda or cuda:N"),
}
# Launch argument -> name in the node. Empty, the default: not remapped.
TOPICS = {
    "battery_topic": ("battery", "BatteryState topic"),
    "budget_topic": ("~/budget", "sentryfuse/Budget topic"),
    "detections_topic": ("~/detections", "published FusedDetectionArray"),
    "detections_3d_topic": ("~/detections_3d", "published vision_msgs/Detection3DArray"),
    "tracks_topic": ("~/tracks", "published FusedTrackArray"),
    "coverage_topic": ("~/coverage", "published Coverage"),
    "markers_topic": ("~/markers", "published MarkerArray"),
    "status_topic": ("~/status", "published FusionStatus"),
    "diagnostics_topic": ("/diagnostics", "published DiagnosticArray"),
}


def generate_launch_description() -> LaunchDescription:
    """The arguments and the node."""
    described = dict(GENERAL)
    for name, (_, doc) in PARAMETERS.items():
        described[name] = ("", f"{doc}; empty: as set around or in the parameter file")
    for name, (topic, doc) in TOPICS.items():
        described[name] = ("", f"{doc}; empty: {topic}")
    arguments = [
        DeclareLaunchArgument(name, default_value=value, description=doc)
        for name, (value, doc) in described.items()
    ]
    return LaunchDescription([*arguments, OpaqueFunction(function=_fusion_node)])


def _fusion_node(context: LaunchContext) -> list[Action]:
    name, namespace = text(context, "name"), text(context, "namespace")
    # Typed: launch reads plain text as YAML, and a topic called `on` would become true.
    given = {
        path: ParameterValue(text(context, argument), value_type=str)
        for argument, (path, _) in PARAMETERS.items()
        if text(context, argument)
    }
    given |= sensor_parameters(context)
    given |= {
        argument: value
        for argument in ("use_sim_time", "autostart")
        if (value := flag(context, argument)) is not None
    }
    params_file, log_level = path(context, "params_file"), text(context, "log_level")
    # The node would find the profile by itself; here it also shows in `ros2 launch --debug`.
    environment = dict(context.environment)
    apply_profile(environment)
    shared = {
        "package": "sentryfuse",
        "namespace": namespace,
        # An empty table is no parameter file.
        "parameters": ([params_file] if params_file else []) + ([given] if given else []),
        "remappings": [
            (topic, text(context, argument))
            for argument, (topic, _) in TOPICS.items()
            if text(context, argument)
        ],
        "additional_env": {key: environment[key] for key in (PROFILE_VARIABLE,) if key in environment},
        "output": "screen",
    }
    fusion = LifecycleNode(
        executable="fusion_node",
        name=name,
        ros_arguments=["--log-level", log_level] if log_level else [],
        respawn=bool(flag(context, "respawn")),
        respawn_delay=number(context, "respawn_delay"),
        **shared,
    )
    if not flag(context, "preflight"):
        return [fusion]
    # Under the node's name, by which a parameter file may address it.
    check = Node(
        executable="sentryfuse", arguments=["check"], ros_arguments=["-r", f"__node:={name}"], **shared
    )
    start = later(context, [fusion])

    def passed(event: ProcessExited, _context: LaunchContext) -> list[Action]:
        if event.returncode != 0:
            # What is raised here shuts everything down and makes `ros2 launch` end with status 1.
            raise RuntimeError(f"preflight failed: `sentryfuse check` ended with status {event.returncode}")
        return start

    return [RegisterEventHandler(OnProcessExit(target_action=check, on_exit=passed)), check]
