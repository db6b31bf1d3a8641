"""`sentryfuse train`: what it writes can be loaded and says how it was made; bad options are named."""

from __future__ import annotations

import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from networks import TINY, labelled, network

from sentryfuse_core.cli import main
from sentryfuse_core.model.checkpoint import load_checkpoint, save_checkpoint
from sentryfuse_core.runtime.bank import Bank
from sentryfuse_core.types import ModalitySet

LABELS = ["car", "pedestrian", "cyclist"]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tiny network on random frames: the world and the real network take minutes."""

    def batch(*_: Any, step: int = 0, **__: Any) -> Any:
        return labelled(step % 5, batch=8)

    monkeypatch.setattr("sentryfuse_core.lab.commands.train_world.TRAINED_SHAPE", TINY)
    monkeypatch.setattr(
        "sentryfuse_core.lab.commands.train_world.held_out", lambda *_, **__: [labelled(9, batch=2)]
    )
    monkeypatch.setattr("sentryfuse_core.lab.training.trainer.make_batch", batch)
    monkeypatch.setattr("sentryfuse_core.lab.training.trainer.with_room", lambda batch, _world: batch)


@pytest.mark.usefixtures("small")
def test_train_writes_weights_that_load_when_it_is_done(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "mine.safetensors"
    assert main(["train", str(out), "--steps", "2", "--batch", "8", "--seed", "3", "--evaluate", "8"]) == 0
    checkpoint = load_checkpoint(out)
    manifest = checkpoint.manifest
    assert (manifest["steps"], manifest["seed"]) == (2, 3)
    assert manifest["command"].startswith("sentryfuse train mine.safetensors --steps 2 --batch 8 --seed 3")
    assert str(tmp_path) not in (tmp_path / "mine.json").read_text(encoding="utf-8")
    recall, prior = Bank(checkpoint).recall(ModalitySet.all(), 1)
    assert 0.0 <= recall <= 1.0
    assert 0.0 <= prior <= 1.0
    said = capsys.readouterr().out
    assert "camera+lidar+imu+audio" in said
    assert "evaluating 16 frames (worlds come 16 at a time)" in said
    # With no time left it only evaluates.
    assert main(["train", str(out), "--resume", "--minutes", "0", "--batch", "8", "--seed", "3"]) == 0
    assert load_checkpoint(out).manifest["sha256"] == manifest["sha256"]


@pytest.mark.usefixtures("small")
def test_train_leaves_weights_as_they_are_when_it_starts_from_some_and_has_no_time(tmp_path: Path) -> None:
    first, again = tmp_path / "first.safetensors", tmp_path / "again.safetensors"
    assert main(["train", str(first), "--steps", "1", "--batch", "8"]) == 0
    assert main(["train", str(again), "--init", str(first), "--minutes", "0", "--batch", "8"]) == 0
    before, after = load_checkpoint(first), load_checkpoint(again)
    assert before.tensors.keys() == after.tensors.keys()
    assert all(torch.equal(item, after.tensors[name]) for name, item in before.tensors.items())


@pytest.mark.usefixtures("small")
def test_train_scores_only_the_sensors_and_resumes_with_no_others_when_some_are_given(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "mine.safetensors"
    assert main(["train", str(out), "--steps", "1", "--batch", "8", "--sensors", "camera+imu"]) == 0
    manifest = load_checkpoint(out).manifest
    scored = {row["sensors"] for row in manifest["evaluation"]["rows"]}
    assert scored == {"none", "camera", "imu", "camera+imu"}
    assert "--sensors camera+imu" in manifest["command"]
    assert "lidar" not in capsys.readouterr().out
    assert main(["train", str(out), "--steps", "2", "--batch", "8", "--resume"]) == 2
    assert "of sensors camera+imu, this run of camera+lidar+imu+audio" in capsys.readouterr().err


@pytest.mark.usefixtures("small")
def test_train_takes_over_what_fits_when_it_starts_from_weights_of_another_shape(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    start, out = tmp_path / "start.safetensors", tmp_path / "mine.safetensors"
    save_checkpoint(start, network(4, shape=replace(TINY, fine_channels=8)), {"labels": LABELS})
    command = ["train", str(out), "--init", str(start), "--steps", "1", "--batch", "8"]
    assert main([*command, "--learning-rate", "1e-9"]) == 0
    before, after = load_checkpoint(start), load_checkpoint(out)
    assert after.manifest["init"] == before.identity
    assert "--init start.safetensors" in after.manifest["command"]
    torch.testing.assert_close(after.tensors["lidar.token.weight"], before.tensors["lidar.token.weight"])
    assert after.tensors["head.maps.weight"].shape != before.tensors["head.maps.weight"].shape
    fresh = capsys.readouterr().out.splitlines()[0]
    assert "head.maps.weight" in fresh
    assert "lidar.token.weight" not in fresh


@pytest.mark.usefixtures("small")
def test_train_saves_its_state_when_it_is_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = []

    def interrupting(*_: Any, **__: Any) -> Any:
        made.append(0)
        if len(made) == 15:  # beyond those that are made before the first step
            signal.raise_signal(signal.SIGTERM)
        return labelled(0, batch=8)

    monkeypatch.setattr("sentryfuse_core.lab.training.trainer.make_batch", interrupting)
    out = tmp_path / "mine.safetensors"
    assert main(["train", str(out), "--steps", "40", "--batch", "8"]) == 128 + signal.SIGTERM
    assert "with --resume goes on" in capsys.readouterr().err
    assert (tmp_path / "mine" / "state.safetensors").exists()
    assert main(["train", str(out), "--steps", "10", "--batch", "8", "--resume"]) == 0
    assert "resumed at step" in capsys.readouterr().out


@pytest.mark.usefixtures("small")
def test_train_learns_slower_and_resumes_with_no_other_when_it_starts_from_trained_weights(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    start, out = tmp_path / "start.safetensors", tmp_path / "mine.safetensors"
    save_checkpoint(start, network(4), {"labels": LABELS})
    assert main(["train", str(out), "--init", str(start), "--steps", "1", "--batch", "8"]) == 0
    assert "--learning-rate 0.0005" in load_checkpoint(out).manifest["command"]
    assert main(["train", str(out), "--steps", "2", "--batch", "8", "--resume"]) == 2
    assert "of init start" in capsys.readouterr().err


@pytest.mark.usefixtures("small")
def test_train_resumes_with_other_lengths_alone_when_options_differ(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "mine.safetensors"
    command = ["train", str(out), "--batch", "8", "--evaluate", "8"]
    assert main([*command, "--steps", "1"]) == 0
    state = (tmp_path / "mine" / "state.safetensors").read_bytes()
    for option, was, now in (
        ("--batch", "8", "16"),
        ("--learning-rate", "0.003", "0.001"),
        ("--seed", "0", "1"),
        ("--lidar-first", "0.0", "0.2"),
    ):
        assert main([*command, "--steps", "2", "--resume", option, now]) == 2
        name = option.removeprefix("--").replace("-", "_")
        assert f"is of {name} {was}, this run of {now}; give what it was started" in capsys.readouterr().err
    assert (tmp_path / "mine" / "state.safetensors").read_bytes() == state
    free = ["--minutes", "0", "--save-every", "7", "--threads", "1", "--evaluate", "16", "--bf16"]
    assert main([*command, *free, "--resume"]) == 0
    assert "resumed at step 1" in capsys.readouterr().out


def test_train_refuses_several_processes_when_it_trains_a_detector(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert main(["train", str(tmp_path / "mine.safetensors"), "--steps", "1"]) == 2
    assert "torchrun started 2 processes, and a detector is trained by one" in capsys.readouterr().err


def test_train_refuses_weights_of_other_classes_when_it_starts_from_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    start = tmp_path / "start.safetensors"
    save_checkpoint(start, network(4), {"labels": ["tree", "rock", "gate"]})
    assert main(["train", "mine.safetensors", "--init", str(start)]) == 2
    assert "knows tree, rock, gate" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["w.safetensors", "--init", "nowhere.safetensors"], "no weights at nowhere.safetensors"),
        (["w.safetensors", "--init", "x.safetensors", "--data", "arrays.npz"], "a classifier starts anew"),
        (["weights.pt"], "weights.pt"),
        (["w.safetensors", "--batch", "4"], "--batch 4"),
        (["w.safetensors", "--minutes", "-1"], "--minutes -1"),
        (["w.safetensors", "--minutes", "0"], "--minutes 0 of random weights trains nothing"),
        (["w.safetensors", "--minutes", "0", "--init", "none"], "give a time, --steps, --resume, or --init"),
        (["w.safetensors", "--data", "nope.npz"], "nope.npz"),
        (["w.safetensors", "--data", "nowhere/"], "nowhere"),
        (["w.safetensors", "--sensors", "camera+sonar"], "--sensors camera+sonar"),
        (["w.safetensors", "--resume", "--state", "nowhere"], "nowhere"),
        (["w.safetensors", "--format", "bag"], "--format is of training on recordings; give --data FOLDER"),
        (["w.safetensors", "--node", "/a"], "--node is of training on recordings; give --data FOLDER"),
        (["w.safetensors", "--minutes", "5", "--steps", "9"], "--minutes 5 and --steps 9 both say how long"),
        (["w.safetensors", "--cache", "x"], "--cache is of training on recordings; give --data FOLDER"),
    ],
)
def test_train_exits_with_2_and_leaves_nothing_when_an_option_is_wrong(
    options: list[str],
    named: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["train", *options]) == 2
    error = capsys.readouterr().err
    assert named in error
    assert error.count("\n") == 1
    assert not [*tmp_path.iterdir()]
