"""The demo command from end to end: three processes, real DDS, a story and its judgement."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sentryfuse_core.replay.readers import BagReader
from sentryfuse_core.replay.records import read_results
from sentryfuse_core.types import Modality, ModalitySet
from sentryfuse_ros import cli

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.ros, pytest.mark.capability("demo over real DDS")]

ALL = ModalitySet.all()
BLIND = ALL - ModalitySet.of(Modality.CAMERA)
STORY = """
name: tiny
seconds: 6
events:
  - {at_s: 2, until_s: 6, stream: camera, fault: drop}
actions:
  - {at_s: 4.5, power_w: 8}
stretches:
  - {name: all sensors, at_s: 0, until_s: 2, expect: [camera, lidar, imu, audio], settle_s: 1}
  - {name: camera dies, at_s: 2, until_s: 4.5, expect: [lidar, imu, audio], settle_s: 1.5}
  - {name: power runs short, at_s: 4.5, until_s: 6, expect: [lidar, imu, audio], settle_s: 0.5, level: 1}
"""


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The demo with a short story; its world is recorded by the first test that uses it."""
    folder = tmp_path_factory.mktemp("demo")
    story = folder / "tiny.yaml"
    story.write_text(STORY, encoding="utf-8")
    return [sys.executable, "-m", "sentryfuse_ros.cli", "demo", "--no-view", "--scenario", str(story),
            "--cache", str(folder / "worlds")]  # fmt: skip


@pytest.fixture
def started(command: list[str], tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """The demo running, its output going to a file."""
    with (tmp_path / "said.txt").open("w", encoding="utf-8") as said:
        process = subprocess.Popen(
            [*command, "--out", str(tmp_path / "out")], stdout=said, stderr=said, text=True
        )
        yield process
        process.kill()
        process.wait()


@pytest.mark.slow
def test_demo_shows_every_stretch_and_ends_well_when_the_story_is_played(
    command: list[str], tmp_path: Path
) -> None:
    picture = tmp_path / "view.svg"
    more = ["--out", str(tmp_path / "out"), "--screenshot", str(picture), "--screenshot-at", "4"]
    run = subprocess.run([*command, *more], capture_output=True, text=True, timeout=180, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    records = list(read_results(tmp_path / "out" / "results.mcap"))
    assert {ALL, BLIND} <= {record.used for record in records}
    levels = {record.level for record in records}
    assert min(levels) == 0 < max(levels)
    assert any(record.detections for record in records if record.used == BLIND)
    with BagReader(tmp_path / "out" / "results.mcap") as reader:
        recorded = {topic.name for topic in reader.topics()}
    assert recorded >= {"/sentryfuse/detections", "/sentryfuse/status", "/sentryfuse/markers", "/diagnostics"}
    for text in ("camera dies", "power runs short", "results.mcap", "report.html"):
        assert text in run.stdout
    assert "camera dies" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "camera: drop" in picture.read_text(encoding="utf-8").replace("&#160;", " ")


@pytest.mark.slow
def test_demo_leaves_readable_results_when_interrupted(
    started: subprocess.Popen[str], tmp_path: Path
) -> None:
    said = tmp_path / "said.txt"
    deadline = time.monotonic() + 120.0
    while "used camera" not in said.read_text(encoding="utf-8"):
        assert started.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.1)  # the output is a file: there is nothing to wait on
    started.send_signal(signal.SIGINT)
    assert started.wait(timeout=120) == 130
    assert "results.mcap" in said.read_text(encoding="utf-8")
    assert list(read_results(tmp_path / "out" / "results.mcap"))


def test_demo_names_the_scenario_and_exits_2_when_it_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["demo", "--scenario", str(tmp_path / "none.yaml")]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "none.yaml" in error


def test_demo_refuses_a_folder_that_holds_something_when_given_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    world = tmp_path / "world"
    world.mkdir()
    monkeypatch.setattr("sentryfuse_ros.demo.cached_world", lambda *_, **__: _World(world))
    assert cli.main(["demo", "--out", str(tmp_path)]) == 2
    assert "not empty" in capsys.readouterr().err


class _World:
    def __init__(self, folder: Path) -> None:
        self.bag, self.labels = folder / "world.mcap", folder / "labels.jsonl"


def test_help_needs_no_ros_when_asked_for(tmp_path: Path) -> None:
    """Core's commands, and the list of all, work where rclpy is broken."""
    (tmp_path / "rclpy.py").write_text("raise ImportError('blocked')\n", encoding="utf-8")
    environment = os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    for words in (["--help"], ["params", "health"]):
        command = [sys.executable, "-m", "sentryfuse_ros.cli", *words]
        run = subprocess.run(
            command, capture_output=True, text=True, env=environment, timeout=120, check=False
        )
        assert run.returncode == 0, run.stderr
        assert run.stdout
