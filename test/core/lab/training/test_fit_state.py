"""Kept training: interrupted anywhere it ends where a whole run does; states that do not fit are named."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from classifiers import BOTH, STREAMS, batch_of, classifier, costs_of
from safetensors.torch import save_file
from torch import nn

from sentryfuse_core.errors import CheckpointError
from sentryfuse_core.lab.training.accelerate import Ranks
from sentryfuse_core.lab.training.fit import FitOptions, Step, fit
from sentryfuse_core.lab.training.fit_state import FitState, Keeper, read_saved
from sentryfuse_core.lab.training.stages import DenseStage, Dropout


def network_of(seed: int = 0) -> nn.Module:
    return classifier(seed, classes=2, dim=8, heads=2, kv_heads=2, ffn_block=8)


COSTS = costs_of(network_of())
BUDGET = 12 * 3 * 8 * COSTS[BOTH].total


class KilledError(Exception):
    pass


def trained(
    keeper: Keeper | None, *, on_step: Callable[[Step], None] = lambda _: None, start: int = 0
) -> tuple[nn.Module, float]:
    options = FitOptions(budget=BUDGET, batch=8, seed=5, keeper=keeper)
    stage = DenseStage(dropout=Dropout(modalities=tuple(STREAMS)))
    return fit(network_of(start), stage, batch_of(24, classes=2), COSTS, options, classes=2, on_step=on_step)


def same(one: nn.Module, other: nn.Module) -> bool:
    return all(
        torch.equal(value, other.state_dict()[name]) and bool(value.isfinite().all())
        for name, value in one.state_dict().items()
    )


def interrupted(folder: Path, *, step: int, every_s: float = 0.0) -> None:
    """Train until `step`, which is not saved any more."""

    def kill(log: Step) -> None:
        if log.step == step:
            raise KilledError

    with pytest.raises(KilledError):
        trained(Keeper(folder=folder, stage="dense", every_s=every_s), on_step=kill)


@pytest.mark.parametrize("step", [2, 7, 11])
def test_training_ends_with_the_same_weights_when_it_is_killed_and_resumed(step: int, tmp_path: Path) -> None:
    whole, macs = trained(None)
    interrupted(tmp_path, step=step)
    saved = read_saved(tmp_path)
    assert saved is not None
    assert (saved.stage, saved.step) == ("dense", step - 1)
    steps: list[int] = []
    resumed, resumed_macs = trained(
        Keeper(folder=tmp_path, stage="dense", resume=True),
        on_step=lambda log: steps.append(log.step),
        start=9,
    )
    assert steps[0] == step
    assert same(whole, resumed)
    assert macs == resumed_macs


def test_training_only_answers_when_its_saved_state_was_at_the_end(tmp_path: Path) -> None:
    whole, macs = trained(Keeper(folder=tmp_path, stage="dense"))
    steps: list[Step] = []
    again, again_macs = trained(Keeper(folder=tmp_path, stage="dense", resume=True), on_step=steps.append)
    assert not steps
    assert same(whole, again)
    assert macs == again_macs


def test_keeper_changes_no_weight_when_it_only_saves(tmp_path: Path) -> None:
    assert same(trained(None)[0], trained(Keeper(folder=tmp_path, stage="dense", every_s=0.0))[0])


def test_keeper_starts_anew_when_the_state_is_of_another_stage_or_not_asked_for(tmp_path: Path) -> None:
    interrupted(tmp_path, step=4)
    for keeper in (
        Keeper(folder=tmp_path, stage="nested", resume=True),
        Keeper(folder=tmp_path / "empty", stage="dense", resume=True),
        Keeper(folder=tmp_path, stage="dense"),
    ):
        steps: list[int] = []
        trained(keeper, on_step=lambda log, steps=steps: steps.append(log.step))
        assert steps[0] == 1


def test_keeper_saves_only_when_time_has_passed_or_it_is_wanted(tmp_path: Path) -> None:
    interrupted(tmp_path, step=5, every_s=3600.0)
    assert read_saved(tmp_path) is None
    steps: list[int] = []
    told: list[str] = []

    def after() -> None:
        told.append("after")
        raise KilledError

    keeper = Keeper(
        folder=tmp_path,
        stage="dense",
        every_s=3600.0,
        wanted=lambda: len(steps) == 3,
        before=lambda: told.append("before"),
        after=after,
    )
    with pytest.raises(KilledError):
        trained(keeper, on_step=lambda log: steps.append(log.step))
    saved = read_saved(tmp_path)
    assert saved is not None
    assert saved.step == len(steps) == 3
    assert told == ["before", "after"]


def test_keeper_counts_the_time_of_earlier_runs_when_it_resumes(tmp_path: Path) -> None:
    interrupted(tmp_path, step=3)
    saved = read_saved(tmp_path)
    assert saved is not None
    keeper = Keeper(folder=tmp_path, stage="dense", resume=True)
    trained(keeper)
    assert keeper.seconds > saved.seconds > 0.0


def test_keeper_names_the_remedy_when_the_state_is_of_more_processes(tmp_path: Path) -> None:
    interrupted(tmp_path, step=3)
    with pytest.raises(CheckpointError, match="is of 1 processes, this run has 2; start with torchrun"):
        trained(Keeper(folder=tmp_path, stage="dense", resume=True, ranks=Ranks(0, 2)))


@dataclass(frozen=True)
class Pair(Ranks):
    """Two processes of which this one does all the work; the other one's random numbers have the seed 99."""

    count: int = 2

    def sums(self, values: Sequence[float], device: torch.device) -> list[float]:
        del device
        return list(values)

    def gather(self, tensor: torch.Tensor, device: torch.device) -> list[torch.Tensor]:
        del device
        return [tensor, torch.Generator().manual_seed(99).get_state()]


def test_each_process_gets_its_own_random_numbers_back_when_several_resume(tmp_path: Path) -> None:
    def state_of(seed: int) -> FitState:
        network = network_of(seed)
        return FitState(
            network=network,
            average=network_of(seed + 1),
            optimizer=torch.optim.AdamW(network.parameters()),
            generator=torch.Generator().manual_seed(seed),
        )

    first = state_of(3)
    Keeper(folder=tmp_path, stage="dense", ranks=Pair()).save(first)
    for rank, seed in ((0, 3), (1, 99)):
        state = state_of(7)
        Keeper(folder=tmp_path, stage="dense", resume=True, ranks=Ranks(rank, 2)).begin(state)
        assert torch.equal(state.generator.get_state(), torch.Generator().manual_seed(seed).get_state())
        assert same(state.network, first.network)
        assert same(state.average, first.average)


@pytest.mark.parametrize("damage", ["cut", "other", "text"])
def test_keeper_names_the_file_when_the_state_is_damaged(damage: str, tmp_path: Path) -> None:
    interrupted(tmp_path, step=3)
    path = tmp_path / "state.safetensors"
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-100])
    elif damage == "text":
        path.write_text("not safetensors")
    else:
        facts = {"stage": "dense", "step": 1, "macs": 1.0, "seconds": 1.0, "processes": 1}
        save_file({"network.other": torch.zeros(1)}, path, metadata={"facts": json.dumps(facts)})
    with pytest.raises(CheckpointError, match=r"state\.safetensors.*train without --resume"):
        trained(Keeper(folder=tmp_path, stage="dense", resume=True))
