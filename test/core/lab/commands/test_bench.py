"""`sentryfuse bench prune`: one line for every mistake, and a record, figures and a report for a tiny run."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml

from sentryfuse_core.cli import main

RECIPE = {
    "backbones": ["trunk"],
    "seeds": [0],
    "dim": 8,
    "heads": 4,
    "kv_heads": 4,
    "ffn": 16,
    "ffn_block": 4,
    "layers": {"trunk": 1},
    "steps": 2,
    "batch": 4,
    "calibration": 6,
    "scales": [],
}


def written(folder: Path, name: str = "mine.npz") -> Path:
    """Twenty-four samples of two modalities and two classes."""
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(0)
    np.savez(
        folder / name,
        a=rng.normal(size=(24, 8)),
        b=rng.normal(size=(24, 8)),
        label=np.arange(24) % 2,
        split=np.repeat(["train", "val", "test"], 8),
    )
    return folder / name


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with data, a broken file, a recipe and an empty folder."""
    written(tmp_path)
    written(tmp_path / "other")
    (tmp_path / "broken.npz").write_bytes(b"PK\x03\x04 no more")
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(RECIPE), encoding="utf-8")
    (tmp_path / "bad.yaml").write_text("steps: many\n", encoding="utf-8")
    (tmp_path / "empty").mkdir()
    return tmp_path


