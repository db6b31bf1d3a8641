"""`sentryfuse train --data`: what it writes loads and plans, it survives death, and says what is wrong."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from sentryfuse_core.cli import main
from sentryfuse_core.lab.bench.recipe import read_recipe
from sentryfuse_core.lab.training.curve import Curve
from sentryfuse_core.lab.training.fit_state import read_saved
from sentryfuse_core.pruning.nested_checkpoint import load_nested

ROOT = Path(__file__).resolve().parents[4]
RECIPE = {
    "dim": 8,
    "heads": 2,
    "kv_heads": 2,
    "ffn": 16,
    "layers": {"trunk": 1},
    "steps": 20,
    "first": 0.4,
    "batch": 8,
    "calibration": 16,
    "ratios": [0.5],
}
SETS = [["a"], ["b"], ["a", "b"]]


class KilledError(Exception):
    pass


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classes, two modalities, and the recipe beside them."""
    folder = tmp_path_factory.mktemp("data")
    write_data(folder / "mine.npz")
    (folder / "tiny.yaml").write_text(yaml.safe_dump(RECIPE), encoding="utf-8")
    return folder / "mine.npz"


def write_data(path: Path, *, seed: int = 0, **more: Any) -> Path:
    rng = np.random.default_rng(seed)
    label = np.arange(60) % 3
    np.savez(
        path,
        a=rng.normal(size=(60, 4, 2)) + label[:, None, None],
        b=rng.normal(size=(60, 3)) - label[:, None],
        label=label,
        split=np.repeat(["train", "val", "test"], (36, 12, 12)),
        **more,
    )
    return path


def train(out: Path, data: Path, *options: str) -> int:
    recipe = data.with_name("tiny.yaml")
    return main(["train", str(out), "--data", str(data), "--recipe", str(recipe), *options])


