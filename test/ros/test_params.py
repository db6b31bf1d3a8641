"""Parameters declared from the options of the configuration."""

from __future__ import annotations

import json
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from rcl_interfaces.msg import ParameterType
from rclpy.node import Node
from rclpy.parameter import Parameter
from ros.support import participant, rig

from sentryfuse_core.config import Config, Option, load_yaml, options, override, read_values
from sentryfuse_core.errors import ConfigError
from sentryfuse_core.types import Modality
from sentryfuse_ros.declare import declare
from sentryfuse_ros.fusion_node import FusionNode
from sentryfuse_ros.params import declare_config, descriptor, follow_changes

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.ros, pytest.mark.capability("fusion node over real DDS")]
DOCS = Path(__file__).resolve().parents[2] / "docs" / "ros_api.md"


@contextmanager
def given(*assignments: str) -> Iterator[Node]:
    """A node that was started with these `name:=value`."""
    arguments = ["--ros-args", *(part for item in assignments for part in ("-p", item))]
    with participant("sentryfuse", cli_args=arguments) as node:
        yield node


def test_configuration_has_the_defaults_when_nothing_is_given() -> None:
    with given() as node:
        assert declare_config(node) == Config()
        kinds = {
            bool: ParameterType.PARAMETER_BOOL,
            int: ParameterType.PARAMETER_INTEGER,
            float: ParameterType.PARAMETER_DOUBLE,
            str: ParameterType.PARAMETER_STRING,
            tuple: ParameterType.PARAMETER_DOUBLE_ARRAY,
            list: ParameterType.PARAMETER_STRING_ARRAY,
        }
        for option in options():
            parameter = node.get_parameter(option.path)
            assert parameter.get_parameter_value().type == kinds[option.kind]
            assert node.describe_parameter(option.path).read_only == (not option.live)


def test_sensors_are_declared_by_name_when_they_are_given() -> None:
    with given(
        "sensors:=[front, top, imu]",
        "front.kind:=camera",
        "front.fx:=500",
        "top.kind:=lidar",
        "elsewhere.rate:=3",
    ) as node:
        config = declare_config(node)
        names = {name for name in node._parameters if name.startswith(("camera.", "lidar.", "audio."))}
        told = {
            name: node.get_parameter(name).value
            for name in ("sensors", "front.kind", "front.fx", "imu.topic")
        }
    assert names == set()
    assert told == {
        "sensors": ["front", "top", "imu"],
        "front.kind": "camera",
        "front.fx": 500.0,
        "imu.topic": "imu/data",
    }
    assert config.of_kind(Modality.LIDAR) == ("top",)


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
        ("camera.topik:=x", "unknown parameter 'camera.topik'; did you mean 'camera.topic'?"),
        ("budget.latancy_ms:=9.0", "did you mean 'budget.latency_ms'?"),
        ("camera.driver.exposure:=9", "unknown parameter 'camera.driver.exposure'"),
        ("camera:=true", "unknown parameter 'camera'"),
        ("sync.max_wait_s:=7.0", "sync.max_wait_s = 7.0 is outside 0.0 .. 1.0"),
        ("camera.transport:=pigeon", "camera.transport = 'pigeon': give one of raw, compressed"),
        ("budget.level:=wide", "budget.level = 'wide': give an integer"),
        ("budget.latency_ms:=soon", "budget.latency_ms = 'soon': give a number"),
        ("output.base_frame:=5", "output.base_frame = 5: give a text"),
        ("camera.enabled:=1", "camera.enabled = 1: give true or false"),
        ("lidar.translation_m:=[1.0]", "lidar.translation_m = [1.0]: give 3 numbers"),
        ("lidar.expected_rate_hz:=20.0", "sync.slop_s"),
    ],
)
def test_declaring_names_the_parameter_when_it_is_wrong(assignment: str, named: str) -> None:
    with given(assignment) as node, pytest.raises(ConfigError) as raised:
        declare_config(node)
    assert named in str(raised.value)
    assert "\n" not in str(raised.value)


def test_parameters_of_other_nodes_are_left_alone_when_a_file_is_shared(
    capfd: pytest.CaptureFixture[str],
) -> None:
    shared = ["robot_radius:=0.3", "bond_timeout:=0.0", "diagnostic_updater.period:=1.0"]
    shared += ["use_sim_time:=true", "qos_overrides./tf.subscription.depth:=5", "local_costmap.width:=3"]
    with given(*shared, "sync.max_wait_s:=0.02") as node:
        assert declare_config(node).sync.max_wait_s == 0.02
    assert "did you mean" not in capfd.readouterr().err


