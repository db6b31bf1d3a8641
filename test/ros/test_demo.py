"""The demo command from end to end: three processes, real DDS, a story and its judgement."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from networks import shipped_levels
from programs import Program

from sentryfuse_core.bags.readers import BagReader
from sentryfuse_core.replay.records import read_results
from sentryfuse_core.types import Modality, ModalitySet
from sentryfuse_ros import cli

pytestmark = [pytest.mark.ros, pytest.mark.capability("demo over real DDS")]

ALL = ModalitySet.all()
NARROWEST = shipped_levels() - 1
BLIND = ALL - ModalitySet.of(Modality.CAMERA)
DROP_S, LOW_S, END_S = 2.0, 4.5, 6.0
INCOMPLETE = 1  # exit status
PACES = (1.0, 2.0, 4.0)  # slower where other programs keep the nodes from following the story


def story(pace: float) -> dict[str, Any]:
    """The camera dies, and then power runs so short that only the narrowest network is left."""
    lidar_imu_audio = ["lidar", "imu", "audio"]
    drop_s, low_s, end_s = pace * DROP_S, pace * LOW_S, pace * END_S

    def stretch(name: str, at_s: float, until_s: float, expect: list[str], **more: object) -> dict[str, Any]:
        return {"name": name, "at_s": at_s, "until_s": until_s, "expect": expect, **more}

    return {
        "name": "tiny",
        "seconds": end_s,
        "events": [{"at_s": drop_s, "until_s": end_s, "stream": "camera", "fault": "drop"}],
        "actions": [{"at_s": low_s, "power_w": 1}],
        "stretches": [
            stretch("all sensors", 0.0, drop_s, ["camera", *lidar_imu_audio], settle_s=pace),
            stretch("camera dies", drop_s, low_s, lidar_imu_audio, settle_s=1.5 * pace),
            stretch("power runs short", low_s, end_s, lidar_imu_audio, settle_s=0.5 * pace, level=NARROWEST),
        ],
    }


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the recordings of the world are kept; the first demo that needs one makes it."""
    return tmp_path_factory.mktemp("worlds")


def demo(folder: Path, worlds: Path, *, pace: float = 1.0) -> list[str]:
    """The command with the short story; `folder` gets the story and the results."""
    folder.mkdir()
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump(story(pace)), encoding="utf-8")
    return [sys.executable, "-m", "sentryfuse_ros.cli", "demo", "--no-view", "--scenario", str(path),
            "--cache", str(worlds), "--out", str(folder / "out")]  # fmt: skip


@pytest.mark.slow
def test_demo_shows_every_stretch_and_ends_well_when_the_story_is_played(
    worlds: Path, tmp_path: Path
) -> None:
    for pace in PACES:
        folder = tmp_path / f"pace_{pace:g}"
        picture, out = tmp_path / "view.svg", folder / "out"
        words = [*demo(folder, worlds, pace=pace), "--screenshot", str(picture)]
        words += ["--screenshot-at", str(pace * (DROP_S + LOW_S) / 2)]
        with Program(words) as told:
            status = told.wait()
        if status != INCOMPLETE:
            break
    assert status == 0, told.output
    records = list(read_results(out / "results.mcap"))
    assert {ALL, BLIND} <= {record.used for record in records}
    levels = {record.level for record in records}
    assert min(levels) == 0 < max(levels)
    assert any(record.detections for record in records if record.used == BLIND)
    with BagReader(out / "results.mcap") as reader:
        recorded = {topic.name for topic in reader.topics()}
    assert recorded >= {"/sentryfuse/detections", "/sentryfuse/status", "/sentryfuse/markers", "/diagnostics"}
    for text in ("camera dies", "power runs short", "results.mcap", "report.html"):
        assert text in told.output
    assert "camera dies" in (out / "report.html").read_text(encoding="utf-8")
    assert "camera: drop" in picture.read_text(encoding="utf-8").replace("&#160;", " ")


@pytest.mark.slow
def test_demo_leaves_readable_results_when_interrupted(worlds: Path, tmp_path: Path) -> None:
    for pace in PACES:
        folder = tmp_path / f"pace_{pace:g}"
        with Program(demo(folder, worlds, pace=pace)) as told:
            told.wait_for(lambda: "used camera" in told.output or told.ended, "a set with the camera")
            status = told.end(signal.SIGINT)
        if status != INCOMPLETE:
            break
    assert status == 130, told.output
    assert "results.mcap" in told.output
    assert list(read_results(folder / "out" / "results.mcap"))


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
        run = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        assert run.returncode == 0, run.stderr
        assert run.stdout
