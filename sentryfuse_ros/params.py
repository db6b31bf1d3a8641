"""ROS parameters of the fusion node: declared from the options of the configuration, checked, followed."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult
from rclpy.node import Node
from rclpy.parameter import Parameter

from sentryfuse_core.config import Config, Option, foreign, kinds_of, options, override, value_of
from sentryfuse_core.errors import ConfigError
from sentryfuse_ros.declare import refuse_clock_changes

__all__ = ["declare_config", "descriptor", "follow_changes", "given_config"]

_FOREIGN = ("qos_overrides.",)  # declared by rclpy itself when a topic is created


def declare_config(node: Node) -> Config:
    """Declare every option with the value given for it and return the configuration.

    Integers are taken for numbers with a fraction, as in YAML. Raises ConfigError for a bad value, and for a
    name in a section of the configuration that no option has: a misspelt parameter would otherwise do
    nothing, silently. Names in no section are other nodes', by a parameter file that many share: left alone,
    with a warning where one looks misspelt.
    """
    config = given_config(node, Config())
    refuse_clock_changes(node)
    for option in options(config.kinds):
        value = value_of(config, option.path)
        node.declare_parameter(
            option.path,
            list(value) if isinstance(value, tuple) else value,
            descriptor(option),
            ignore_override=True,
        )
    return config


def given_config(node: Node, base: Config) -> Config:
    """`base` with what parameter files and the command line give for the options; other names are told."""
    given = _given(node)
    strangers = foreign(given, kinds_of(given, base.kinds))
    for name, likely in strangers.items():
        if likely:
            node.get_logger().warning(f"parameter {name} is not used; did you mean {likely}?")
    return override(base, {name: value for name, value in given.items() if name not in strangers})


def descriptor(option: Option) -> ParameterDescriptor:
    """What `ros2 param describe` shows: help, range, choices, and whether it may change at run time."""
    described = ParameterDescriptor(
        name=option.path,
        description=option.doc,
        additional_constraints=f"one of: {', '.join(option.choices)}" if option.choices else "",
        read_only=not option.live,
    )
    if option.low is not None and option.high is not None:
        if option.kind is int:
            limits = IntegerRange(from_value=int(option.low), to_value=int(option.high), step=1)
            described.integer_range = [limits]
        elif option.kind is float:
            span = FloatingPointRange(from_value=float(option.low), to_value=float(option.high), step=0.0)
            described.floating_point_range = [span]
    return described


def follow_changes(node: Node, current: Callable[[], Config], apply: Callable[[Config], None]) -> None:
    """Check every change of an option against the whole configuration, then hand the new one to `apply`."""

    def check(parameters: list[Parameter[Any]]) -> SetParametersResult:
        try:
            override(current(), _options_of(parameters, current()))
        except ConfigError as error:
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    def changed(parameters: list[Parameter[Any]]) -> None:
        values = _options_of(parameters, current())
        if values:
            apply(override(current(), values))

    node.add_on_set_parameters_callback(check)
    node.add_post_set_parameters_callback(changed)


def _given(node: Node) -> dict[str, Any]:
    """Values from parameter files and the command line that are not for rclpy or declared by the node itself.

    rclpy keeps them in a private attribute and has no public way to list the ones nobody declared.
    """
    overrides: Mapping[str, Parameter[Any]] = node._parameter_overrides  # noqa: SLF001
    return {
        name: _plain(parameter.value)
        for name, parameter in overrides.items()
        if not node.has_parameter(name) and not name.startswith(_FOREIGN)
    }


def _options_of(parameters: list[Parameter[Any]], config: Config) -> dict[str, Any]:
    known = {option.path for option in options(config.kinds)}
    return {parameter.name: _plain(parameter.value) for parameter in parameters if parameter.name in known}


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, (array, tuple)) else value
