"""Plays a recording through the fault injector into fusion_node, with a scenario of failing sensors.

ros2 launch sentryfuse replay_faults.launch.py bag:=drive.mcap scenario:=camera_dies.yaml rate:=1.0
Every argument of sentryfuse.launch.py works here, too, but preflight: nothing is published before the node is
active. It ends with the recording, or with status 1 once one of the three nodes has ended before that.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from launch import Event, LaunchContext, LaunchDescription
from launch.action import Action
from launch.actions import (
    DeclareLaunchArgument,
    IncludeLaunchDescription,
    OpaqueFunction,
    RegisterEventHandler,
    Shutdown,
)
from launch.event_handlers import OnProcessExit, OnProcessIO
from launch.events.process import ProcessExited, ProcessIO
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import LifecycleNode, Node
from launch_ros.event_handlers import OnStateTransition
from launch_ros.events.lifecycle import StateTransition
from launch_ros.parameter_descriptions import ParameterValue

from sentryfuse_ros.launching import flag, later, node_name, number, path, sensor_parameters, text, words

RAW = "raw"  # the player publishes under it, the injector takes it off again; each in the node's namespace


def generate_launch_description() -> LaunchDescription:
    """Player, injector and the node; the player starts when the node is active, and ends them all."""
    arguments = [
        DeclareLaunchArgument("bag", description="recording: .mcap, .db3, .bag or a rosbag2 folder"),
        DeclareLaunchArgument("scenario", default_value="", description="YAML file of faults; empty: none"),
        DeclareLaunchArgument("rate", default_value="1.0", description="speed of play"),
        DeclareLaunchArgument("loop", default_value="false", description="begin again at the end"),
        DeclareLaunchArgument("remap", default_value="", description="['recorded:=published', ...]"),
        DeclareLaunchArgument(
            "stamps",
            default_value="now",
            description="now: restamped; bag: as recorded; clock: and /clock played",
        ),
    ]
    # By its path, not by a substitution: --show-args then lists its arguments, too.
    beside = Path(__file__).with_name("sentryfuse.launch.py")
    fusion = IncludeLaunchDescription(PythonLaunchDescriptionSource(str(beside)))
    # The player's own arguments are read first: launch leaves a process running that has hardly started when
    # an error comes. The rest comes after the include, whose arguments it reads, too.
    settings: dict[str, Any] = {}
    return LaunchDescription(
        [
            *arguments,
            OpaqueFunction(function=_read_settings, args=[settings]),
            fusion,
            OpaqueFunction(function=_player_and_injector, args=[settings]),
        ]
    )


def _read_settings(context: LaunchContext, settings: dict[str, Any]) -> None:
    """The player's parameters."""
    settings |= {
        "bag": _typed(path(context, "bag")),  # told now if it is not there, not when the player starts
        "prefix": RAW,
        "rate": number(context, "rate"),
        "loop": bool(flag(context, "loop")),
        "remap": ParameterValue(words(context, "remap") or [""], value_type=list[str]),
        "stamps": _text("stamps"),
        "wait_s": 10.0,
    }


def _player_and_injector(context: LaunchContext, settings: dict[str, Any]) -> list[Action]:
    name, namespace = text(context, "name"), text(context, "namespace")
    injector = Node(
        package="sentryfuse",
        executable="fault_injector_node",
        namespace=namespace,
        parameters=[
            {
                "scenario": _text("scenario"),
                "sensors_from": _typed(path(context, "params_file")),
                "sensors_of": _typed(node_name(context)),
                "prefix": RAW,
                "budget_topic": _typed(text(context, "budget_topic") or f"{name}/budget"),
                **sensor_parameters(context),
            }
        ],
        output="screen",
    )
    player = Node(
        package="sentryfuse",
        executable="player_node",
        namespace=namespace,
        parameters=[settings],
        output="screen",
    )

    def is_fusion(action: Action) -> bool:
        """Whether it is the node of this launch file; a bringup may have others."""
        return (
            isinstance(action, LifecycleNode)
            and action.expanded_node_namespace == injector.expanded_node_namespace
            and action.node_name.rpartition("/")[2] == name
        )

    def is_active(event: Event) -> bool:
        return isinstance(event, StateTransition) and event.goal_state == "active" and is_fusion(event.action)

    waiting = [later(context, [player])]

    def begin() -> list[Action]:
        return waiting.pop() if waiting else []

    def read(event: ProcessIO) -> list[Action]:
        """Read the log, too: a transition is told once, and lost where launch is not discovered yet."""
        return begin() if b"warmed up in" in event.text else []

    handlers = [
        OnProcessExit(target_action=injector, on_exit=_too_early),
        OnProcessExit(target_action=player, on_exit=_over),
        OnProcessIO(target_action=is_fusion, on_stdout=read, on_stderr=read),
        OnStateTransition(
            matcher=is_active, entities=[OpaqueFunction(function=lambda _context: begin())], handle_once=True
        ),
    ]
    if not flag(context, "respawn"):
        handlers.append(OnProcessExit(target_action=is_fusion, on_exit=_too_early))
    return [*(RegisterEventHandler(handler) for handler in handlers), injector]


def _over(event: ProcessExited, context: LaunchContext) -> list[Action] | None:
    if (
        event.returncode != 0 or context.is_shutdown
    ):  # a second robot's player ends while the first shuts down
        return _too_early(event, context)
    return [Shutdown(reason="the recording is over")]


def _too_early(event: ProcessExited, context: LaunchContext) -> None:
    """End everything, with status 1, unless everything is ending anyway."""
    if not context.is_shutdown:
        program = event.process_name.rpartition("-")[0]
        raise RuntimeError(f"{program} ended with status {event.returncode} before the recording was over")


def _text(name: str) -> ParameterValue:
    return _typed(LaunchConfiguration(name))


def _typed(value: str | LaunchConfiguration) -> ParameterValue:
    return ParameterValue(value, value_type=str)
