"""What the launch files share: arguments read and checked, and actions that start later in the same scope."""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import product
from pathlib import Path

import yaml
from launch import LaunchContext
from launch.action import Action
from launch.actions import (
    OpaqueFunction,
    PopEnvironment,
    PopLaunchConfigurations,
    PushEnvironment,
    PushLaunchConfigurations,
)
from launch.substitutions import LaunchConfiguration
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.utilities import make_namespace_absolute, prefix_namespace

from sentryfuse_core.config import Config, load_yaml
from sentryfuse_core.safe_files import parse_yaml

__all__ = ["flag", "later", "node_name", "number", "path", "sensor_parameters", "text", "words"]

# Of each sensor: launch argument <name>_<option> -> parameter <name>.<option>.
_OF_A_SENSOR = ("kind", "topic", "info_topic", "transport")


def text(context: LaunchContext, name: str) -> str:
    """An argument's text; empty where it was given nothing."""
    value: str = LaunchConfiguration(name).perform(context)
    return value.strip()


def flag(context: LaunchContext, name: str) -> bool | None:
    """An argument that says true or false; None where it says neither, being empty."""
    words = {"true": True, "1": True, "false": False, "0": False, "": None}
    given = text(context, name)
    if given.lower() not in words:
        raise ValueError(f"{name}:={given}: give true or false")
    return words[given.lower()]


def number(context: LaunchContext, name: str) -> float:
    """An argument that is a number of 0 or more."""
    given = text(context, name)
    try:
        value = float(given)
    except ValueError:
        value = -1.0
    if not 0.0 <= value < float("inf"):
        raise ValueError(f"{name}:={given}: give a number, 0 or more")
    return value


def words(context: LaunchContext, name: str) -> list[str]:
    """An argument that is a list of texts, as ['a', 'b']; empty texts are left out."""
    given = text(context, name)
    try:
        value = parse_yaml(given)
    except yaml.YAMLError:
        value = given
    value = [] if value is None else value
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ValueError(f"{name}:={given}: give a list of texts, as ['a', 'b']")
    return [item for item in value if item]


def path(context: LaunchContext, name: str) -> str:
    """An argument that is the path of something that exists, or empty.

    For a missing parameter file launch itself gives a warning, and goes on without it.
    """
    given = text(context, name)
    found = os.path.expanduser(given)  # noqa: PTH111 - no shell does it after `:=`, and a Path of nothing is "."
    if given and not Path(found).exists():
        raise ValueError(f"{name}:={given}: there is no such file")
    return found


def node_name(context: LaunchContext) -> str:
    """The fusion node's full name, by which a parameter file may address it."""
    around = context.launch_configurations.get("ros_namespace")
    namespace = make_namespace_absolute(prefix_namespace(around, text(context, "namespace"))) or ""
    return f"{namespace.rstrip('/')}/{text(context, 'name')}"


def sensor_parameters(context: LaunchContext) -> dict[str, ParameterValue]:
    """The parameters `sensors` and <name>.<option> that launch arguments give.

    The names are those of the argument `sensors`, else those that the parameter file has for this node. No
    arguments that could be declared: the names are not known before. Typed: launch reads plain text as YAML,
    and a topic called `on` would become true.
    """
    given = {}
    if names := words(context, "sensors"):
        given["sensors"] = ParameterValue(names, value_type=list[str])
    elif file := path(context, "params_file"):
        names = list(load_yaml(Path(file), node=node_name(context)).sensors)
    else:
        names = list(Config().sensors)
    for name, option in product(names, _OF_A_SENSOR):
        if value := context.launch_configurations.get(f"{name}_{option}", "").strip():
            given[f"{name}.{option}"] = ParameterValue(value, value_type=str)
    return given


def later(context: LaunchContext, actions: Sequence[Action]) -> list[Action]:
    """The actions, for an event handler: they will see the launch configurations and environment of now.

    When the event comes, the group around the launch file has long been left, and with it what
    PushRosNamespace, SetParameter, SetRemap and SetEnvironmentVariable set there.
    """
    # Copied one level deep: launch_ros appends to the lists it keeps there.
    configurations = {
        name: list(value) if isinstance(value, list) else value
        for name, value in context.launch_configurations.items()
    }
    environment = dict(context.environment)

    def restore(context: LaunchContext) -> None:
        context.launch_configurations.clear()
        context.launch_configurations.update(configurations)
        os.environ.clear()
        os.environ.update(environment)

    return [
        PushLaunchConfigurations(),
        PushEnvironment(),
        OpaqueFunction(function=restore),
        *actions,
        PopEnvironment(),
        PopLaunchConfigurations(),
    ]
