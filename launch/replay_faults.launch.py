"""Plays a recording through the fault injector into fusion_node, with a scenario of failing sensors.

ros2 launch sentryfuse replay_faults.launch.py bag:=drive.mcap scenario:=camera_dies.yaml rate:=1.0
Every argument of sentryfuse.launch.py works here, too.
"""

from __future__ import annotations

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, RegisterEventHandler, Shutdown
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.event_handlers import OnStateTransition
from launch_ros.parameter_descriptions import ParameterValue

RAW = "/raw"  # the player publishes under it, the injector takes it off again


def generate_launch_description() -> LaunchDescription:
    """Player, injector and the node; the player starts when the node is active, and ends them all."""
    share = Path(get_package_share_directory("sentryfuse"))
    arguments = [
        DeclareLaunchArgument("bag", description="recording: .mcap, .db3, .bag or a rosbag2 folder"),
        DeclareLaunchArgument("scenario", default_value="", description="YAML file of faults; empty: none"),
        DeclareLaunchArgument("rate", default_value="1.0", description="speed of play"),
        DeclareLaunchArgument("loop", default_value="false", description="begin again at the end"),
        DeclareLaunchArgument("remap", default_value="['']", description="['recorded:=published', ...]"),
        DeclareLaunchArgument(
            "stamps",
            default_value="now",
            description="now: restamped; bag: as recorded; clock: and /clock played",
        ),
    ]
    fusion = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(share / "launch" / "sentryfuse.launch.py"))
    )
    injector = Node(
        package="sentryfuse",
        executable="fault_injector_node",
        parameters=[{"scenario": _text("scenario"), "prefix": RAW}],
        output="screen",
    )
    player = Node(
        package="sentryfuse",
        executable="player_node",
        parameters=[
            {
                "bag": _text("bag"),
                "prefix": RAW,
                "rate": ParameterValue(LaunchConfiguration("rate"), value_type=float),
                "loop": ParameterValue(LaunchConfiguration("loop"), value_type=bool),
                "remap": ParameterValue(LaunchConfiguration("remap"), value_type=list[str]),
                "stamps": _text("stamps"),
                "wait_s": 10.0,
            }
        ],
        on_exit=Shutdown(reason="the recording is over"),
        output="screen",
    )
    start = RegisterEventHandler(OnStateTransition(goal_state="active", entities=[player], handle_once=True))
    return LaunchDescription([*arguments, injector, start, fusion])


def _text(name: str) -> ParameterValue:
    return ParameterValue(LaunchConfiguration(name), value_type=str)
