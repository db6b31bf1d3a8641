"""Parameters of the small nodes: declared from one table, misspelt names refused."""

from __future__ import annotations

import difflib
from array import array
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rcl_interfaces.msg import ParameterDescriptor, SetParametersResult

from sentryfuse_core.config import in_words
from sentryfuse_core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rclpy.node import Node
    from rclpy.parameter import Parameter

__all__ = ["declare", "refuse_clock_changes"]


def declare(node: Node, table: Mapping[str, tuple[Any, str]]) -> dict[str, Any]:
    """Declare `{name: (default, help)}` and return the values; ConfigError names a wrong name or type.

    Only a name that is nearly one of the table is wrong. Any other may be another node's, by a parameter file
    or a SetParameter that many share: one without a section is warned of, the rest left alone.
    """
    for name in node._parameter_overrides:  # noqa: SLF001 - no public way to list what nobody declared
        if name in table or node.has_parameter(name) or "." in name:
            continue
        valid = ", ".join(table)
        if close := difflib.get_close_matches(name.lower(), table, n=1, cutoff=0.7):
            raise ConfigError(
                f"unknown parameter {name!r} of {node.get_name()}; did you mean {close[0]!r}? "
                f"valid are {valid}"
            )
        node.get_logger().warning(f"parameter {name} is not used; valid are {valid}")
    refuse_clock_changes(node)
    values: dict[str, Any] = {}
    for name, (default, doc) in table.items():
        described = ParameterDescriptor(description=doc, read_only=True, dynamic_typing=True)
        value = node.declare_parameter(name, default, described).value
        if isinstance(default, float) and type(value) is int:  # `rate:=2` means 2.0
            value = float(value)
        if isinstance(value, (array, Sequence)) and not isinstance(value, str):
            value = list(value)
        values[name] = value
        if type(value) is not type(default) or (type(value) is list and {*map(type, value)} - {str}):
            kind = in_words(type(default))
            raise ConfigError(f"parameter {name} = {value!r} of {node.get_name()}: give {kind}")
    return values


def refuse_clock_changes(node: Node) -> None:
    """Refuse `use_sim_time` where it would change: what the node compares times with is chosen at its start.

    rclpy declares it itself, and as one that may change.
    """
    simulated = node.get_parameter("use_sim_time").value

    def check(parameters: list[Parameter[Any]]) -> SetParametersResult:
        if all(item.name != "use_sim_time" or item.value == simulated for item in parameters):
            return SetParametersResult(successful=True)
        reason = f"use_sim_time is {str(simulated).lower()} until the node ends; start it with another"
        return SetParametersResult(successful=False, reason=reason)

    node.add_on_set_parameters_callback(check)
