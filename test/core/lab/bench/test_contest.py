"""Contest: what all methods of a run share is the same for each of them, and is trained once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sentryfuse_core.errors import ConfigError
from sentryfuse_core.lab.bench.contest import Contest
from sentryfuse_core.lab.bench.recipe import Recipe
from sentryfuse_core.lab.datasets.arrays import Arrays
from sentryfuse_core.lab.training.stages import DenseStage, Dropout
from sentryfuse_core.pruning.costs import measure_costs

RECIPE = Recipe(
    dim=8, heads=2, kv_heads=2, ffn=16, ffn_block=8, layers={"trunk": 1}, steps=2, batch=4, calibration=6
)


def arrays_of() -> Arrays:
    """Three classes, unevenly split."""
    rng = np.random.default_rng(0)
    count = 30
    return Arrays(
        name="tiny",
        inputs={
            "a": rng.normal(size=(count, 3, 2)).astype(np.float32),
            "b": rng.normal(size=(count, 2, 4)).astype(np.float32),
        },
        label=np.arange(count) % 3,
        split=np.repeat(["train", "val", "test"], 10),
        classes=("x", "y", "z"),
        item=np.arange(count) + 100,
    )


def contest_of(folder: Path, *, seed: int = 0, **changes: Any) -> Contest:
    return Contest(
        replace(RECIPE, **changes), arrays_of(), backbone="trunk", seed=seed, folder=folder / "networks"
    )


@dataclass(frozen=True)
class Untrainable:
    """A stage that must not be asked."""

    def loss(self, *_: object) -> Tensor:
        raise AssertionError("trained again")


STAGE = DenseStage(dropout=Dropout(modalities=("a", "b")))


def same(one: nn.Module, other: nn.Module) -> bool:
    states = one.state_dict(), other.state_dict()
    return states[0].keys() == states[1].keys() and all(
        torch.equal(value, states[1][name]) for name, value in states[0].items()
    )


def test_untrained_network_is_the_same_at_every_call_when_the_seed_is(tmp_path: Path) -> None:
    contest = contest_of(tmp_path)
    assert same(contest.fresh(), contest.fresh())
    assert not same(contest.fresh(), contest_of(tmp_path, seed=1).fresh())


def test_budget_is_that_of_the_asked_steps_when_every_mask_is_as_likely(tmp_path: Path) -> None:
    contest = contest_of(tmp_path)
    assert contest.sets == [frozenset("a"), frozenset("b"), frozenset("ab")]
    totals = [costs.total for costs in contest.costs.values()]
    assert contest.budget == pytest.approx(2 * 3 * 4 * sum(totals) / 3)
    options = contest.options(0.25, 1e-3)
    assert (options.budget, options.learning_rate) == pytest.approx((contest.budget / 4, 1e-3))
    small = contest.fresh(scale=0.5)
    costs = contest.costs_of(small)
    assert costs[frozenset("a")] == measure_costs(small, {"a": torch.zeros(1, 3, 2)})
    assert all(costs[present].total < contest.costs[present].total for present in contest.sets)


def test_network_is_trained_once_when_two_methods_start_from_it(tmp_path: Path) -> None:
    contest = contest_of(tmp_path)
    (tmp_path / "networks").mkdir()
    (tmp_path / "networks" / "dense.safetensors.part").write_bytes(b"half")  # of a run that was killed
    first = contest.once("dense", STAGE, share=1.0)
    assert [path.name for path in (tmp_path / "networks").iterdir()] == ["dense.safetensors"]
    assert first.macs >= contest.budget
    assert not same(first.network, contest.fresh())
    for again in (contest, contest_of(tmp_path)):
        read = again.once("dense", Untrainable(), share=1.0)
        assert same(read.network, first.network)
        assert read.macs == first.macs
        assert not read.network.training
        assert not any(parameter.requires_grad for parameter in read.network.parameters())


@pytest.mark.parametrize("damage", ["sizes", "bytes"])
def test_kept_network_is_named_when_it_cannot_be_used(damage: str, tmp_path: Path) -> None:
    contest_of(tmp_path).once("dense", STAGE, share=1.0)
    path = tmp_path / "networks" / "dense.safetensors"
    if damage == "bytes":
        path.write_bytes(path.read_bytes()[:40])
    changes = {"dim": 16} if damage == "sizes" else {}
    with pytest.raises(ConfigError, match=r"dense\.safetensors is of another recipe or damaged"):
        contest_of(tmp_path, **changes).once("dense", STAGE, share=1.0)


def test_calibration_is_one_set_of_training_samples_when_cut_to_masks(tmp_path: Path) -> None:
    contest = contest_of(tmp_path)
    found = contest.calibration()
    both = found[frozenset("ab")]
    assert list(both.inputs) == ["a", "b"]
    assert len(both.label) == 6
    assert list(found[frozenset("b")].inputs) == ["b"]
    assert torch.equal(found[frozenset("b")].inputs["b"], both.inputs["b"])
    assert torch.equal(contest.calibration()[frozenset("a")].inputs["a"], both.inputs["a"])
    train = {tuple(row.flatten().tolist()) for row in contest.train.inputs["a"]}
    assert {tuple(row.flatten().tolist()) for row in both.inputs["a"]} <= train


def test_accuracy_is_the_mean_over_classes_when_they_are_not_as_frequent(tmp_path: Path) -> None:
    contest = contest_of(tmp_path)
    label = contest.splits["val"].label
    assert torch.bincount(label).tolist() == [3, 4, 3]
    only_ones = label == 1
    assert contest.accuracy(only_ones, "val") == pytest.approx(100.0 / 3)
    half = (label == 1) & (torch.arange(10) < 5)
    assert contest.accuracy(half, "val") == pytest.approx(100.0 / 3 * float(half.sum()) / 4)
    assert contest.accuracy(torch.ones(10, dtype=torch.bool), "val") == 100.0


def test_hits_are_of_the_split_and_mask_when_asked(tmp_path: Path) -> None:
    contest = contest_of(tmp_path)
    seen: list[Mapping[str, Tensor]] = []

    class Right(nn.Module):
        def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
            seen.append(inputs)
            return torch.nn.functional.one_hot(contest.splits["test"].label, 3).float()

    assert contest.hits(Right(), "test", frozenset("b")).all()
    assert list(seen[0]) == ["b"]
    assert seen[0]["b"] is contest.splits["test"].inputs["b"]
    assert contest.items == list(range(120, 130))
