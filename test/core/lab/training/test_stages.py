"""Stages: losses that vanish at equality, a curriculum of absent modalities, and passes of a plan table."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import pytest
import torch
from classifiers import BOTH, SETS, STREAMS, batch_of, classifier, costs_of, generator_of
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from sentryfuse_core.lab.training.meter import Meter
from sentryfuse_core.lab.training.stages import (
    LABEL_SMOOTHING,
    DenseStage,
    Dropout,
    NestedStage,
    PlanTable,
    distillation,
    even_passes,
    hard_loss,
)
from sentryfuse_core.pruning.allocate import uniform_widths
from sentryfuse_core.pruning.gate import Present

RATIOS = (0.5, 0.75)
NO_DROPOUT = Dropout(modalities=tuple(STREAMS), last=0.0)
HALF_DROPOUT = Dropout(modalities=tuple(STREAMS), first=0.5, last=0.5)
LOGITS = st.lists(st.floats(-20.0, 20.0), min_size=6, max_size=6).map(
    lambda values: torch.tensor(values, dtype=torch.float64).reshape(2, 3)
)


COSTS = costs_of(classifier())
TABLE: PlanTable = {
    (present, ratio): uniform_widths(COSTS[present], ratio) for present in SETS for ratio in RATIOS
}


class Told(Meter):
    """A meter that keeps which modalities and widths it was asked for."""

    def __init__(self) -> None:
        super().__init__(classifier(), COSTS)
        self.asked: list[tuple[Present, Mapping[str, int] | None]] = []

    def __call__(self, inputs: Mapping[str, Tensor], widths: Mapping[str, int] | None = None) -> Tensor:
        self.asked.append((frozenset(inputs), widths))
        return super().__call__(inputs, widths)


def stage_of(**options: object) -> NestedStage:
    chosen = {
        "dropout": NO_DROPOUT,
        "table": TABLE,
        "passes": {0.0: 1.0, 0.5: 1.0, 0.75: 1.0},
        "teacher": None,
    }
    return NestedStage(**{**chosen, **options})  # type: ignore[arg-type]


@given(logits=LOGITS, temperature=st.floats(0.5, 4.0))
def test_distillation_is_zero_when_student_and_teacher_agree(logits: Tensor, temperature: float) -> None:
    shifted = logits + 3.0  # the softmax is the same
    assert float(distillation(shifted, logits, temperature=temperature)) == pytest.approx(0.0, abs=1e-9)


@given(student=LOGITS, teacher=LOGITS, temperature=st.floats(0.5, 4.0))
def test_distillation_is_the_divergence_by_hand_when_they_differ(
    student: Tensor, teacher: Tensor, temperature: float
) -> None:
    found = float(distillation(student, teacher, temperature=temperature))
    aim, guess = (torch.softmax(logits / temperature, dim=1) for logits in (teacher, student))
    expected = temperature**2 * float((aim * (aim.log() - guess.log())).sum(dim=1).mean())
    assert found >= -1e-9
    assert found == pytest.approx(expected, rel=1e-6, abs=1e-8)


def test_teacher_gets_no_gradients_when_it_is_distilled() -> None:
    student, teacher = torch.randn(2, 3, requires_grad=True), torch.randn(2, 3, requires_grad=True)
    distillation(student, teacher).backward()
    assert student.grad is not None
    assert teacher.grad is None


@given(logits=LOGITS)
def test_hard_loss_is_least_at_the_smoothed_labels_when_logits_vary(logits: Tensor) -> None:
    label = torch.tensor([0, 2])
    share = torch.full((2, 3), LABEL_SMOOTHING / 3, dtype=torch.float64)
    share[torch.arange(2), label] += 1.0 - LABEL_SMOOTHING
    least = float(hard_loss(share.log(), label))
    assert least == pytest.approx(float(-(share * share.log()).sum(dim=1).mean()))
    assert float(hard_loss(logits, label)) >= least - 1e-9 > 0.0


@given(
    progress=st.floats(0.0, 1.0),
    first=st.floats(0.0, 1.0),
    last=st.floats(0.0, 1.0),
    ramp=st.floats(0.0, 1.0),
    seed=st.integers(0, 1000),
)
def test_curriculum_leaves_a_modality_when_any_dropout_is_asked_for(
    progress: float, first: float, last: float, ramp: float, seed: int
) -> None:
    dropout = Dropout(modalities=("a", "b", "c"), first=first, last=last, ramp=ramp)
    found = dropout.draw(progress, generator_of(seed))
    assert found
    assert found <= {"a", "b", "c"}


def test_curriculum_drops_more_and_more_when_training_goes_on() -> None:
    dropout = Dropout(modalities=("a", "b", "c"))
    shares = []
    for progress in (0.0, 0.125, 0.25, 0.5, 1.0):
        generator = generator_of()
        drawn = [len(dropout.draw(progress, generator)) for _ in range(1500)]
        shares.append(1.0 - sum(drawn) / len(drawn) / 3)
    assert shares[0] == 0.0
    # One in eight draws would be empty at a half, and gets one modality back.
    expected = [0.0, 0.125, 0.25, 0.5, 0.5]
    for share, chance in zip(shares, expected, strict=True):
        assert share == pytest.approx(chance - chance**3 / 3, abs=0.03)


@given(
    ratios=st.lists(st.floats(0.01, 0.95), min_size=1, max_size=5, unique=True), share=st.floats(0.01, 1.0)
)
def test_even_passes_spend_the_same_on_every_ratio_when_weighed_by_macs(
    ratios: list[float], share: float
) -> None:
    passes = even_passes(ratios, share=share)
    assert list(passes) == [0.0, *ratios]
    assert passes[0.0] == pytest.approx(2.0 * share)
    assert [passes[ratio] * (1.0 - ratio) for ratio in ratios] == pytest.approx([share] * len(ratios))


def test_dense_stage_trains_the_full_width_when_modalities_are_absent() -> None:
    meter, generator = Told(), generator_of()
    losses = [DenseStage(dropout=HALF_DROPOUT).loss(meter, batch_of(), 1.0, generator) for _ in range(20)]
    assert all(torch.isfinite(loss) and loss.requires_grad for loss in losses)
    assert {widths is None for _, widths in meter.asked} == {True}
    assert {present for present, _ in meter.asked} == set(SETS)


def test_nested_stage_runs_the_planned_widths_when_every_ratio_has_a_pass() -> None:
    meter = Told()
    loss = stage_of().loss(meter, batch_of(), 1.0, generator_of())
    assert meter.asked == [(BOTH, None), *((BOTH, TABLE[BOTH, ratio]) for ratio in RATIOS)]
    again = Told()
    batch = batch_of()
    parts = [hard_loss(again(batch.inputs, widths), batch.label) for _, widths in meter.asked]
    assert float(loss.detach()) == pytest.approx(float(sum(parts).detach()))  # type: ignore[union-attr]


def test_nested_stage_adds_the_divergence_from_its_teacher_when_it_has_one() -> None:
    # Elsewhere in the training split: teachers are looked up by index.
    batch = replace(batch_of(), index=torch.arange(6).flip(0))
    teacher = torch.randn(6, 3, generator=generator_of())
    logits = Told()(batch.inputs)
    expected = hard_loss(logits, batch.label) + 0.7 * distillation(
        logits, teacher[batch.index], temperature=2.0
    )
    stage = stage_of(teacher=teacher, to_teacher=0.7, temperature=2.0, passes={0.0: 1.0})
    found = stage.loss(Told(), batch, 1.0, generator_of())
    assert float(found.detach()) == pytest.approx(float(expected.detach()))
    without = stage_of(passes={0.0: 1.0}).loss(Told(), batch, 1.0, generator_of())
    assert float(without.detach()) == pytest.approx(float(hard_loss(logits, batch.label).detach()))


def test_passes_of_a_step_share_their_modalities_only_when_asked() -> None:
    found = {}
    for one_set in (True, False):
        stage, generator = stage_of(dropout=HALF_DROPOUT, one_set=one_set), generator_of()
        mixed = 0
        for _ in range(20):
            meter = Told()
            stage.loss(meter, batch_of(), 1.0, generator)
            mixed += len({present for present, _ in meter.asked}) > 1
        found[one_set] = mixed
    assert found[True] == 0
    assert found[False] > 5


def test_passes_are_as_many_as_asked_on_average_when_they_are_no_whole_number() -> None:
    stage, generator, meter = stage_of(passes={0.0: 0.3, 0.5: 1.6}), generator_of(), Told()
    for _ in range(150):
        stage.loss(meter, batch_of(2), 1.0, generator)
    full = sum(widths is None for _, widths in meter.asked)
    assert full / 150 == pytest.approx(0.3, abs=0.1)
    assert (len(meter.asked) - full) / 150 == pytest.approx(1.6, abs=0.1)


def test_step_trains_the_narrowest_width_when_no_pass_was_drawn() -> None:
    meter = Told()
    loss = stage_of(passes={0.0: 0.0, 0.5: 0.0, 0.75: 0.0}).loss(meter, batch_of(), 1.0, generator_of())
    assert [widths for _, widths in meter.asked] == [TABLE[BOTH, 0.75]]
    assert math.isfinite(float(loss.detach()))