@pytest.mark.parametrize(
    ("assignment", "likely"),
    [
        ("lidr.topic:=x", "lidar.topic"),
        ("Camera.topic:=x", "camera.topic"),
        ("outputs.markers:=false", "output.markers"),
        ("max_wait:=1.0", "sync.max_wait_s"),
    ],
)
def test_likely_name_is_told_when_a_section_is_misspelt(
    assignment: str, likely: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with given(assignment) as node:
        assert declare_config(node) == Config()
    name = assignment.partition(":=")[0]
    assert f"parameter {name} is not used; did you mean {likely}?" in capfd.readouterr().err


def test_shared_file_is_read_by_the_commands_when_it_has_parameters_of_other_nodes(tmp_path: Path) -> None:
    path = tmp_path / "robot.yaml"
    shared = "/**:\n  ros__parameters:\n    robot_radius: 0.3\n    use_sim_time: true\n"
    path.write_text(f"{shared}    sync: {{max_wait_s: 0.02}}\n", encoding="utf-8")
    assert load_yaml(path).sync.max_wait_s == 0.02
    for wrong, likely in (
        ("sync: {max_weight_s: 1}", "sync.max_wait_s"),
        ("lidar: {topik: x}", "lidar.topic"),
    ):
        path.write_text(f"{shared}    {wrong}\n", encoding="utf-8")
        with pytest.raises(ConfigError, match=f"did you mean '{likely}'"):
            load_yaml(path)
    told: list[str] = []  # the rest as the node does
    path.write_text(f"{shared}    lidr: {{topic: x}}\n    max_wait: 1.0\n", encoding="utf-8")
    assert load_yaml(path, tell=told.append) == Config()
    assert [note.rpartition("; ")[2] for note in told] == [
        "did you mean lidar.topic?",
        "did you mean sync.max_wait_s?",
    ]


def section(name: str, max_wait_s: float) -> str:
    """What a ROS file has for nodes of this name."""
    return f"{name!r}:\n  ros__parameters: {{sync.max_wait_s: {max_wait_s}}}\n"


CAMERA_DRIVER = "usb_cam:\n  ros__parameters: {camera: {fps: 30}, topic: x}\n"


@pytest.mark.parametrize(
    "text",
    [
        CAMERA_DRIVER + "sentryfuse:\n  ros__parameters: {sync.max_wait_s: 0.02}\n",
        CAMERA_DRIVER + "/**:\n  ros__parameters: {sync: {max_wait_s: 0.02}}\n",
        CAMERA_DRIVER + "/robot/sentryfuse:\n  ros__parameters: {sync.max_wait_s: 0.02}\n",
        CAMERA_DRIVER + "robot:\n  sentryfuse:\n    ros__parameters: {sync.max_wait_s: 0.02}\n",
        CAMERA_DRIVER + "perception:\n  ros__parameters: {sync.max_wait_s: 0.02}\n",  # renamed
        CAMERA_DRIVER.replace("fps", "topic") + "sentryfuse:\n  ros__parameters: {sync.max_wait_s: 0.02}\n",
        "usb_cam:\n  ros__parameters:\n/**:\n  ros__parameters: {sync.max_wait_s: 0.02}\n",
        section("/robot/**", 0.5) + section("/**", 0.5) + section("/robot/sentryfuse", 0.02),
        section("/**/sentryfuse", 0.5) + section("/robot/*", 0.02),
    ],
)
def test_sections_of_other_nodes_are_left_alone_when_a_file_holds_several(text: str, tmp_path: Path) -> None:
    path = tmp_path / "robot.yaml"
    path.write_text(text, encoding="utf-8")
    assert load_yaml(path) == override(Config(), {"sync.max_wait_s": 0.02})


@pytest.mark.parametrize(("name", "told"), [("sentryfus", 1), ("/**", 0), ("/robot/sentryfuse", 0)])
def test_section_of_another_name_is_told_when_it_is_taken(name: str, told: int, tmp_path: Path) -> None:
    path, notes = tmp_path / "robot.yaml", list[str]()
    path.write_text(section(name, 0.02), encoding="utf-8")
    assert load_yaml(path, tell=notes.append).sync.max_wait_s == 0.02
    assert len(notes) == told
    assert all("/sentryfus is taken for the fusion node" in note for note in notes)


NAMES = (
    *("/one/sentryfuse", "two/sentryfuse", "sentryfuse", "/**/one/sentryfuse", "/one/perception"),
    *("/**", "/*", "*/*", "/one/*", "/two/**", "/*/sentryfuse", "/**/sentryfuse"),
    *("/one/sentryfuse/**", "/one/sentryfuse/*"),
)


@pytest.mark.parametrize("namespace", ["/one", "/two", "/", "/over/one"])
def test_file_of_many_nodes_has_for_each_what_rcl_gives_it(namespace: str, tmp_path: Path) -> None:
    path = tmp_path / "fleet.yaml"
    own = [option for option in options() if option.kind is float]
    # Each has one of its own, and one that others have, too.
    parameters = ":\n  ros__parameters: {{{}: {}, camera.topic: '{}'}}\n"
    path.write_text(
        "".join(
            f"{name!r}{parameters.format(option.path, option.default, name)}"
            for name, option in zip(NAMES, own, strict=False)
        ),
        encoding="utf-8",
    )
    arguments = ["--ros-args", "--params-file", str(path)]
    with participant("sentryfuse", namespace=namespace, cli_args=arguments) as node:
        given = {name: parameter.value for name, parameter in node._parameter_overrides.items()}
        name = node.get_fully_qualified_name()
    assert len(given) > 2
    assert read_values(path, node=name) == given
    told: list[str] = []
    assert len(read_values(path, node="/nobody/at/home", tell=told.append)) == 2  # of /**
    assert not told


@pytest.mark.parametrize(
    "names",
    [
        ("/one/sentryfuse", "/two/sentryfuse"),
        ("/one/**", "/two/**"),
        ("/one/sentryfuse", "/two/*"),
        ("eyes", "/two/perception"),  # renamed
    ],
)
def test_file_for_several_nodes_is_refused_unless_one_is_named(
    names: tuple[str, str], tmp_path: Path
) -> None:
    path = tmp_path / "fleet.yaml"
    waits_s = (0.02, 0.03)
    path.write_text("".join(map(section, names, waits_s)), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"for several nodes, .*--node") as refused:
        load_yaml(path)
    assert all(name in str(refused.value) for name in names)
    for name, wait_s in zip(names, waits_s, strict=True):
        node = name.replace("**", "sentryfuse").replace("*", "sentryfuse")
        assert load_yaml(path, node=node).sync.max_wait_s == wait_s
    told: list[str] = []
    assert load_yaml(path, node="/three/sentryfuse", tell=told.append) == Config()
    assert len(told) == 1
    assert "has nothing for /three/sentryfuse" in told[0]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("perception:\n  ros__parameters: {camera.fps: 30}\n", "'camera.fps'"),
        ("sentryfuse:\n  ros__parameters: 5\n", "ros__parameters of /sentryfuse = 5"),
    ],
)
def test_parameter_file_is_refused_when_nothing_of_it_can_be_used(
    text: str, named: str, tmp_path: Path
) -> None:
    path = tmp_path / "robot.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=named):
        load_yaml(path)