@pytest.fixture
def bench(place: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Runs `sentryfuse bench prune` in the folder; gives the exit status."""
    monkeypatch.chdir(place)

    def run(*words: str) -> int:
        try:
            return main(["bench", "prune", *words])
        except SystemExit as error:
            return int(error.code or 0)

    return run


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("--out out", "no data; give --data FILE.npz, --har ZIP or --digits DIR"),
        ("--data mine.npz", "--out"),
        ("--out out --data nowhere.npz", "nowhere.npz does not exist"),
        ("--out out --data broken.npz", "broken.npz is no readable .npz"),
        ("--out out --har nowhere.zip", "cannot read nowhere.zip"),
        ("--out out --digits nowhere", "nowhere"),
        ("--out out --data mine.npz --backbones trunk,tree", "unknown backbone 'tree'; there are trunk"),
        ("--out out --data mine.npz --methods dense,pfa", "unknown method 'pfa'; there are dense, ours"),
        ("--out out --data mine.npz --seeds 0,one", "--seeds '0,one'"),
        ("--out out --data mine.npz --seeds ,", "seeds []"),
        ("--out out --data mine.npz --weights w.safetensors", "--weights is of --detector; give that, too"),
        ("--out out --detector --data mine.npz", "--data is of the benchmark on recordings and arrays"),
        ("--out out --detector --workers 2", "--workers is of the benchmark on recordings and arrays"),
        ("--out out --report-only --seeds 0", "--seeds is of runs; --report-only judges all the records"),
        ("--out out --report-only --data mine.npz", "--data is of runs"),
        (
            "--out out --data mine.npz --methods ours --ablations",
            "--ablations adds to all methods; --methods",
        ),
        ("--out out --report-only --frames 16", "--frames is of --detector"),
        ("--out out --data mine.npz --workers 0", "--workers 0: give a number from 1"),
        ("--out out --data mine.npz --workers two", "--workers"),
        ("--out out --data mine.npz --device abacus", "device 'abacus'"),
        ("--out out --data mine.npz --recipe nowhere.yaml", "cannot read the recipe nowhere.yaml"),
        ("--out out --data mine.npz --recipe bad.yaml", "bad.yaml: steps 'many' is not a whole number"),
        ("--out out --data mine.npz --data other/mine.npz", "two data sets are called 'mine'"),
        (
            "--out mine.npz --data mine.npz",
            "cannot make the folder mine.npz: File exists; choose another --out",
        ),
        ("--out empty --report-only", "empty holds no <data>/<backbone>/s<seed>/<method>.json"),
        ("--out nowhere --report-only", "nowhere holds no"),
    ],
)
def test_bench_says_what_is_wrong_in_one_line_when_it_cannot_run(
    words: str, told: str, bench: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench(*words.split()) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("sentryfuse: error: ")
    assert captured.err.count("\n") == 1
    assert told in captured.err
    assert captured.out == ""


def test_bench_writes_records_figures_and_a_report_when_it_runs(
    bench: Callable[..., int], place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [
        "--out",
        "out",
        "--data",
        "mine.npz",
        "--recipe",
        "recipe.yaml",
        "--methods",
        "dense,ours,magnitude",
    ]
    assert bench(*words) == 0
    printed = capsys.readouterr().out
    assert "mine/trunk/s0: 3 jobs" in printed
    assert "note: " in printed  # of the figures that were not run
    assert "has no sample of class" not in printed
    assert "mine/trunk, test: balanced accuracy in % by share of MACs removed, mean of 1 run" in printed
    assert " NO" not in printed  # one seed is no attempt at the project's targets
    assert "wrote out/prune.json and out/report.html" in printed
    run = place / "out" / "mine" / "trunk" / "s0"
    assert {path.stem for path in run.glob("*.json")} == {"dense", "ours", "magnitude"}
    figures = json.loads((place / "out" / "prune.json").read_text(encoding="utf-8"))
    assert figures["raw"]["groups"][0]["methods"] == {
        "dense": "reference",
        "magnitude": "zero_shot",
        "ours": "ours",
    }
    assert figures["rows"]
    page = (place / "out" / "report.html").read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>")
    assert "mine/trunk" in page

    before = {path: path.read_bytes() for path in run.iterdir()}
    assert bench(*words) == 0  # all is there: nothing is run again
    assert "mine/trunk/s0: 0 jobs" in capsys.readouterr().out
    assert {path: path.read_bytes() for path in run.iterdir()} == before


def test_bench_tells_of_a_class_that_a_judged_split_lacks(
    bench: Callable[..., int], place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    members = dict(np.load(place / "mine.npz"))
    members["label"][8:16] = 0
    np.savez(place / "mine.npz", **members)
    words = "--out out --data mine.npz --recipe recipe.yaml --methods dense"
    assert bench(*words.split()) == 0
    told = "note: val of mine has no sample of class 1: its balanced accuracy is the mean over the others"
    assert told in capsys.readouterr().out


def test_bench_tells_how_to_get_a_method_when_its_library_is_not_installed(
    bench: Callable[..., int], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "torch_pruning", None)
    monkeypatch.setattr("sentryfuse_core.lab.commands.bench._run_task", lambda *_, **__: "nothing was run")
    assert bench("--out", "out", "--data", "mine.npz", "--recipe", "recipe.yaml") == 2  # no record to report
    captured = capsys.readouterr()
    told = [line for line in captured.out.splitlines() if "torch_pruning" in line]
    assert told == [
        "torch_pruning is left out, its library is not installed; for it: pip install torch-pruning"
    ]
    assert "holds no" in captured.err
    assert bench("--out", "out", "--data", "mine.npz", "--methods", "torch_pruning") == 2
    assert "pip install torch-pruning" in capsys.readouterr().err


def test_bench_names_the_recipe_when_trained_networks_are_of_another(
    bench: Callable[..., int], place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--out", "out", "--data", "mine.npz", "--recipe", "recipe.yaml", "--methods"]
    assert bench(*words, "dense") == 0
    (place / "recipe.yaml").write_text(yaml.safe_dump({**RECIPE, "dim": 16}), encoding="utf-8")
    (place / "out" / "mine" / "trunk" / "s0" / "dense.json").unlink()
    capsys.readouterr()
    assert bench(*words, "dense,magnitude") == 2
    error = capsys.readouterr().err
    assert "dense.safetensors is of another recipe or damaged; give another --out" in error
    assert error.count("\n") == 1


def test_bench_names_the_record_when_it_is_of_another_recipe_or_of_other_data(
    bench: Callable[..., int], place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--out", "out", "--data", "mine.npz", "--recipe", "recipe.yaml", "--methods", "dense"]
    assert bench(*words) == 0
    assert bench(*words, "--backbones", "trunk", "--seeds", "0") == 0  # other choices among the runs
    steps = RECIPE["steps"]
    (place / "recipe.yaml").write_text(yaml.safe_dump({**RECIPE, "steps": steps + 1}), encoding="utf-8")
    capsys.readouterr()
    assert bench(*words) == 2
    told = f"dense.json is of steps {steps}, this run of {steps + 1}; give another --out, or delete it"
    assert told in capsys.readouterr().err
    (place / "recipe.yaml").write_text(yaml.safe_dump(RECIPE), encoding="utf-8")
    with np.load(place / "mine.npz") as opened:
        np.savez(place / "mine.npz", **{**opened, "label": 1 - opened["label"]})
    assert bench(*words) == 2
    assert "dense.json is of data_sha256" in capsys.readouterr().err