def rows(state: Path) -> list[list[str]]:
    with (state / "curve.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


@pytest.fixture(scope="module")
def whole(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The weights of a run that nothing interrupted, of seed 3."""
    out = tmp_path_factory.mktemp("whole") / "net.safetensors"
    assert train(out, data, "--seed", "3") == 0
    return out


def sha256(out: Path) -> str:
    return str(load_nested(out).manifest["sha256"])


def test_train_writes_a_classifier_that_plans_and_answers(whole: Path) -> None:
    loaded = load_nested(whole)
    inputs = {"b": torch.zeros(2, 3, 1)}
    plan = loaded.gate.plan(present={"b"}, ratio=0.5)
    small = loaded.network.at(plan)
    assert small(inputs).shape == (2, 3)
    assert sum(item.numel() for item in small.parameters()) < sum(
        item.numel() for item in loaded.network.parameters()
    )
    assert loaded.modalities == ("a", "b")


def test_train_tells_of_a_class_that_a_judged_split_lacks(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    members = dict(np.load(data))
    members["label"][48:] = np.arange(12) % 2
    np.savez(tmp_path / "mine.npz", **members)
    (tmp_path / "tiny.yaml").write_text(data.with_name("tiny.yaml").read_text(), encoding="utf-8")
    assert train(tmp_path / "net.safetensors", tmp_path / "mine.npz") == 0
    notes = [line for line in capsys.readouterr().out.splitlines() if line.startswith("note: ")]
    assert len(notes) == 1
    assert notes[0].startswith("note: test of mine has no sample of class ")


def test_manifest_says_how_it_was_made_without_paths_of_this_machine(whole: Path, data: Path) -> None:
    text = whole.with_suffix(".json").read_text(encoding="utf-8")
    manifest = json.loads(text)
    assert manifest["command"] == (
        "sentryfuse train net.safetensors --data mine.npz --recipe tiny.yaml --backbone trunk "
        "--design uniform --seed 3"
    )
    assert str(data.parent) not in text
    assert str(whole.parent) not in text
    assert manifest["recipe"]["steps"] == 20
    assert manifest["classes"] == ["0", "1", "2"]
    assert manifest["train_macs"] > 0
    assert "load_npz" in manifest["inputs"]
    for split, count in (("val", 12), ("test", 12)):
        scored = manifest["evaluation"][split]
        assert scored["samples"] == count
        assert [(row["present"], row["ratio"]) for row in scored["rows"]] == [
            (present, ratio) for present in SETS for ratio in (0.0, 0.5)
        ]
        assert all(0.0 <= row["balanced_accuracy_percent"] <= 100.0 for row in scored["rows"])


def test_curve_has_one_row_a_step_when_training_is_done(whole: Path) -> None:
    head, *steps = rows(whole.with_suffix(""))
    assert head == ["step", "stage", "progress", "learning_rate", "loss"]
    for stage in ("dense", "nested"):
        part = [row for row in steps if row[1] == stage]
        assert [int(row[0]) for row in part] == list(range(1, len(part) + 1))
        progress = [float(row[2]) for row in part]
        assert progress == sorted(progress)
        assert 0.0 <= progress[0] < progress[-1] < 1.0
    assert [row[1] for row in steps] == sorted(row[1] for row in steps)


def test_train_prints_every_set_and_ratio_when_it_only_resumes_a_finished_run(
    whole: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before, curve = sha256(whole), rows(whole.with_suffix(""))
    assert train(whole, data, "--seed", "3", "--resume") == 0
    printed = capsys.readouterr().out
    for line in ("val, 12 samples", "test, 12 samples", "a+b", "mean over all sets", "50 %", str(whole)):
        assert line in printed
    assert sha256(whole) == before
    assert rows(whole.with_suffix("")) == curve


@contextlib.contextmanager
def interrupted(stage: str, step: int, do: Callable[[], None]) -> Iterator[None]:
    """Do something within, once that step is in the curve."""
    add = Curve.add

    def added(curve: Curve, row: Sequence[object]) -> None:
        add(curve, row)
        if list(row[:2]) == [step, stage]:
            do()

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Curve, "add", added)
        yield


@pytest.mark.parametrize(("stage", "step"), [("dense", 1), ("dense", 3), ("nested", 1), ("nested", 4)])
def test_train_ends_with_the_same_weights_when_it_dies_and_resumes(
    stage: str, step: int, whole: Path, data: Path, tmp_path: Path
) -> None:
    def die() -> None:
        raise KilledError

    out = tmp_path / "net.safetensors"
    with interrupted(stage, step, die), pytest.raises(KilledError):
        train(out, data, "--seed", "3", "--save-every", "1e-9")
    assert not out.exists()
    with (tmp_path / "net" / "curve.csv").open("a", encoding="utf-8") as file:
        file.write(f"{step + 1},{stage},0.")  # what a buffer may leave of a row
    assert train(out, data, "--seed", "3", "--resume") == 0
    assert sha256(out) == sha256(whole)
    assert rows(tmp_path / "net") == rows(whole.with_suffix(""))


def test_train_saves_its_state_before_it_ends_when_signalled(
    whole: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "net.safetensors"
    with interrupted("nested", 2, lambda: os.kill(os.getpid(), signal.SIGTERM)):
        assert train(out, data, "--seed", "3") == 128 + signal.SIGTERM
    assert "--resume goes on" in capsys.readouterr().err
    saved = read_saved(tmp_path / "net")
    assert saved is not None
    assert (saved.stage, saved.step) == ("nested", 2)
    assert train(out, data, "--seed", "3", "--resume") == 0
    assert sha256(out) == sha256(whole)


KILLED = """
import os, signal, sys
from sentryfuse_core.cli import main
from sentryfuse_core.lab.training.curve import Curve

add = Curve.add

def killed(curve, row):
    add(curve, row)
    if row[:2] == [2, "nested"]:
        os.kill(os.getpid(), signal.SIGKILL)

Curve.add = killed
main(sys.argv[1:])
"""


@pytest.mark.slow
def test_train_ends_with_the_same_weights_when_the_process_is_killed(
    whole: Path, data: Path, tmp_path: Path
) -> None:
    out, recipe = tmp_path / "net.safetensors", data.with_name("tiny.yaml")
    words = ["train", str(out), "--data", str(data), "--recipe", str(recipe), "--threads", "1", "--seed", "3"]
    command = [sys.executable, "-c", KILLED, *words, "--save-every", "1e-9"]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL, check=False)
    assert done.returncode == -signal.SIGKILL
    assert not out.exists()
    assert main([*words, "--resume"]) == 0
    assert sha256(out) == sha256(whole)


def test_train_starts_anew_when_it_is_not_asked_to_resume(whole: Path, data: Path, tmp_path: Path) -> None:
    out, state = tmp_path / "net.safetensors", whole.with_suffix("")
    shutil.copytree(state, tmp_path / "net")
    assert train(out, data, "--seed", "4", "--backbone", "bottleneck", "--design", "conditioned") == 0
    loaded = load_nested(out)
    assert loaded.gate.design == "conditioned"
    assert loaded.manifest["shape"]["backbone"] == "bottleneck"
    assert [row[0] for row in rows(tmp_path / "net")][1] == "1"


def test_resume_names_what_differs_when_the_state_is_of_another_run(
    whole: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, seed, steps in (("other", 1, 20), ("longer", 0, 21)):
        (tmp_path / name).mkdir()
        write_data(tmp_path / name / "mine.npz", seed=seed)
        text = yaml.safe_dump({**RECIPE, "steps": steps})
        (tmp_path / name / "tiny.yaml").write_text(text, encoding="utf-8")
    for file, options, told in (
        (data, ("--seed", "4"), "seed 3, this run of 4"),
        (data, ("--seed", "3", "--backbone", "branches"), "backbone trunk, this run of branches"),
        (data, ("--seed", "3", "--design", "shared"), "design uniform, this run of shared"),
        (tmp_path / "other" / "mine.npz", ("--seed", "3"), "data_sha256"),
        (tmp_path / "longer" / "mine.npz", ("--seed", "3"), "recipe.steps 20, this run of 21"),
    ):
        assert train(whole, file, *options, "--resume") == 2
        error = capsys.readouterr().err
        assert told in error
        assert "train without --resume" in error
        assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["w.pt", "--data", "DATA"], ("w.pt", "w.safetensors")),
        (["w.safetensors", "--data", "none.npz"], ("none.npz does not exist",)),
        (["w.safetensors", "--data", "bad.npz"], ("bad.npz is no readable .npz", "numpy.savez")),
        (["w.safetensors", "--data", "many.npz"], ("has 9 modalities, at most 8", "join")),
        (["w.safetensors", "--data", "DATA", "--resume"], ("no state in w ", "train without --resume")),
        (["file/w.safetensors", "--data", "DATA"], ("cannot make the folder file", "choose another OUT")),
        (["w.safetensors", "--data", "DATA", "--state", "file"], ("cannot make the folder file", "--state")),
        (
            ["w.safetensors", "--data", "DATA", "--backbone", "tree"],
            ("'tree'", "trunk, branches, bottleneck"),
        ),
        (["w.safetensors", "--data", "DATA", "--recipe", "none.yaml"], ("none.yaml",)),
        (["w.safetensors", "--data", "DATA", "--save-every", "0"], ("--save-every 0", "above 0")),
        (["w.safetensors", "--data", "DATA", "--minutes", "5"], ("--minutes", "the recipe says it")),
        (["w.safetensors", "--data", "DATA", "--minutes", "0"], ("--minutes", "the recipe says it")),
        (["w.safetensors", "--data", "DATA", "--lidar-first", "0"], ("--lidar-first", "leave out --data")),
        (["w.safetensors", "--data", "DATA", "--node", "/a"], ("--node", "the recipe says it")),
        (["w.safetensors", "--data", "DATA", "--seed", "-1"], ("--seed -1",)),
        (["w.safetensors", "--data", "DATA", "--device", "cuda:99"], ("cpu always can",)),
        (["w.safetensors", "--device", "cuda:99"], ("cpu always can",)),
        (["w.safetensors", "--compile"], ("--compile", "give --data FILE.npz")),
        (["w.safetensors", "--backbone", "trunk"], ("--backbone", "give --data FILE.npz")),
    ],
)
def test_train_exits_with_2_and_one_line_when_an_option_is_wrong(
    words: list[str],
    told: tuple[str, ...],
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("", encoding="utf-8")
    Path("bad.npz").write_text("no zip", encoding="utf-8")
    if "many.npz" in words:
        write_data(Path("many.npz"), **{f"m{index}": np.zeros((60, 2)) for index in range(7)})
    assert main(["train", *(str(data) if word == "DATA" else word for word in words)]) == 2
    error = capsys.readouterr().err
    for text in told:
        assert text in error
    assert error.count("\n") == 1


def test_train_names_the_learning_rates_when_the_loss_is_no_number(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    nothing = torch.tensor(float("nan"), requires_grad=True)
    monkeypatch.setattr("sentryfuse_core.lab.training.stages.hard_loss", lambda *_: nothing * 1.0)
    assert train(tmp_path / "w.safetensors", data) == 2
    assert "loss became nan in dense step 1; lower the recipe's learning rates" in capsys.readouterr().err


def test_shipped_recipe_is_readable_and_trains_the_trunk() -> None:
    recipe = read_recipe(ROOT / "config" / "recipes" / "train.yaml")
    assert recipe.backbones == ("trunk",)
    assert recipe.ratios == (0.25, 0.5, 0.75, 0.9)


@pytest.mark.gpu
def test_train_writes_a_classifier_that_loads_on_the_cpu_when_a_gpu_trained_it(
    data: Path, tmp_path: Path
) -> None:
    out = tmp_path / "net.safetensors"
    assert train(out, data, "--seed", "3", "--device", "cuda", "--bf16", "--save-every", "1e-9") == 0
    first = sha256(out)
    assert train(out, data, "--seed", "3", "--device", "cuda", "--bf16", "--resume") == 0
    assert sha256(out) == first
    plan = load_nested(out).gate.plan(present={"b"}, ratio=0.5)
    assert load_nested(out).network.at(plan)({"b": torch.zeros(2, 3, 1)}).isfinite().all()
