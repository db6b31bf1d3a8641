"""Several recordings at once, in processes and on a Ray cluster, whatever becomes of one."""

from __future__ import annotations

import importlib.util
import json
import multiprocessing
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import bags
import pytest
import signalled

from sentryfuse_core.cli import main
from sentryfuse_core.commands.verdicts import exit_status
from sentryfuse_core.errors import BackendError, OutputError
from sentryfuse_core.replay import cluster, many
from sentryfuse_core.replay.criteria import Criterion, Verdict
from sentryfuse_core.replay.junit import Suite
from sentryfuse_core.replay.many import Outcome, attempt, jobs_for, run_processes
from sentryfuse_core.replay.records import read_results
from sentryfuse_core.replay.session import Job
from sentryfuse_core.types import Modality

RAY = importlib.util.find_spec("ray")
PASSED = Suite(name="a", verdicts=())
FAILED = Suite(name="b", verdicts=(Verdict(Criterion("map_min", "", 0.5), 0.1, passed=False, why=""),))
MISSING = Suite(name="c", verdicts=(), error="there is no such file")
needs_ray = pytest.mark.skipif(RAY is None, reason="needs ray")


@pytest.fixture
def recordings(tmp_path: Path) -> list[Path]:
    """A drive, a file that is none, and a walk."""
    drive = bags.write(tmp_path / "drive.mcap", bags.drive([Modality.LIDAR, Modality.IMU], seconds=0.5))
    walk = bags.write(tmp_path / "walk.mcap", bags.drive([Modality.CAMERA], seconds=0.5))
    broken = tmp_path / "broken.mcap"
    broken.write_bytes(b"no recording")
    return [drive, broken, walk]


def local_cluster(jobs: list[Job], stop: Callable[[], bool] = lambda: False) -> Iterator[Outcome]:
    return cluster.run_on_cluster(jobs, address=cluster.LOCAL, workers=1, stop=stop)


def processes(jobs: list[Job], stop: Callable[[], bool] = lambda: False) -> Iterator[Outcome]:
    return run_processes(jobs, workers=1, stop=stop)


@pytest.mark.slow
@pytest.mark.parametrize("start", [processes, pytest.param(local_cluster, marks=needs_ray)])
def test_others_are_replayed_when_one_recording_fails(
    start: Callable[[list[Job]], Iterator[Outcome]], recordings: list[Path], tmp_path: Path
) -> None:
    found = {
        outcome.suite.name: outcome for outcome in start(jobs_for(recordings, Job(bag=Path()), out=tmp_path))
    }
    assert set(found) == {"drive", "broken", "walk"}
    assert "broken.mcap" in found["broken"].suite.error
    for name in ("drive", "walk"):
        assert found[name].suite.error == ""
        assert found[name].metrics["sets"] >= 4
        assert (tmp_path / name / "report.html").is_file()


