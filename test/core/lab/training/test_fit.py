"""The training loop: it ends with its budget, repeats itself for a seed, and gives back a frozen average."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, replace

import pytest
import torch
from classifiers import batch_of, classifier, costs_of
from torch import Tensor, nn

from sentryfuse_core.lab.training.batches import Batch
from sentryfuse_core.lab.training.fit import FitOptions, Step, fit
from sentryfuse_core.lab.training.meter import Meter
from sentryfuse_core.lab.training.stages import DenseStage, Dropout

STAGE = DenseStage(dropout=Dropout(modalities=("a", "b")))


def network_of(seed: int = 0) -> nn.Module:
    return classifier(seed, classes=2, heads=2, kv_heads=2, ffn_block=8)


def samples_of() -> Batch:
    """Two classes that differ in the mean of both modalities."""
    return batch_of(40, classes=2, apart=2.0, seed=2)


COSTS = costs_of(network_of())
STEP = 3 * 8 * max(costs.total for costs in COSTS.values())  # a batch of 8 at full width with both


def run(
    steps: float = 6, *, seed: int = 0, start: int = 0, options: Mapping[str, float] | None = None
) -> tuple[nn.Module, nn.Module, float, list[Step]]:
    """The trained network, its average, the MACs spent and every step."""
    network, told = network_of(start), []
    chosen = replace(FitOptions(budget=steps * STEP, batch=8, seed=seed), **(options or {}))
    average, macs = fit(network, STAGE, samples_of(), COSTS, chosen, classes=2, on_step=told.append)
    return network, average, macs, told


def test_training_stops_with_the_step_that_spends_the_budget_when_it_runs() -> None:
    _, _, macs, told = run(6)
    assert 6 * STEP <= macs < 7 * STEP
    assert [one.step for one in told] == list(range(1, len(told) + 1))
    assert told[0].progress == 0.0
    assert all(one.progress < other.progress < 1.0 for one, other in itertools.pairwise(told))


def test_training_takes_more_steps_for_the_same_budget_when_passes_are_cheaper() -> None:
    @dataclass(frozen=True)
    class Alone:
        def loss(self, meter: Meter, batch: Batch, progress: float, generator: torch.Generator) -> Tensor:
            del progress, generator
            return meter(batch.only(frozenset("b"))).square().mean()

    told: list[Step] = []
    options = FitOptions(budget=4 * STEP, batch=8)
    fit(network_of(), Alone(), samples_of(), COSTS, options, classes=2, on_step=told.append)
    assert len(told) == -(-4 * STEP // (3 * 8 * COSTS[frozenset("b")].total)) > 4


def test_training_repeats_itself_to_the_bit_when_the_seed_is_the_same() -> None:
    first, again, other = run(seed=1), run(seed=1), run(seed=2)
    for name, value in first[1].state_dict().items():
        assert torch.equal(value, again[1].state_dict()[name])
    assert [one.loss for one in first[3]] == [one.loss for one in again[3]]
    assert [one.loss for one in first[3]] != [one.loss for one in other[3]]


def test_average_is_frozen_and_apart_from_the_network_when_given_back() -> None:
    network, average, _, _ = run()
    assert not average.training
    assert not any(parameter.requires_grad for parameter in average.parameters())
    theirs = {parameter.data_ptr() for parameter in network.parameters()}
    assert theirs.isdisjoint(parameter.data_ptr() for parameter in average.parameters())
    assert any(
        not torch.equal(one, other)
        for one, other in zip(average.parameters(), network.parameters(), strict=True)
    )


def test_average_lies_between_start_and_end_when_one_step_was_taken() -> None:
    network, average, _, told = run(0.1)
    assert len(told) == 1
    start = network_of()
    for before, mean, after in zip(
        start.parameters(), average.parameters(), network.parameters(), strict=True
    ):
        torch.testing.assert_close(mean, torch.lerp(before, after, 1.0 - 2 / 11))


def test_network_is_not_trained_when_the_budget_is_nothing() -> None:
    network, average, macs, told = run(0)
    assert (macs, told) == (0.0, [])
    for one, other in zip(average.parameters(), network_of().parameters(), strict=True):
        assert torch.equal(one, other)
    del network


def test_loss_falls_when_classes_can_be_told_apart() -> None:
    _, average, _, told = run(60, options={"learning_rate": 1e-2})
    assert sum(one.loss for one in told[-5:]) < 0.6 * sum(one.loss for one in told[:5])
    samples = samples_of()
    assert (average(samples.inputs).argmax(dim=1) == samples.label).float().mean() > 0.9


def test_learning_rate_rises_and_falls_to_nearly_nothing_when_the_budget_is_spent() -> None:
    _, _, _, told = run(40, options={"learning_rate": 1.0, "warmup": 0.25})
    rates = [one.learning_rate for one in told]
    top = rates.index(max(rates))
    assert rates[0] == pytest.approx(0.02)
    assert max(rates) == pytest.approx(1.0, abs=0.05)
    assert told[top].progress == pytest.approx(0.25, abs=0.05)
    assert rates[top:] == sorted(rates[top:], reverse=True)
    assert rates[-1] < 0.05


def test_vectors_do_not_decay_when_matrices_do() -> None:
    @dataclass(frozen=True)
    class Nothing:
        def loss(self, meter: Meter, batch: Batch, progress: float, generator: torch.Generator) -> Tensor:
            del progress, generator
            return 0.0 * meter(batch.inputs).sum()

    network, start = network_of(), network_of()
    fit(
        network,
        Nothing(),
        samples_of(),
        COSTS,
        FitOptions(budget=3 * STEP, batch=8, weight_decay=0.5),
        classes=2,
    )
    for (name, before), after in zip(start.named_parameters(), network.parameters(), strict=True):
        if before.ndim > 1:
            assert after.norm() < before.norm()
        else:
            assert torch.equal(after, before), name


def test_average_carries_the_statistics_of_norms_when_a_network_has_them() -> None:
    class WithNorm(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = network_of()
            self.norm = nn.BatchNorm1d(2)

        def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
            normed: Tensor = self.norm(self.inner(inputs))
            return normed

    network = WithNorm()
    average, _ = fit(
        network, STAGE, samples_of(), costs_of(network_of()), FitOptions(budget=3 * STEP, batch=8), classes=2
    )
    assert torch.equal(average.norm.running_mean, network.norm.running_mean)
    assert average.norm.running_mean.any()
    assert int(average.norm.num_batches_tracked) >= 3
