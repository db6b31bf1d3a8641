"""Nesting end to end on a tiny problem: one set of weights whose planned sub-networks are prefixes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from classifiers import BOTH, SETS, STREAMS, batch_of, classifier, costs_of

from sentryfuse_core.lab.training.batches import Batch
from sentryfuse_core.lab.training.fit import FitOptions, fit
from sentryfuse_core.lab.training.nest import (
    Nested,
    NestOptions,
    measure_saliency,
    nest,
    sorted_units,
    teacher_logits,
)
from sentryfuse_core.lab.training.stages import DenseStage, Dropout
from sentryfuse_core.model.units import Shrinkable
from sentryfuse_core.pruning.gate import Design, Present, SentryGate
from sentryfuse_core.pruning.units import find_units

CLASSES = 3
BRANCHES = {"backbone": "branches", "own_layers": 1}


def samples_of(count: int = 90) -> Batch:
    """Classes that differ in the mean of every modality, whichever is present."""
    return batch_of(count, classes=CLASSES, apart=2.0, seed=2)


COSTS = costs_of(classifier(**BRANCHES))
DROPOUT = Dropout(modalities=tuple(STREAMS))


def fit_options(steps: int) -> FitOptions:
    full = COSTS[BOTH].total
    return FitOptions(budget=3 * 16 * full * steps, batch=16, learning_rate=1e-2)


@pytest.fixture(scope="module", autouse=True)
def _quick_gate() -> Iterator[None]:
    """Gates are fitted in a few steps: what they learn is the gate's own test."""
    align = SentryGate.align
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SentryGate, "align", lambda gate, targets: align(gate, targets, steps=20))
        yield


@pytest.fixture(scope="module")
def base() -> Shrinkable:
    """A network trained with modality dropout."""
    average, _ = fit(
        classifier(**BRANCHES),
        DenseStage(dropout=DROPOUT),
        samples_of(),
        COSTS,
        fit_options(20),
        classes=CLASSES,
    )
    return average


def nested_of(base: Shrinkable, design: Design, steps: int = 20, **options: Any) -> Nested[Shrinkable]:
    torch.manual_seed(0)
    chosen = NestOptions(design=design, ratios=(0.5, 0.75), samples=32, **options)
    return nest(base, samples_of(), COSTS, DROPOUT, chosen, fit_options(steps), classes=CLASSES)


def accuracy(network: Shrinkable, present: Present) -> float:
    samples = samples_of()
    return float((network(samples.only(present)).argmax(dim=1) == samples.label).float().mean())


@pytest.fixture(scope="module")
def uniform(base: Shrinkable) -> Nested[Shrinkable]:
    return nested_of(base, "uniform", steps=40)


@pytest.mark.parametrize("present", SETS, ids=lambda present: "".join(sorted(present)))
def test_sub_networks_are_prefixes_that_work_when_nested(
    uniform: Nested[Shrinkable], present: Present
) -> None:
    whole = {parameter.untyped_storage().data_ptr() for parameter in uniform.network.parameters()}
    for ratio in (0.5, 0.75):
        plan = uniform.gate.plan(present=present, ratio=ratio)
        small = uniform.network.at(plan)
        assert plan.unit_macs <= (1.0 - ratio) * COSTS[present].prunable
        assert {parameter.untyped_storage().data_ptr() for parameter in small.parameters()} <= whole
        assert accuracy(small, present) > 0.8


def test_base_stays_as_it_was_when_it_is_nested(base: Shrinkable) -> None:
    before = {name: value.clone() for name, value in base.state_dict().items()}
    nested = nested_of(base, "shared", steps=2)
    assert all(torch.equal(value, before[name]) for name, value in base.state_dict().items())
    assert not base.training
    assert not any(parameter.requires_grad for parameter in base.parameters())
    assert nested.network is not base
    assert nested.macs >= fit_options(2).budget


@pytest.mark.parametrize("design", ["uniform", "shared", "conditioned"])
def test_every_prefix_design_gives_prefix_plans_when_nested(base: Shrinkable, design: Design) -> None:
    nested = nested_of(base, design, steps=1, to_teacher=0.0, passes={0.0: 1.0, 0.75: 1.0})
    assert nested.gate.design == design
    for present in SETS:
        plan = nested.gate.plan(present, 0.75)
        assert all(list(units) == list(range(len(units))) for units in plan.kept.values())
        assert torch.isfinite(nested.network.at(plan)(samples_of().only(present))).all()


def test_nesting_repeats_itself_when_seeds_are_the_same(base: Shrinkable) -> None:
    one, other = nested_of(base, "conditioned", steps=2), nested_of(base, "conditioned", steps=2)
    for name, value in one.network.state_dict().items():
        assert torch.equal(value, other.network.state_dict()[name])
    assert [one.gate.plan(present, 0.5) for present in SETS] == [
        other.gate.plan(present, 0.5) for present in SETS
    ]


def test_nesting_refuses_the_faithful_design_when_asked_for_it(base: Shrinkable) -> None:
    with pytest.raises(ValueError, match="faithful"):
        nested_of(base, "faithful", steps=1)


def test_nesting_names_the_ratio_when_it_cannot_be_planned(base: Shrinkable) -> None:
    options = NestOptions(ratios=(1.5,), samples=8)
    with pytest.raises(ValueError, match=r"ratio 1\.5"):
        nest(base, samples_of(), COSTS, DROPOUT, options, fit_options(1), classes=CLASSES)


def test_saliency_is_the_mean_square_by_hand_when_one_gate_is_moved(base: Shrinkable) -> None:
    samples, present = samples_of(6), frozenset({"b"})
    found = measure_saliency(base, samples, [present])[present]
    assert all(bool((found[name] == 0).all()) == (".a." in name) for name in found)
    single = torch.stack(
        [
            measure_saliency(base, samples.part(slice(place, place + 1)), [present])[present][
                "trunk.layers.0.feed"
            ]
            for place in range(6)
        ]
    )
    torch.testing.assert_close(single.mean(dim=0), found["trunk.layers.0.feed"], rtol=1e-3, atol=1e-8)


def test_sorted_copy_computes_the_same_with_the_best_units_first_when_made(base: Shrinkable) -> None:
    samples = samples_of(30)
    saliency = measure_saliency(base, samples, SETS)
    copied = sorted_units(base, saliency)
    torch.testing.assert_close(copied(samples.inputs), base(samples.inputs), atol=1e-4, rtol=1e-4)
    for name in find_units(copied):
        shares = [
            target[name] / sum(float(values.sum()) for values in target.values())
            for target in measure_saliency(copied, samples, SETS).values()
        ]
        total = torch.stack(shares).sum(dim=0)
        assert torch.allclose(total, total.sort(descending=True).values, atol=1e-6)


def test_teacher_logits_are_those_of_all_modalities_when_taken_in_parts(base: Shrinkable) -> None:
    samples = samples_of(10)
    found = teacher_logits(base, samples, batch=3)
    torch.testing.assert_close(found, base(samples.inputs), atol=1e-5, rtol=1e-5)
    assert not found.requires_grad
    assert not found.is_inference()


def test_teacher_logits_are_those_of_inference_when_the_teacher_is_in_training() -> None:
    samples = samples_of(10)

    class Blurred(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net, self.drop = classifier(**BRANCHES), torch.nn.Dropout(0.5)

        def forward(self, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
            logits: torch.Tensor = self.drop(self.net(inputs))
            return logits

    teacher = Blurred()
    found = teacher_logits(teacher, samples)
    assert teacher.training
    torch.testing.assert_close(found, teacher.net(samples.inputs), atol=1e-5, rtol=1e-5)