@pytest.mark.parametrize("simulated", [False, True])
@pytest.mark.parametrize("small", [False, True])
def test_use_sim_time_is_refused_with_a_reason_when_it_would_change(simulated: bool, small: bool) -> None:
    with given(f"use_sim_time:={str(simulated).lower()}") as node:
        if small:
            declare(node, {"rate": (1.0, "")})
        else:
            declare_config(node)
        changed = node.set_parameters([Parameter("use_sim_time", value=not simulated)])[0]
        assert not changed.successful
        assert "use_sim_time is" in changed.reason
        assert "start it" in changed.reason
        assert node.get_parameter("use_sim_time").value is simulated
        assert node.get_clock().ros_time_is_active is simulated
        assert node.set_parameters([Parameter("use_sim_time", value=simulated)])[0].successful


def test_autostart_is_read_only() -> None:
    with rig(FusionNode) as found:
        refused = found.node.set_parameters([Parameter("autostart", value=False)])[0]
    assert not refused.successful
    assert refused.reason


def test_small_nodes_refuse_misspelt_names_and_leave_those_of_other_nodes_alone() -> None:
    table = {"rate": (1.0, "how fast"), "topics": ([""], "which")}
    with (
        given("rat:=2.0") as node,
        pytest.raises(ConfigError, match=r"'rat' of sentryfuse; did you mean 'rate'"),
    ):
        declare(node, table)
    for wrong, remedy in (
        ("rate:=fast", "give a number"),
        ("topics:=5", "give a list of texts"),
        ("topics:=[1]", "give a list of texts"),
    ):
        with given(wrong) as node, pytest.raises(ConfigError, match=remedy):
            declare(node, table)
    with given("robot_radius:=0.4", "diagnostic_updater.period:=1.0", "camera.topic:=x", "rate:=2") as node:
        assert declare(node, table)["rate"] == 2.0


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
    default = list(option.default) if isinstance(option.default, tuple) else option.default
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
    table = lines[lines.index("| parameter | default | values | live | what it is |") :]
    documented = [line.split("`")[1] for line in table if line.startswith("| `")]
    assert documented == [option.path for option in options()]
