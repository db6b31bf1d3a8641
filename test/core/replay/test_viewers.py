"""What shows results elsewhere: rerun, and the layouts for Foxglove and RViz."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import bags
import pytest
import yaml

from sentryfuse_core.account.diagnostics import DIAGNOSTICS_TYPE
from sentryfuse_core.account.messages import DETECTIONS_TYPE, MARKERS_TYPE, STATUS_TYPE
from sentryfuse_core.bags.writer import ros2_typestore
from sentryfuse_core.cli import main
from sentryfuse_core.config import Config
from sentryfuse_core.replay import outputs
from sentryfuse_core.replay.session import Job, run_job
from sentryfuse_core.types import Modality

CONFIG = Path(__file__).parents[3] / "config"
TYPES = {
    outputs.DETECTIONS: DETECTIONS_TYPE,
    outputs.STATUS: STATUS_TYPE,
    outputs.MARKERS: MARKERS_TYPE,
    outputs.DIAGNOSTICS: DIAGNOSTICS_TYPE,
}


def strings(value: Any) -> Iterator[str]:
    """Every text in nested mappings and lists, keys included."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from strings(key)
            yield from strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from strings(item)
    elif isinstance(value, str):
        yield value


def test_foxglove_layout_names_only_topics_and_fields_that_are_published() -> None:
    layout = json.loads((CONFIG / "foxglove_layout.json").read_text())
    paths = [text for text in strings(layout["configById"]) if text.startswith("/")]
    assert {re.split(r"[.\[]", path)[0] for path in paths} == set(TYPES)
    store = ros2_typestore()
    for path in paths:
        topic, *fields = re.sub(r"\[[^]]*\]|\{[^}]*\}", "", path).split(".")
        type_name = TYPES[topic]
        for field in fields:
            known = dict(store.fielddefs[type_name][1])
            assert field in known, path
            inner = known[field]
            while isinstance(inner[1], tuple) and not isinstance(inner[1][0], str):
                inner = inner[1][0]
            type_name = inner[1] if isinstance(inner[1], str) else type_name


def test_foxglove_layout_shows_each_of_its_panels_once() -> None:
    layout = json.loads((CONFIG / "foxglove_layout.json").read_text())
    shown = [text for text in strings(layout["layout"]) if "!" in text]
    assert sorted(shown) == sorted(layout["configById"])
    assert layout["configById"]["3D!boxes"]["followTf"] == Config().output.base_frame


def test_rviz_names_only_topics_that_are_published() -> None:
    content = yaml.safe_load((CONFIG / "sentryfuse.rviz").read_text())
    assert {text for text in strings(content) if text.startswith("/")} == {outputs.MARKERS}
    assert content["Visualization Manager"]["Global Options"]["Fixed Frame"] == Config().output.base_frame


def test_view_says_what_to_install_when_rerun_is_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "rerun", None)
    assert main(["view", str(tmp_path)]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 1
    assert "pip install 'sentryfuse-python[view]'" in errors[0]


@pytest.mark.parametrize(
    "words", [["drive.mcap"], ["out", "--save", "out/results.mcap"], ["out", "--save", "out"]]
)
def test_view_leaves_files_alone_when_they_are_no_results_or_no_place_for_its_own(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rerun = ModuleType("rerun")
    rerun.RecordingStream = lambda *_, **__: None  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "rerun", rerun)
    monkeypatch.chdir(tmp_path)
    bag = bags.write(tmp_path / "drive.mcap", bags.drive([Modality.LIDAR], seconds=0.3))
    run_job(Job(bag=bag, out=tmp_path / "out"))
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert main(["view", *words]) == 2
    assert "; give " in capsys.readouterr().err
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("rerun") is None, reason="needs rerun-sdk")
def test_view_saves_boxes_states_and_what_the_sensors_saw(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    bag = bags.write(tmp_path / "drive.mcap", bags.drive([Modality.CAMERA, Modality.LIDAR], seconds=0.5))
    folder = run_job(Job(bag=bag, out=tmp_path / "out")).folder
    recording = tmp_path / "drive.rrd"
    assert main(["view", str(folder), "--save", str(recording)]) == 0
    assert "note:" not in capfd.readouterr().err
    printed = subprocess.run(
        [sys.executable, "-m", "rerun", "rrd", "print", str(recording)],
        check=True,
        capture_output=True,
        text=True,
        timeout=300,
    ).stdout
    for entity in ("/base/detections", "/base/points", "/camera", "/states/lidar", "/latency_ms/infer"):
        assert f"- {entity} -" in printed


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("rerun") is None, reason="needs rerun-sdk")
def test_view_says_so_when_the_recording_is_gone(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    bag = bags.write(tmp_path / "drive.mcap", bags.drive([Modality.LIDAR], seconds=0.3))
    folder = run_job(Job(bag=bag, out=tmp_path / "out")).folder
    bag.unlink()
    assert main(["view", str(folder / "results.mcap"), "--save", str(tmp_path / "drive.rrd")]) == 0
    assert "drive.mcap" in capfd.readouterr().err
    assert (tmp_path / "drive.rrd").stat().st_size > 1000
