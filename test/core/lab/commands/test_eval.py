"""`sentryfuse eval`: what it writes and says; bad options are named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from networks import network
from worlds import LABELS, conditioned

from sentryfuse_core.cli import main
from sentryfuse_core.model.checkpoint import save_checkpoint


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tiny random network; the world is random frames."""

    def batches(*_: Any, first: int, count: int, **__: Any) -> list[Any]:
        return [conditioned(first % 97 + index, batch=2) for index in range(count)]

    monkeypatch.setattr("sentryfuse_core.lab.training.data.held_out", batches)
    path = tmp_path / "tiny.safetensors"
    save_checkpoint(path, network(), {"labels": list(LABELS)})
    return path


def test_eval_writes_matrix_and_picture_when_all_sets_are_scored(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sentryfuse_core.lab.scoring.conditions.LEAST_FRAMES", 1)
    options = ["--frames", "16", "--fit-frames", "16", "--draws", "5", "--out", str(tmp_path / "out")]
    options += ["--single", f"camera={weights}", "--single", f"lidar={weights}"]
    assert main(["eval", "--weights", str(weights), *options]) == 0
    text = (tmp_path / "out" / "eval.json").read_text(encoding="utf-8")
    content = json.loads(text)
    assert {"name", "command", "machine", "versions", "commit", "date", "rows", "raw"} <= set(content)
    levels = network().shape.levels
    subsets = {(cell["what"], cell["level"]) for cell in content["raw"]["cells"]}
    assert [row["sensor"] for row in content["raw"]["support_named"]] == ["camera", "lidar"]
    assert {("none", 0), ("camera+lidar+imu+audio", levels - 1)} <= subsets
    names = {name for name, _ in subsets}
    assert {"clustering lidar", "oracle camera", "zeros lidar", "own camera+imu"} <= names
    assert {"late camera+lidar+imu+audio", "late own camera+lidar", "late lidar+audio"} <= names
    assert "late own camera+audio" not in names
    whats = [row["what"] for row in content["rows"]]
    assert "mean mAP over the 12 sets with camera or lidar, level 0" in whats
    assert "mAP of oracle camera" in whats
    assert "gain by the IMU on rough ground, mean of 6, level 0" in whats
    assert str(tmp_path) not in text
    assert (tmp_path / "out" / "dropout.png").stat().st_size > 10_000
    said = capsys.readouterr().out
    assert "camera+lidar+imu+audio" in said
    assert "mAP by day" in said
    assert "of 2 frames (fit: on 2 others)" in said
    assert "note: calibrators fitted on 2 frames are for a look" in said


def test_eval_scores_only_what_is_asked_when_sets_and_levels_are_given(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = [
        "--frames",
        "1",
        "--fit-frames",
        "0",
        "--masks",
        "lidar+camera,none",
        "--levels",
        "1",
        "--no-references",
    ]
    assert main(["eval", "--weights", str(weights), *options, "--out", str(tmp_path)]) == 0
    content = json.loads((tmp_path / "eval.json").read_text(encoding="utf-8"))
    assert content["config"]["frames"] == 16  # worlds come so many at a time
    assert "--frames 16 --fit-frames 0" in content["command"]
    said = capsys.readouterr()
    assert "note: worlds come 16 at a time: --frames 1 is 16 frames" in said.out
    assert "--fit-frames 0 is" not in said.out
    assert "is not compared: 1 by day, 1 by night, 1 on rough ground" in said.out
    assert "mAP by day" not in said.out
    assert "calibrators" not in said.out
    assert "?" not in said.err
    own = {(cell["what"], cell["level"]) for cell in content["raw"]["cells"]}
    assert own == {("camera+lidar", 1), ("none", 1)}
    assert all(cell["calibrator"] is None for cell in content["raw"]["cells"])
    assert content["command"].endswith(
        "--masks lidar+camera,none --levels 1 --no-references --weights tiny.safetensors --out "
        + tmp_path.name
    )


def test_eval_refuses_its_folder_when_results_of_another_run_lie_there(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Other files do not matter, and nothing is scored first."""
    out = tmp_path / "out"
    out.mkdir()
    (out / "tracks.json").write_text("mine")
    (out / "eval.json").write_text("mine")
    assert main(["eval", "--weights", str(weights), "--out", str(out)]) == 2
    assert f"{out / 'eval.json'} is of another run; give a new folder to --out" in capsys.readouterr().err
    assert main(["eval", "--weights", str(weights), "--tracks", "--out", str(out)]) == 2
    assert main(["eval", "--data", str(out), "--weights", str(weights), "--out", str(out)]) == 2
    assert "no known layout" in capsys.readouterr().err
    (out / "frame_000000.png").write_text("mine")
    assert main(["eval", "--data", str(out), "--weights", str(weights), "--draw", str(out)]) == 2
    assert "give a new folder to --draw" in capsys.readouterr().err
    assert {path.read_text() for path in out.iterdir()} == {"mine"}


def test_eval_writes_runs_and_aims_when_tracks_are_scored(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--tracks", "--drives", "1", "--seconds", "12", "--weights", str(weights)]
    assert main(["eval", *options, "--out", str(tmp_path / "out")]) == 0
    text = (tmp_path / "out" / "tracks.json").read_text(encoding="utf-8")
    content = json.loads(text)
    assert {"name", "command", "machine", "versions", "commit", "date", "rows", "raw"} <= set(content)
    assert [run["name"] for run in content["raw"]["runs"]][-2:] == ["all gone for 1 s", "lidar gone for 10 s"]
    assert [row["target"] for row in content["rows"]][:6] == [95.0, 1.2, 0.4, 90.0, 5.0, None]
    assert content["command"] == (
        "sentryfuse eval --tracks --drives 1 --seconds 12 --seed 0 --device cpu --weights tiny.safetensors "
        "--out out"
    )
    assert str(tmp_path) not in text
    assert "tracks on held-out drives" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--tracks", "--drives", "0"], "--drives 0"),
        (["--tracks", "--seconds", "5"], "--seconds 5"),
        (["--tracks", "--device", "abacus"], "--device abacus"),
        (["--tracks", "--seed", "-1"], "--seed -1"),
        (["--tracks", "--masks", "lidar"], "--masks is not for --tracks"),
        (["--tracks", "--fit-frames", "16"], "--fit-frames is not for --tracks"),
        (["--tracks", "--world", "v3"], "--world is not for --tracks"),
        (["--tracks", "--no-references"], "--no-references is not for --tracks"),
        (["--drives", "3"], "--drives is of --tracks; give that, too"),
        (["--drawings", "3"], "--drawings is of real data; give --data PATH with it"),
        (["--node", "/a"], "--node is of real data; give --data PATH with it"),
        (["--lidar-height", "0"], "--lidar-height is of real data; give --data PATH with it"),
        (["--frames", "0"], "--frames 0"),
        (["--fit-frames", "-1"], "--fit-frames -1"),
        (["--masks", "radar"], "'radar'"),
        (["--levels", "9"], "--levels 9"),
        (["--levels", "x"], "--levels 'x'"),
        (["--device", "abacus"], "--device abacus"),
        (["--single", "imu=x"], "--single imu=x"),
    ],
)
def test_eval_names_the_option_when_it_is_wrong(
    weights: Path, options: list[str], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["eval", "--weights", str(weights), *options]) == 2
    assert named in capsys.readouterr().err


@pytest.mark.parametrize(
    "options",
    [["--frames", "1"], ["--policies", "--frames", "1"], ["--tracks", "--drives", "1", "--seconds", "12"]],
)
def test_eval_refuses_weights_when_they_know_other_classes_than_the_world(
    tmp_path: Path, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "own.safetensors"
    save_checkpoint(path, network(), {"labels": ["forklift", "pedestrian", "cyclist"]})
    assert main(["eval", "--weights", str(path), *options]) == 2
    assert "knows forklift, pedestrian, cyclist, and the synthetic world has car" in capsys.readouterr().err
