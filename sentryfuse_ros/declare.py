"""Parameters of the small nodes: declared from one table, unknown names refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rcl_interfaces.msg import ParameterDescriptor

from sentryfuse_core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rclpy.node import Node

__all__ = ["declare"]

_FOREIGN = ("use_sim_time", "start_type_description_service")  # rclpy's own


def declare(node: Node, table: Mapping[str, tuple[Any, str]]) -> dict[str, Any]:
    """Declare `{name: (default, help)}` and return the values; ConfigError names a wrong name or type.

    Names with a dot are the fusion node's or rclpy's: a launch file sets them for all its nodes.
    """
    for name in node._parameter_overrides:  # noqa: SLF001 - no public way to list what nobody declared
        if name not in table and name not in _FOREIGN and "." not in name:
            valid = ", ".join(table)
            raise ConfigError(f"unknown parameter {name!r} of {node.get_name()}; valid are {valid}")
    values: dict[str, Any] = {}
    for name, (default, doc) in table.items():
        described = ParameterDescriptor(description=doc, read_only=True, dynamic_typing=True)
        value = node.declare_parameter(name, default, described).value
        if isinstance(default, float) and type(value) is int:  # `rate:=2` means 2.0
            value = float(value)
        values[name] = list(value) if isinstance(default, list) and not isinstance(value, str) else value
        if type(values[name]) is not type(default):
            kind = type(default).__name__
            raise ConfigError(f"parameter {name} = {value!r} of {node.get_name()}: give a {kind}")
    return values
