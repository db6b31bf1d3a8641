"""`sentryfuse adapt`: a recording without labels teaches, what does not gain is not written."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import bags
import pytest
from networks import TINY, network

from sentryfuse_core.cli import main
from sentryfuse_core.lab.commands.adapt import NOT_GAINED
from sentryfuse_core.model.checkpoint import load_checkpoint, save_checkpoint
from sentryfuse_core.types import Modality, ModalitySet


@pytest.fixture(scope="module")
def drive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bit of the synthetic world; its labels lie beside it."""
    folder = tmp_path_factory.mktemp("drive")
    assert main(["world", "record", "--seed", "5", "--seconds", "1.2", str(folder)]) == 0
    return folder


@pytest.fixture
def start(tmp_path: Path) -> Path:
    """Weights of a small network that knows nothing."""
    path = tmp_path / "start.safetensors"
    save_checkpoint(path, network(4), {"labels": ["car", "pedestrian", "cyclist"]})
    return path


def adapt(out: Path, recording: Path, start: Path, *options: str) -> int:
    own = [
        "--init",
        str(start),
        "--batch",
        "8",
        "--rehearse",
        "0",
        "--teacher",
        "clustering",
        "--threads",
        "1",
    ]
    return main(["adapt", str(recording), "--out", str(out), *own, *options])


def test_adapt_writes_weights_and_where_from_when_they_gained(
    tmp_path: Path,
    drive: Path,
    start: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    # A few steps of a small network gain by chance alone; what counts as a gain is tested by itself.
    monkeypatch.setattr("sentryfuse_core.lab.commands.adapt_report.gained", lambda _: True)
    out = tmp_path / "mine.safetensors"
    assert adapt(out, drive, start, "--steps", "2", "--keep-back", "0.3") == 0
    manifest = load_checkpoint(out).manifest
    adapted = manifest["adapted"]
    assert adapted["teacher"] == "clustering"
    assert [one["name"] for one in adapted["recordings"]] == [drive.name]
    assert adapted["recordings"][0]["frames"] >= 8
    assert adapted["recordings"][0]["frames"] <= 13
    assert {row["sensors"] for row in adapted["labels"]} == {"camera", "lidar", str(ModalitySet.all())}
    assert len(manifest["evaluation"]["rows"]) == 15 * 2
    assert str(tmp_path) not in json.dumps(manifest)
    assert json.loads((tmp_path / "mine" / "report.json").read_text())["gained"] is True
    told = capsys.readouterr().out
    assert "agreement with the teacher" in told
    assert "mAP by labels" in told


def test_adapt_goes_on_when_it_is_resumed_and_refuses_another_course(
    tmp_path: Path, drive: Path, start: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "mine.safetensors"
    adapt(out, drive, start, "--steps", "1")
    adapt(out, drive, start, "--steps", "2", "--resume")
    assert "resumed at step 1" in capsys.readouterr().out
    assert len((tmp_path / "mine" / "curve.csv").read_text().splitlines()) == 1 + 2
    assert adapt(out, drive, start, "--steps", "3", "--resume", "--keep-back", "0.4") == 2
    assert "keep_back" in capsys.readouterr().err
    assert adapt(out, drive, start, "--steps", "3", "--resume", "--set", "model.max_detections=40") == 2
    assert "lessons_sha256" in capsys.readouterr().err


def test_adapt_says_before_it_reads_a_recording_when_there_is_nothing_to_resume(
    tmp_path: Path, start: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert adapt(tmp_path / "mine.safetensors", tmp_path / "unread.mcap", start, "--resume") == 2
    assert "cannot resume: no state in" in capsys.readouterr().err


def test_adapt_judges_by_the_teacher_and_writes_nothing_when_a_recording_without_labels_gains_nothing(
    tmp_path: Path, drive: Path, start: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, bare = tmp_path / "mine.safetensors", tmp_path / "bare.mcap"
    bare.symlink_to(drive / "world.mcap")
    assert adapt(out, bare, start, "--minutes", "0") == NOT_GAINED
    assert not out.exists()
    told = capsys.readouterr().out
    assert "no labels: judged by agreement alone" in told
    assert "is not written" in told
    assert "labels" not in json.loads((tmp_path / "mine" / "report.json").read_text())


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--init", "none"], "weights that know nothing cannot be adapted"),
        (["--detector", "mine.onnx"], "--detector and --detector-classes go together"),
        (["--detector", "mine.onnx", "--detector-classes", "lorry=1"], "--detector-classes lorry=1"),
        (["--keep-back", "0.9"], "--keep-back 0.9"),
        (["--minutes", "25", "--steps", "3"], "--minutes 25 and --steps 3 both say how long to train"),
        (["--map", "nonsense"], "nonsense"),
    ],
)
def test_adapt_exits_with_2_and_one_line_when_an_option_is_wrong(
    tmp_path: Path, drive: Path, options: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["adapt", str(drive), "--out", str(tmp_path / "mine.safetensors"), *options]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert told in line


def test_adapt_is_refused_when_the_recording_has_no_lidar(
    tmp_path: Path, start: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bags.write(tmp_path / "blind.mcap", bags.drive([Modality.CAMERA], seconds=0.5))
    assert adapt(tmp_path / "mine.safetensors", tmp_path / "blind.mcap", start) == 2
    assert "lidar" in capsys.readouterr().err


def test_adapt_judges_by_labels_when_one_of_two_recordings_has_some(
    tmp_path: Path, drive: Path, start: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bare = tmp_path / "bare.mcap"
    shutil.copy(drive / "world.mcap", bare)  # one recording is not taken twice
    out = ["--out", str(tmp_path / "mine.safetensors"), "--init", str(start), "--teacher", "clustering"]
    assert main(["adapt", str(bare), str(drive), *out, "--rehearse", "0", "--minutes", "0"]) == NOT_GAINED
    assert "mAP by labels" in capsys.readouterr().out


def test_adapt_is_refused_when_the_weights_know_other_classes(
    tmp_path: Path, drive: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other.safetensors"
    labels = ["car", "pedestrian", "cyclist", "animal"]
    save_checkpoint(other, network(4, shape=replace(TINY, classes=4)), {"labels": labels})
    assert adapt(tmp_path / "mine.safetensors", drive, other) == 2
    assert "animal; what is taught is car, pedestrian, cyclist" in capsys.readouterr().err