def test_defect_is_an_outcome_when_a_recording_brings_it_to_light(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run_job(_job: Job, **_options: object) -> None:
        raise ZeroDivisionError("division\nby zero")

    monkeypatch.setattr(many, "run_job", run_job)
    outcome = attempt(Job(bag=Path("drive.mcap"), name="drive"))
    assert outcome.suite.failures == ("played to the end: ZeroDivisionError: division by zero",)
    assert "in run_job" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("start", [processes, pytest.param(local_cluster, marks=needs_ray)])
def test_recordings_are_left_readable_when_stopped(
    start: Callable[..., Iterator[Outcome]], recordings: list[Path], tmp_path: Path
) -> None:
    jobs = jobs_for([recordings[0], recordings[2]], Job(bag=Path()), out=tmp_path / "out")
    found = list(start(jobs, stop=lambda: True))
    assert len(found) == 2
    assert all("interrupted" in outcome.suite.error for outcome in found)
    for results in tmp_path.glob("out/*/results.mcap"):
        list(read_results(results))


@pytest.mark.slow
def test_command_writes_one_summary_and_one_junit_when_given_several(
    recordings: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    criteria = tmp_path / "criteria.yaml"
    criteria.write_text("coverage_min: 0.5\nmap_min: 0.1\n")
    words = ["replay", *map(str, recordings), "--jobs", "2", "--criteria", str(criteria)]
    assert main([*words, "--out", str(tmp_path / "out")]) == 2
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())["recordings"]
    assert [row["folder"] for row in summary] == ["drive", "broken", "walk"]
    assert not any(row["passed"] for row in summary)
    top = ET.parse(tmp_path / "out" / "junit.xml").getroot()  # noqa: S314 - our own file
    assert [suite.get("name") for suite in top] == ["drive", "broken", "walk"]
    assert (top.get("failures"), top.get("errors")) == ("2", "1")
    shown = capsys.readouterr()
    assert "walk" in shown.out
    (unplaced,) = (note for note in summary[0]["notes"] if note.startswith("no /tf_static"))
    assert summary[1]["notes"] == []
    assert f"note (drive, walk): {unplaced}" in shown.out
    assert [row["missing"] for row in summary] == [["camera", "audio"], [], ["lidar", "imu", "audio"]]
    assert "note (walk): lidar is not in the recording" in shown.out
    assert "note (drive, walk): audio is not in the recording" in shown.out
    failures = [line for line in shown.err.splitlines() if line.startswith("failed:")]
    assert len(failures) == 3
    assert "failed: drive: map_min: not measured" in failures[0]


@pytest.mark.slow
def test_summary_tells_what_was_injected_when_a_scenario_missed_a_recording(
    recordings: list[Path], tmp_path: Path
) -> None:
    story = tmp_path / "story.yaml"
    event = "{at_s: 0.1, until_s: 0.3, stream: lidar, fault: drop}"
    story.write_text(f"name: lidar_dies\nseconds: 0.5\nevents:\n  - {event}\n")
    words = ["replay", *map(str, recordings), "--scenario", str(story), "--out", str(tmp_path / "out")]
    assert main([*words, "--quiet"]) == 2
    rows = json.loads((tmp_path / "out" / "summary.json").read_text())["recordings"]
    drive, broken, walk = (row["injected"] for row in rows)
    assert (drive["named"], drive["reached"]) == (1, 1)
    assert broken is None
    assert (walk["named"], walk["reached"], len(walk["missed"])) == (1, 0, 1)


def test_outcomes_are_shown_when_the_summary_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(path: Path, _suites: Sequence[Suite]) -> None:
        raise OutputError(f"cannot write {path}: No space left on device")

    monkeypatch.setattr("sentryfuse_core.commands.replay_many.write_junit", full)
    paths = [tmp_path / f"{name}.mcap" for name in "ab"]  # which are not there
    assert main(["replay", *map(str, paths), "--out", str(tmp_path / "out")]) == 2
    shown = capsys.readouterr()
    assert shown.out.count("FAILED") == 2
    assert "summary:" not in shown.out
    assert "failed: b: played to the end: no recording" in shown.err
    assert shown.err.splitlines()[-1].endswith("No space left on device")


@pytest.mark.parametrize(
    ("suites", "status"),
    [
        ([PASSED, PASSED], 0),
        ([PASSED, FAILED], 1),
        ([PASSED, MISSING], 2),
        ([FAILED, MISSING, PASSED], 2),
    ],
)
def test_status_is_of_the_worst_when_there_are_several(suites: Sequence[Suite], status: int) -> None:
    assert exit_status(suites) == status


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_command_closes_every_file_when_signalled_with_its_whole_group(
    number: signal.Signals, tmp_path: Path
) -> None:
    paths = [
        bags.write(tmp_path / f"{name}.mcap", bags.drive([Modality.LIDAR], seconds=20.0)) for name in "abc"
    ]
    out = tmp_path / "out"
    words = ["replay", *map(str, paths), "--jobs", "2", "--out", str(out), "--quiet"]
    signalled.end(words, number, lambda: any(out.glob("*/sets.jsonl")), group=True)
    began = list(out.glob("*/sets.jsonl"))
    assert began
    for lines in began:
        assert len(list(read_results(lines.with_name("results.mcap")))) == len(lines.read_text().splitlines())
    rows = json.loads((out / "summary.json").read_text())["recordings"]
    assert len(rows) == 3
    assert all("interrupted" in row["failures"][0] for row in rows)


@pytest.mark.slow
def test_every_recording_has_an_outcome_when_a_process_dies(tmp_path: Path) -> None:
    paths = [
        bags.write(tmp_path / f"{name}.mcap", bags.drive([Modality.LIDAR], seconds=20.0)) for name in "abc"
    ]
    killed: list[Any] = []

    def one_dies() -> bool:
        if not killed and any(tmp_path.glob("out/*/sets.jsonl")):
            killed.append(multiprocessing.active_children()[0])
            killed[0].kill()
        return False

    jobs = jobs_for(paths, Job(bag=Path()), out=tmp_path / "out")
    found = list(run_processes(jobs, workers=2, stop=one_dies))
    assert killed
    assert len(found) == 3
    assert all("died" in outcome.suite.error for outcome in found)
    assert not list(tmp_path.glob("out/*/junit.xml"))  # the other did not go on for nobody


def test_names_have_the_folder_when_recordings_are_called_the_same(tmp_path: Path) -> None:
    found = jobs_for(
        [Path("a/world.mcap"), Path("b/world.mcap"), Path("c.db3")], Job(bag=Path()), out=tmp_path
    )
    assert [job.name for job in found] == ["a_world", "b_world", "c"]
    assert found[0].out == tmp_path / "a_world"


def test_names_keep_what_is_no_ending_when_folders_have_dots(tmp_path: Path) -> None:
    paths = [Path("v1.0"), Path("v1.1"), Path("walk_2.mcap.zstd")]
    found = jobs_for(paths, Job(bag=Path()), out=tmp_path)
    assert [job.name for job in found] == ["v1.0", "v1.1", "walk_2"]


@pytest.mark.parametrize(
    ("paths", "why"), [(["a.mcap", "./a.mcap"], "twice"), (["x/a/w.mcap", "y/a/w.mcap"], "rename")]
)
def test_names_that_clash_are_refused(paths: list[str], why: str, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=why):
        jobs_for([Path(path) for path in paths], Job(bag=Path()), out=tmp_path)


def test_only_the_recordings_that_clash_are_named_when_names_clash(tmp_path: Path) -> None:
    paths = [Path("a/sound.mcap"), Path("a/walk.mcap"), Path("a/walk.bag")]
    with pytest.raises(OutputError, match=r"\(\S+walk.mcap, \S+walk.bag\)"):
        jobs_for(paths, Job(bag=Path()), out=tmp_path)


def test_cluster_says_what_to_install_when_ray_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(BackendError, match=r"pip install 'sentryfuse-python\[cluster\]'"):
        list(local_cluster([]))
