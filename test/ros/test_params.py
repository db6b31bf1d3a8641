"""Parameters declared from the options of the configuration."""

from __future__ import annotations

import json
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import rclpy
from rcl_interfaces.msg import ParameterType
from rclpy.node import Node
from rclpy.parameter import Parameter

from sentryfuse_core.config import Config, Option, options
from sentryfuse_core.errors import ConfigError
from sentryfuse_ros.params import declare_config, descriptor, follow_changes

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.ros, pytest.mark.capability("fusion node over real DDS")]
DOCS = Path(__file__).resolve().parents[2] / "docs" / "ros_api.md"


@contextmanager
def given(*assignments: str) -> Iterator[Node]:
    """A node that was started with these `name:=value`."""
    context = rclpy.Context()
    rclpy.init(context=context)
    arguments = ["--ros-args", *(part for item in assignments for part in ("-p", item))]
    node = Node("sentryfuse", context=context, cli_args=arguments)
    try:
        yield node
    finally:
        node.destroy_node()
        rclpy.shutdown(context=context)


def test_configuration_has_the_defaults_when_nothing_is_given() -> None:
    with given() as node:
        assert declare_config(node) == Config()
        kinds = {
            bool: ParameterType.PARAMETER_BOOL,
            int: ParameterType.PARAMETER_INTEGER,
            float: ParameterType.PARAMETER_DOUBLE,
            str: ParameterType.PARAMETER_STRING,
            tuple: ParameterType.PARAMETER_DOUBLE_ARRAY,
        }
        for option in options():
            parameter = node.get_parameter(option.path)
            assert parameter.get_parameter_value().type == kinds[option.kind]
            assert node.describe_parameter(option.path).read_only == (not option.live)


def test_configuration_takes_values_when_they_are_given() -> None:
    with given(
        "sync.max_wait_s:=0.02",
        "budget.latency_ms:=40",
        "lidar.translation_m:=[0, 0, 2]",
        "camera.enabled:=false",
    ) as node:
        config = declare_config(node)
        assert config.sync.max_wait_s == 0.02
        assert config.budget.latency_ms == 40.0
        assert config.lidar.translation_m == (0.0, 0.0, 2.0)
        assert not config.camera.enabled
        assert node.get_parameter("budget.latency_ms").value == 40.0


@pytest.mark.parametrize(
    ("assignment", "named"),
    [
        ("model.chekpoint:=x", "unknown parameter 'model.chekpoint'; did you mean 'model.checkpoint'?"),
        ("max_wait:=1.0", "unknown parameter 'max_wait'"),
        ("sync.max_wait_s:=7.0", "sync.max_wait_s = 7.0 is outside 0.0 .. 1.0"),
        ("camera.transport:=pigeon", "camera.transport = 'pigeon': give one of raw, compressed"),
        ("budget.level:=wide", "budget.level = 'wide': give an integer"),
        ("lidar.translation_m:=[1.0]", "lidar.translation_m = [1.0]: give 3 numbers"),
        ("lidar.expected_rate_hz:=20.0", "sync.slop_s"),
    ],
)
def test_declaring_names_the_parameter_when_it_is_wrong(assignment: str, named: str) -> None:
    with given(assignment) as node, pytest.raises(ConfigError) as raised:
        declare_config(node)
    assert named in str(raised.value)
    assert "\n" not in str(raised.value)


def test_changes_are_applied_only_when_all_are_good() -> None:
    with given() as node:
        current = [declare_config(node)]
        follow_changes(node, lambda: current[-1], current.append)
        good, bad = Parameter("model.score_threshold", value=0.5), Parameter("budget.min_battery", value=7.0)
        assert not node.set_parameters_atomically([good, bad]).successful
        assert len(current) == 1
        assert node.set_parameters_atomically([good]).successful
        assert current[-1].model.score_threshold == 0.5


def _row(option: Option) -> str:
    """The line that documents one option."""
    default = list(option.default) if option.kind is tuple else option.default
    limits = descriptor(option).additional_constraints.removeprefix("one of: ")
    if not limits and option.low is not None:
        limits = f"{option.low:g} .. {option.high:g}"
    live = "yes" if option.live else ""
    return f"| `{option.path}` | `{json.dumps(default)}` | {limits} | {live} | {option.doc} |"


def test_documentation_has_every_parameter() -> None:
    lines = DOCS.read_text(encoding="utf-8").splitlines()
    rows = [_row(option) for option in options()]
    missing = [row for row in rows if row not in lines]
    assert not missing, "docs/ros_api.md lacks:\n" + "\n".join(missing)
    documented = [
        line.split("`")[1] for line in lines if line.startswith("| `") and "." in line.split("`")[1]
    ]
    assert documented == [option.path for option in options()]
