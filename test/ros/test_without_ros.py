"""What is said where a part of ROS is missing, and what is let through."""

from __future__ import annotations

import sys

import pytest

from sentryfuse_core.errors import ConfigError, NotInstalledError
from sentryfuse_ros import executables
from sentryfuse_ros.without_ros import needs_ros


def test_extra_is_the_remedy_when_rclpy_would_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rclpy", None)
    expected = r"^player needs ROS 2 \(.*rclpy.*sentryfuse-python\[ros\]"
    with pytest.raises(NotInstalledError, match=expected), needs_ros("player", own_messages=False):
        pass


def test_ros_build_is_the_remedy_when_the_own_messages_are_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sentryfuse.msg", None)
    expected = r"pip alone does not build .* workspace .* `make setup`$"
    with pytest.raises(NotInstalledError, match=expected), needs_ros("node"):
        pass


def test_package_is_named_when_a_message_is_missing_later() -> None:
    with pytest.raises(NotInstalledError, match="No module named 'nowhere_msgs'"), needs_ros("node"):
        raise ModuleNotFoundError("No module named 'nowhere_msgs'", name="nowhere_msgs.msg")


@pytest.mark.parametrize("error", [ModuleNotFoundError("torch", name="torch"), ConfigError("a: 1")])
def test_error_is_let_through_when_it_is_none_of_ros(error: Exception) -> None:
    with pytest.raises(type(error)) as caught, needs_ros("node"):
        raise error
    assert caught.value is error


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (
            "--params-file robot.yaml",
            "warning: fusion_node ignores --params-file robot.yaml: give --ros-args",
        ),
        ("a --ros-args -p b:=1 -- c --ros-args -r d:=e", "warning: fusion_node ignores a c: give --ros-args"),
        ("--ros-args -p b:=1 --log-level info", ""),
        ("", ""),
    ],
)
def test_ignored_arguments_are_told_when_they_are_outside_of_ros_args(
    words: str, told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["fusion_node", *words.split()])
    monkeypatch.setitem(sys.modules, "rclpy", None)
    assert executables.fusion_node() == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == (2 if told else 1)
    assert lines[0].startswith(told or "error: fusion_node needs ROS 2")
