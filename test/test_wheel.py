"""The package as pip installs it alone: built from an sdist, into an environment that has no ROS."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, PathDistribution, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from sentryfuse_core.cli import CORE_COMMANDS
from sentryfuse_ros.cli import ROS_COMMANDS

pytestmark = [pytest.mark.capability("wheel without ROS"), pytest.mark.slow]
ROOT = Path(__file__).resolve().parent.parent
SOURCES = (
    "LICENSE",
    "README.md",
    "pyproject.toml",
    "setup.py",
    "config",
    "msg",
    "sentryfuse_core",
    "sentryfuse_ros",
)
NODES = ("fusion_node", "player_node", "fault_injector_node")
ROS = (
    "rclpy",
    "sentryfuse",
    "sensor_msgs",
    "std_msgs",
    "vision_msgs",
    "tf2_ros",
    "cv_bridge",
    "message_filters",
)
# Runs `sentryfuse` once for each line of words; tells exit statuses and the parts of ROS that were asked for.
PROBE = f"""
import importlib.abc, json, sys
asked = []
class Recorder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {ROS!r}:
            asked.append(name)
sys.meta_path.insert(0, Recorder())
from sentryfuse_ros.cli import main
statuses = []
for words in json.loads(sys.argv[1]):
    try:
        statuses.append(main(words))
    except SystemExit as end:
        statuses.append(end.code)
print(json.dumps([statuses, asked]), file=sys.stderr)
"""


@dataclass(frozen=True)
class Installed:
    """The wheel, and an environment with it and what it asks for."""

    wheel: Path
    bin: Path

    def run(self, command: str, *words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
        """Run one of the environment's programs, without anything of this one's environment."""
        environment = {"PATH": f"{self.bin}:/usr/bin:/bin", "HOME": os.environ.get("HOME", "/")}
        return subprocess.run(
            [self.bin / command, *words],
            cwd=cwd,
            env={**environment, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            check=False,
        )

    def probe(self, *lines: Sequence[str], cwd: Path) -> tuple[list[int], list[str]]:
        """Exit statuses of several `sentryfuse` commands in one process; the parts of ROS they asked for."""
        done = self.run("python", "-c", PROBE, json.dumps(lines), cwd=cwd)
        assert done.returncode == 0, done.stderr
        statuses, asked = json.loads(done.stderr.splitlines()[-1])
        return statuses, asked


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """Build an sdist of the checkout, a wheel of the sdist, and install that without its dependencies."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, source)
    build = "import sys; from setuptools import build_meta; build_meta.build_sdist(sys.argv[1])"
    run([sys.executable, "-c", build, str(folder)], cwd=source)
    (sdist,) = folder.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder / "unpacked", filter="data")
    (unpacked,) = (folder / "unpacked").iterdir()
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    run([*pip, "wheel", "--no-deps", "--no-index", "--no-build-isolation", "-w", str(folder), str(unpacked)])
    (wheel,) = folder.glob("*.whl")
    environment = folder / "environment"
    run([sys.executable, "-m", "venv", "--without-pip", str(environment)])
    python = str(environment / "bin" / "python")
    run([*pip, "--python", python, "install", "--no-deps", "--no-index", "--no-compile", str(wheel)])
    (site_packages,) = environment.glob("lib/python*/site-packages")
    (metadata,) = site_packages.glob("*.dist-info")
    link_dependencies(PathDistribution(metadata), site_packages)
    return Installed(wheel, environment / "bin")


def run(command: list[str], *, cwd: Path | None = None) -> None:
    """Run a step of the fixture; what it printed is the error's text."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def link_dependencies(package: Distribution, site_packages: Path) -> None:
    """Link in what the package says that it needs, and what that needs, from the tests' own environment.

    No index is asked, and nothing else can be imported: a dependency that is not declared is missing.
    """
    wanted, seen = [package], set()
    while wanted:
        for text in wanted.pop().requires or ():
            requirement = Requirement(text)
            marker = requirement.marker
            if requirement.name in seen or (marker and not marker.evaluate({"extra": ""})):
                continue
            seen.add(requirement.name)
            try:
                needed = distribution(requirement.name)
            except PackageNotFoundError:
                pytest.skip(f"needs the environment of `make setup`: no wheel of {requirement.name}")
            assert not requirement.name.startswith("ros-")
            wanted.append(needed)
            for top in {file.parts[0] for file in needed.files or ()} - {"..", "__pycache__"}:
                if not (site_packages / top).exists():
                    (site_packages / top).symlink_to(Path(str(needed.locate_file(top))))


def test_wheel_carries_every_shared_file_when_built_from_an_sdist(installed: Installed) -> None:
    with zipfile.ZipFile(installed.wheel) as archive:
        carried = set(archive.namelist())
    shared = [path for top in ("msg", "config") for path in (ROOT / top).rglob("*") if path.is_file()]
    assert {f"sentryfuse_core/share/{path.relative_to(ROOT).as_posix()}" for path in shared} <= carried
    weights = [path.name for path in (ROOT / "sentryfuse_core" / "weights").iterdir() if path.is_file()]
    assert {f"sentryfuse_core/weights/{name}" for name in weights} <= carried


def test_help_answers_when_there_is_no_ros(installed: Installed, tmp_path: Path) -> None:
    names = [command.name for command in (*CORE_COMMANDS, *ROS_COMMANDS)]
    statuses, asked = installed.probe(*([name, "--help"] for name in names), cwd=tmp_path)
    assert dict(zip(names, statuses, strict=True)) == dict.fromkeys(names, 0)
    assert asked == []
    for program in ("sentryfuse", *NODES):
        done = installed.run(program, "--help", cwd=tmp_path)
        assert (done.returncode, done.stderr) == (0, ""), program
        assert done.stdout.startswith("usage: "), program


def test_replay_runs_when_there_is_no_ros(installed: Installed, tmp_path: Path) -> None:
    statuses, asked = installed.probe(
        ["world", "record", "world", "--seconds", "2"],
        ["replay", "world", "--out", "results", "--scenario", "camera_freezes", "--no-clean",
         "--criteria", "config/criteria.yaml", "--quiet"],
        cwd=tmp_path,
    )  # fmt: skip
    assert statuses[0] == 0
    assert statuses[1] in {0, 1}  # two seconds need not reach the criteria
    assert asked == []
    sets = (tmp_path / "results" / "sets.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(sets) >= 15
    assert sum(len(json.loads(line)["detections"]) for line in sets) > 0
    assert (tmp_path / "results" / "results.mcap").stat().st_size > 0


@pytest.mark.parametrize(
    "words", [("train", "mine.safetensors"), ("eval", "--frames", "16"), ("bench", "runtime", "--out", "out")]
)
def test_workshop_names_its_extra_when_it_is_not_installed(
    installed: Installed, words: tuple[str, ...], tmp_path: Path
) -> None:
    done = installed.run("sentryfuse", *words, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"sentryfuse: error: `sentryfuse {words[0]}` needs what the robot does without "
        "(No module named 'scipy'): pip install 'sentryfuse-python[lab]'\n"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "program", [("sentryfuse", command.name) for command in ROS_COMMANDS] + [(n,) for n in NODES]
)
def test_program_names_ros_and_the_remedy_when_there_is_none(
    installed: Installed, program: tuple[str, ...], tmp_path: Path
) -> None:
    done = installed.run(*program, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert "needs ROS 2 (No module named 'rclpy')" in line
    assert "source a ROS 2 workspace" in line
