"""A recording from start to finish: labels found, the clean run compared, criteria judged, files written."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import bags
import pytest

from sentryfuse_core.cli import main
from sentryfuse_core.config import Config, override
from sentryfuse_core.replay.finish import summary_rows
from sentryfuse_core.replay.session import Job, run_job
from sentryfuse_core.types import Modality

SECONDS = 3.0
STORY = f"""
name: camera_dies
seconds: {SECONDS}
events:
  - {{at_s: 1, until_s: 2, stream: camera, fault: drop}}
  - {{at_s: 1, until_s: 2, stream: lidar, fault: drop}}
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A drive of the synthetic world, with labels and a scenario beside it."""
    folder = tmp_path_factory.mktemp("world")
    assert main(["world", "record", str(folder), "--seconds", str(SECONDS), "--seed", "4"]) == 0
    (folder / "story.yaml").write_text(STORY)
    return folder


def metrics(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "metrics.json").read_text())
    return content


@pytest.mark.slow
def test_session_compares_with_the_clean_run_when_faults_are_injected(world: Path, tmp_path: Path) -> None:
    job = Job(bag=world / "world.mcap", out=tmp_path / "out", scenario=world / "story.yaml")
    folder = run_job(job).folder
    found = metrics(folder)
    accuracy = found["accuracy"]
    assert 0.0 <= accuracy["overall"]["relative_map"] < 1.0
    assert accuracy["masks"]["camera+lidar+imu+audio"]["relative_map"] == pytest.approx(1.0, abs=0.3)
    assert accuracy["cells"].keys() >= {"camera+lidar+imu+audio @ 0", "imu+audio @ 0"}
    assert (folder / "clean" / "results.mcap").is_file()
    for item in found["faults"]:
        assert 0.0 < item["noticed_after_s"] < 0.5
        assert item["state_before"] == "OK"
    assert found["false_alarms"]["count"] == 0
    shown = (folder / "report.html").read_text()
    assert "drop on camera" in shown
    assert "of clean" in shown


def test_session_says_so_when_no_label_is_near_any_set(tmp_path: Path) -> None:
    bag = bags.write(tmp_path / "a.mcap", bags.drive([Modality.IMU], seconds=0.5))
    labels = tmp_path / "labels.jsonl"
    begin = r"none of its 1 labelled moments .* they begin at 5 ns, the sets at 1\d{11} ns"
    for text, why in (('{"stamp_ns": 5, "boxes": []}\n', begin), ("", "it labels no moment")):
        labels.write_text(text)
        done = run_job(Job(bag=bag, out=tmp_path / f"out{len(text)}"))
        (note,) = [item for item in done.result.notes if "labels.jsonl" in item]
        assert re.search(f"nothing was scored: {why}", note)
        assert note in metrics(done.folder)["notes"]


def test_session_names_the_recording_for_other_folders_when_it_was_named_from_this_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bag = bags.write(tmp_path / "a.mcap", bags.drive([Modality.IMU], seconds=0.2))
    monkeypatch.chdir(tmp_path)
    run_job(Job(bag=Path("a.mcap"), out=Path("out")))
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["bag"]["path"] == str(bag)


def test_session_names_the_backend_when_other_backends_would_round_otherwise(tmp_path: Path) -> None:
    bag = bags.write(tmp_path / "a.mcap", bags.drive([Modality.LIDAR], seconds=0.3))
    done = run_job(Job(bag=bag, out=tmp_path / "out", config=override(Config(), {"model.backend": "eager"})))
    manifest = json.loads((done.folder / "manifest.json").read_text())
    assert (manifest["backend"], manifest["device"]) == ("eager", "cpu")
    reason = "eager: asked for by model.backend"
    assert reason in (done.folder / "report.html").read_text()
    assert f"on cpu, {reason}" in dict(summary_rows(done.folder, done.result))["network"]


def test_session_tells_each_run_by_itself_when_it_plays_a_clean_one_too(tmp_path: Path) -> None:
    bag = bags.write(tmp_path / "a.mcap", bags.drive([Modality.IMU], seconds=0.5))
    (tmp_path / "labels.jsonl").write_text('{"stamp_ns": 5, "boxes": []}\n')
    (tmp_path / "story.yaml").write_text(STORY.replace("at_s: 1", "at_s: 0.1"))
    told: dict[str, tuple[float, float]] = {}
    run_job(
        Job(bag=bag, out=tmp_path / "out", scenario=tmp_path / "story.yaml"),
        progress=lambda what, done_s, total_s, _sets: told.update({what: (done_s, total_s)}),
    )
    assert list(told) == ["replay", "and without the faults"]
    assert set(told.values()) == {(0.49, 0.49)}


def test_session_has_not_ended_when_it_is_interrupted_in_the_clean_run(tmp_path: Path) -> None:
    bag = bags.write(tmp_path / "a.mcap", bags.drive([Modality.IMU], seconds=0.5))
    (tmp_path / "labels.jsonl").write_text('{"stamp_ns": 5, "boxes": []}\n')
    (tmp_path / "story.yaml").write_text(STORY.replace("at_s: 1", "at_s: 0.1"))
    told: list[str] = []
    done = run_job(
        Job(bag=bag, out=tmp_path / "out", scenario=tmp_path / "story.yaml"),
        progress=lambda what, *_: told.append(what),
        stop=lambda: "and without the faults" in told,
    )
    assert not done.result.interrupted
    assert done.suite.failures[0] == "played to the end: interrupted in the run without the faults"


@pytest.mark.slow
def test_command_fails_with_a_line_each_when_criteria_are_not_met(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    criteria = tmp_path / "criteria.yaml"
    criteria.write_text("coverage_min: 0.9\nmap_min: 0.999\ndetection_delay_max_s: {drop: 0.5}\n")
    words = [
        "replay",
        str(world / "world.mcap"),
        "--seconds",
        "1.5",
        "--criteria",
        str(criteria),
        "--no-clean",
    ]
    story = ["--scenario", str(world / "story.yaml")]
    assert main([*words, *story, "--out", str(tmp_path / "out")]) == 1
    printed = capsys.readouterr()
    errors = [line for line in printed.err.splitlines() if not line.startswith("replay ")]
    assert len(errors) == 1
    assert errors[0].startswith("failed: world: map_min: 0.")
    assert any(line.split() == ["criteria", "3", "of", "4", "met"] for line in printed.out.splitlines())
    assert not (tmp_path / "out" / "clean").exists()
    suite = ET.parse(tmp_path / "out" / "junit.xml").getroot()[0]  # noqa: S314 - our own file
    assert (suite.get("name"), suite.get("tests"), suite.get("failures")) == ("world", "5", "1")
    verdicts = metrics(tmp_path / "out")["criteria"]
    assert [item["passed"] for item in verdicts] == [True, True, False, True]


@pytest.mark.parametrize(
    ("event", "several", "failed"),
    [
        ("{at_s: 0.1, until_s: 0.3, stream: lidar, fault: drop}", False, ()),
        ("{at_s: 0.1, stream: imu, fault: drop}", False, ("the recording has no such sensor",)),
        ("{at_s: 5, stream: lidar, fault: drop}", False, ("only 0.4 s were played",)),
        ("{at_s: 0.1, stream: /top, fault: drop}", False, ("give one of /",)),
        ("{at_s: 0.3, until_s: 0.305, stream: lidar, fault: drop}", False, ()),
        ("{at_s: 0.31, until_s: 0.315, stream: lidar, fault: drop}", False, ("no message came then",)),
        ("{at_s: 0.1, stream: imu, fault: drop}", True, ("the recording has no such sensor",) * 2),
    ],
    ids=["injected", "no sensor", "too late", "no topic", "one message", "no message", "several"],
)
def test_command_fails_when_a_fault_of_the_scenario_was_not_injected(
    event: str, several: bool, failed: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Else a release would count as tested against a fault that it never met."""
    names = ["a.mcap", "b.mcap"] if several else ["a.mcap"]
    paths = [bags.write(tmp_path / name, bags.drive([Modality.LIDAR], seconds=0.5)) for name in names]
    known = "{at_s: 0.4, stream: lidar, fault: delay, delay_s: 0.001}"
    (tmp_path / "story.yaml").write_text(f"seconds: 9\nevents:\n  - {event}\n  - {known}\n")
    (tmp_path / "criteria.yaml").write_text("coverage_min: 0.1\n")
    words = ["--scenario", str(tmp_path / "story.yaml"), "--criteria", str(tmp_path / "criteria.yaml")]
    status = main(["replay", *map(str, paths), *words, "--out", str(tmp_path / "out"), "--quiet"])
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("failed:")]
    assert status == (1 if failed else 0)
    assert len(told) == len(failed)
    for line, why in zip(told, failed, strict=True):
        assert "injected_min: 0.5 (drop of " in line
        assert why in line


@pytest.mark.slow
def test_session_takes_labels_from_elsewhere_when_told(world: Path, tmp_path: Path) -> None:
    alone = tmp_path / "alone.mcap"
    alone.hardlink_to(world / "world.mcap")
    without = run_job(Job(bag=alone, out=tmp_path / "without", seconds=0.5))
    assert without.result.metrics["accuracy"] is None
    assert "No labels were given" in (without.folder / "report.html").read_text()
    labels = world / "labels.jsonl"
    given = run_job(Job(bag=alone, out=tmp_path / "given", seconds=0.5, labels=labels))
    assert given.result.metrics["accuracy"]["overall"]["boxes"] > 0
