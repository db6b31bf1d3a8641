"""The benchmark's jobs on a tiny file of one's own: every kind of method runs, what is done stays done."""

from __future__ import annotations

import itertools
import json
import sys
from dataclasses import replace
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from sentryfuse_core.errors import ConfigError
from sentryfuse_core.lab.bench.data import own_data
from sentryfuse_core.lab.bench.entrants import absent_methods, methods_of
from sentryfuse_core.lab.bench.jobs import Task, chosen_methods, run_task, tasks
from sentryfuse_core.lab.bench.recipe import Recipe
from sentryfuse_core.lab.bench.records import Record, load_records

RECIPE = Recipe(
    backbones=("branches",),
    seeds=(0,),
    dim=8,
    heads=4,
    kv_heads=4,
    ffn=16,
    ffn_block=4,
    layers={"branches": 1},
    steps=4,
    batch=4,
    calibration=8,
    ratios=(0.5, 0.75),
    scales=(0.5,),
)
METHODS = {
    "equal_passes": "ablation",
    "dense": "reference",
    "ours": "ours",
    "magnitude": "zero_shot",
    "faithful": "ours",
    "dynabert": "trained",
    "matformer": "trained",
    "layerdrop": "trained",
    "small_0.5": "small",
}
MASKS = [("a",), ("b",), ("a", "b")]


def written(folder: Path) -> Path:
    """Two modalities of three classes that can be told apart."""
    rng = np.random.default_rng(0)
    label = np.arange(36) % 3
    np.savez(
        folder / "mine.npz",
        a=rng.normal(size=(36, 8)) + label[:, None],
        b=rng.normal(size=(36, 6, 2)) + label[:, None, None],
        label=label,
        split=np.repeat(["train", "val", "test"], 12),
    )
    return folder / "mine.npz"


def task_of(folder: Path) -> Task:
    return Task(own_data(written(folder)), "branches", 0, folder / "out")


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Task:
    """Everything run once, interrupted after two jobs, with a half-written record in the way."""
    task, only = task_of(tmp_path_factory.mktemp("bench")), tuple(METHODS)
    list(itertools.islice(run_task(task, RECIPE, only=only), 2))
    first = {path.name: path.stat().st_mtime_ns for path in task.place.glob("*.json")}
    assert set(first) == {"dense.json", "ours.json"}
    (task.place / "magnitude.json.part").write_text('{"data": "mi', encoding="utf-8")
    told: list[str] = []
    paths = list(run_task(task, RECIPE, only=only, on_job=told.append))
    names = [method.name for method in chosen_methods(RECIPE, only=only)]
    assert [path.stem for path in paths] == names[2:]
    assert told == [f"mine/branches/s0/{name}" for name in names[2:]]
    assert {name: (task.place / name).stat().st_mtime_ns for name in first} == first
    return task


@pytest.fixture(scope="module")
def records(done: Task) -> dict[str, Record]:
    return {record.method: record for record in load_records(done.folder)}


@pytest.mark.parametrize("method", METHODS)
def test_record_has_a_row_for_every_mask_ratio_and_split_when_a_job_ends(
    method: str, records: dict[str, Record]
) -> None:
    record = records[method]
    ratios = {
        "reference": (0.0,),
        "small": (0.0,),
        "zero_shot": (0.5, 0.75),
    }.get(record.kind, (0.5, 0.75) if method == "faithful" else (0.0, 0.5, 0.75))
    assert record.index.keys() == set(itertools.product(MASKS, ratios, ("val", "test")))
    for row in record.rows:
        whole = records["dense"].index[row.present, 0.0, row.split]
        if record.kind != "small":
            assert row.unit_macs <= (1.0 - row.ratio) * whole.unit_macs + 1e-3
            assert row.macs - row.unit_macs == whole.macs - whole.unit_macs
        else:
            assert row.macs < whole.macs
        if row.split == "test":
            running = {name for name in row.units if ".a." in name or ".b." in name}
            assert {name.split(".")[1] for name in running} == set(row.present)
            assert all(0 <= row.kept[name] <= row.units[name] for name in row.units)


def test_record_says_how_it_was_made_when_a_job_ends(records: dict[str, Record]) -> None:
    assert {name: record.kind for name, record in records.items()} == METHODS
    for record in records.values():
        assert (record.data, record.backbone, record.seed, record.fold) == ("mine", "branches", 0, 0)
        wanted = json.loads(json.dumps(RECIPE.to_mapping()))
        assert record.config == {**wanted, "data_sha256": record.config["data_sha256"]}
        assert {"python", "numpy", "torch", "safetensors"} <= set(record.versions)
        assert record.train_macs
    spent = {name: record.train_macs or 0.0 for name, record in records.items()}
    for name in ("ours", "dynabert", "matformer", "layerdrop"):  # of four steps or so the last goes over
        assert 0.6 * spent["dense"] < spent[name] < 2.5 * spent["dense"]
    assert spent["magnitude"] == spent["faithful"] == spent["dense"]


def test_finished_run_leaves_no_part_and_reads_no_data_when_run_again(done: Task) -> None:
    assert {path.stem for path in done.place.glob("*.json")} == set(METHODS)
    assert {path.suffix for path in done.place.iterdir()} == {".json", ".safetensors"}
    gone = replace(done, source=own_data(done.folder / "mine.npz"))  # a path that is not there
    assert list(run_task(gone, RECIPE, only=tuple(METHODS))) == []


def test_tasks_finish_a_seed_before_the_next_when_backbones_are_several(tmp_path: Path) -> None:
    recipe = Recipe(seeds=(0, 3), backbones=("trunk", "branches"))
    found = tasks(own_data(tmp_path / "mine.npz"), recipe, tmp_path)
    assert [task.name for task in found] == [
        "mine/trunk/s0",
        "mine/branches/s0",
        "mine/trunk/s3",
        "mine/branches/s3",
    ]
    assert found[-1].place == tmp_path / "mine" / "branches" / "s3"


def test_ablations_run_when_asked_for_or_named() -> None:
    names = [method.name for method in chosen_methods(RECIPE)]
    assert "shared_widths" not in names
    assert [method.name for method in chosen_methods(RECIPE, only=("shared_widths",))] == ["shared_widths"]
    with_them = [method.name for method in chosen_methods(RECIPE, ablations=True)]
    assert with_them[: len(names)] == names
    assert "shared_widths" in with_them
    assert len(set(with_them)) == len(with_them)
    with pytest.raises(
        ConfigError, match=r"unknown method 'pfa'; there are dense, ours, random.*equal_passes"
    ):
        chosen_methods(RECIPE, only=("dense", "pfa"))


@pytest.mark.parametrize("is_there", [True, False])
def test_method_is_left_out_with_a_remedy_when_its_library_is_not_installed(
    is_there: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = ModuleType("torch_pruning")
    library.__spec__ = ModuleSpec("torch_pruning", None)
    monkeypatch.setitem(sys.modules, "torch_pruning", library if is_there else None)
    names = [method.name for method in methods_of(RECIPE)]
    assert ("torch_pruning" in names) == is_there
    assert absent_methods() == ({} if is_there else {"torch_pruning": "pip install torch-pruning"})
    if not is_there:
        with pytest.raises(ConfigError, match=r"'torch_pruning' needs a package.*pip install torch-pruning"):
            chosen_methods(RECIPE, only=("torch_pruning",))
