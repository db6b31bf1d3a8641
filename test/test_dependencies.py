"""What pyproject.toml, requirements.txt and package.xml ask for: one and the same, and what is imported."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parent.parent
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
ROSDEP = {  # rosdep's key, and what pip calls it
    "python3-matplotlib": "matplotlib",
    "python3-numpy": "numpy",
    "python3-opencv": "opencv-python-headless",
    "python3-rich": "rich",
    "python3-yaml": "pyyaml",
}
BY_PIP_ALONE = {"torch", "safetensors", "rosbags", "lz4", "backports.zstd", "lap"}  # package.xml says why
UNSEEN = {
    "rosidl_default_runtime",  # the messages in msg/
}
NOT_ASKED_FOR = {
    "audio_common_msgs",  # a driver's own, one of two
    "sentryfuse",  # made from msg/
    "tf",  # of ROS 1, in recordings
}


def needs() -> dict[str, Requirement]:
    """Dependencies and the extras `ros` and `lab` of pyproject.toml by name, but for an optional rival."""
    extras = PROJECT["optional-dependencies"]
    texts = [*PROJECT["dependencies"], *extras["ros"], *extras["lab"]]
    return {found.name.lower(): found for found in map(Requirement, texts) if found.name != "torch-pruning"}


def pins() -> list[Requirement]:
    """What requirements.txt pins."""
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


def test_development_environment_pins_what_the_package_asks_for_within_its_bounds() -> None:
    assert {pin.name.lower() for pin in pins()} == set(needs())
    for pin in pins():
        (exact,) = pin.specifier
        need = needs()[pin.name.lower()]
        assert exact.operator == "=="
        assert need.specifier.contains(exact.version), f"{pin} is not within {need}"
        assert pin.extras == need.extras


@pytest.mark.parametrize("minor", range(10, 15))
def test_supported_python_is_one_that_constraints_were_written_for(minor: int) -> None:
    assert Requirement(f"python{PROJECT['requires-python']}").specifier.contains(f"3.{minor}.1")
    constraints = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    assert f'python_version == "3.{minor}"' in constraints


def test_package_xml_asks_for_what_is_imported() -> None:
    manifest = (ROOT / "package.xml").read_text(encoding="utf-8")
    asked = set(re.findall(r"<(?:exec_)?depend>(\w[\w-]*)<", manifest))
    python = {name for name in asked if name.startswith("python3-")}
    assert python == set(ROSDEP)
    assert {ROSDEP[name] for name in python} | BY_PIP_ALONE == {
        Requirement(text).name.lower() for text in PROJECT["dependencies"]
    }
    assert asked - python - UNSEEN == ros_packages() - NOT_ASKED_FOR


def ros_packages() -> set[str]:
    """Packages of ROS that nodes and launch files import, or name in the types of messages."""
    libraries = {
        "rich",
        "numpy",
        "torch",
        "yaml",
        "sentryfuse_core",
        "sentryfuse_ros",
        *sys.stdlib_module_names,
    }
    found: set[str] = set()
    for folder in ("sentryfuse_ros", "launch"):
        for path in (ROOT / folder).glob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Import):
                    found.update(alias.name.partition(".")[0] for alias in node.names)
                elif isinstance(node, ast.ImportFrom) and node.module:
                    found.add(node.module.partition(".")[0])
    for folder in ("sentryfuse_ros", "sentryfuse_core"):
        for path in (ROOT / folder).rglob("*.py"):
            found.update(re.findall(r'"(\w+)/msg/\w+"', path.read_text(encoding="utf-8")))
    for path in (ROOT / "msg").glob("*.msg"):
        found.update(re.findall(r"^(\w+)/\w+", path.read_text(encoding="utf-8"), re.MULTILINE))
    return found - libraries
