"""Trained rivals: their stages give finite losses at the planned widths, and layers go within budgets."""

from __future__ import annotations

import pytest
import torch
from classifiers import BOTH, SETS, STREAMS, batch_of, classifier, costs_of, generator_of
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from sentryfuse_core.lab.training.meter import Meter
from sentryfuse_core.lab.training.rivals import (
    DynaBertStage,
    LayerDropStage,
    MatFormerStage,
    drop_order,
    layer_parts,
)
from sentryfuse_core.lab.training.stages import Dropout
from sentryfuse_core.pruning.allocate import uniform_widths
from sentryfuse_core.pruning.costs import UnitCosts
from sentryfuse_core.pruning.gate import Present
from sentryfuse_core.pruning.units import prefix

RATIOS = (0.0, 0.5)
BACKBONES = ("trunk", "branches", "bottleneck")
DROPOUT = Dropout(modalities=tuple(STREAMS), last=0.0)


def network_of(backbone: str = "branches", seed: int = 0) -> nn.Module:
    return classifier(seed, backbone=backbone, layers=2, own_layers=1, heads=2, kv_heads=2)


COSTS = {backbone: costs_of(network_of(backbone)) for backbone in BACKBONES}
PARTS = {backbone: layer_parts(network_of(backbone)) for backbone in BACKBONES}
TABLES = {
    backbone: {
        (present, ratio): uniform_widths(costs[present], ratio) for present in SETS for ratio in RATIOS
    }
    for backbone, costs in COSTS.items()
}


def dynabert_of(backbone: str, teacher: nn.Module, **options: float) -> DynaBertStage:
    return DynaBertStage(dropout=DROPOUT, table=TABLES[backbone], ratios=RATIOS, teacher=teacher, **options)


@pytest.mark.parametrize("backbone", BACKBONES)
def test_dynaberts_teacher_gets_no_gradients_when_the_student_does(backbone: str) -> None:
    student, teacher = network_of(backbone, 0), network_of(backbone, 1)
    meter = Meter(student, COSTS[backbone])
    loss = dynabert_of(backbone, teacher, to_labels=1.0).loss(meter, batch_of(), 1.0, generator_of())
    assert torch.isfinite(loss)
    loss.backward()
    assert all(parameter.grad is None for parameter in teacher.parameters())
    assert all(parameter.grad is not None for parameter in student.parameters())
    costs = COSTS[backbone][BOTH]
    half = costs.of(prefix(TABLES[backbone][BOTH, 0.5])) + costs.fixed
    assert meter.macs == 6 * (costs.total + 3 * costs.total + 3 * half)


def test_dynaberts_loss_is_zero_at_full_width_when_the_teacher_is_the_student() -> None:
    network = network_of()
    stage = DynaBertStage(dropout=DROPOUT, table={}, ratios=(0.0,), teacher=network)
    loss = stage.loss(Meter(network, COSTS["branches"]), batch_of(), 1.0, generator_of())
    assert float(loss.detach()) == pytest.approx(0.0, abs=1e-6)
    assert not any(module._forward_hooks for module in network.modules())


def test_dynabert_counts_hidden_states_and_labels_when_they_have_weights() -> None:
    found = {}
    for name, options in {
        "logits": {"to_hidden": 0.0},
        "hidden": {"to_hidden": 1.0},
        "labels": {"to_hidden": 0.0, "to_labels": 1.0},
    }.items():
        meter = Meter(network_of(seed=0), COSTS["branches"])
        stage = dynabert_of("branches", network_of(seed=1), **options)
        found[name] = float(stage.loss(meter, batch_of(), 1.0, generator_of()).detach())
    assert 0.0 <= found["logits"] < min(found["hidden"], found["labels"])


@pytest.mark.parametrize("backbone", BACKBONES)
def test_matformer_trains_every_granularity_in_turn_when_drawn(backbone: str) -> None:
    network = network_of(backbone)
    stage = MatFormerStage(dropout=DROPOUT, table=TABLES[backbone], ratios=RATIOS)
    generator, costs = generator_of(), COSTS[backbone][BOTH]
    spent = set()
    for _ in range(12):
        meter = Meter(network, COSTS[backbone])
        assert torch.isfinite(stage.loss(meter, batch_of(), 1.0, generator))
        spent.add(meter.macs)
    half = costs.of(prefix(TABLES[backbone][BOTH, 0.5])) + costs.fixed
    assert spent == {18 * costs.total, 18 * half}


def test_matformer_trains_only_the_full_width_when_its_extra_chance_is_one() -> None:
    stage = MatFormerStage(dropout=DROPOUT, table=TABLES["trunk"], ratios=RATIOS, full=1.0)
    meter, generator = Meter(network_of("trunk"), COSTS["trunk"]), generator_of()
    for _ in range(5):
        stage.loss(meter, batch_of(), 1.0, generator)
    assert meter.macs == 5 * 18 * COSTS["trunk"][BOTH].total


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("chance", [0.0, 0.5, 1.0])
def test_layerdrop_skips_whole_layers_when_drawn(backbone: str, chance: float) -> None:
    network = network_of(backbone)
    stage = LayerDropStage(dropout=DROPOUT, layers=layer_parts(network), chance=chance)
    costs, generator = COSTS[backbone][BOTH], generator_of()
    sizes = set()
    for _ in range(8):
        meter = Meter(network, COSTS[backbone])
        assert torch.isfinite(stage.loss(meter, batch_of(), 1.0, generator))
        sizes.add(meter.macs / 18)
    if chance in {0.0, 1.0}:
        assert sizes == {costs.total if chance == 0.0 else costs.fixed}
    else:
        assert len(sizes) > 1


def test_layers_are_found_with_both_parts_when_backbones_differ() -> None:
    assert layer_parts(network_of("trunk")) == {
        f"trunk.layers.{place}": (f"trunk.layers.{place}.attend", f"trunk.layers.{place}.feed")
        for place in range(2)
    }
    assert {len(layer_parts(network_of(backbone))) for backbone in ("branches", "bottleneck")} == {4, 6}


@settings(max_examples=40)
@given(
    backbone=st.sampled_from(BACKBONES),
    present=st.sampled_from(SETS),
    ratio=st.floats(0.0, 1.0, exclude_max=True),
)
def test_dropped_layers_keep_to_the_budget_when_any_ratio_is_asked_for(
    backbone: str, present: Present, ratio: float
) -> None:
    costs, parts = COSTS[backbone][present], PARTS[backbone]
    widths = drop_order(parts, costs, ratio)
    assert costs.of(prefix(widths)) <= (1.0 - ratio) * costs.prunable + 1e-3
    for attend, feed in parts.values():
        whole = tuple(costs.units[part] if costs.macs[part] else 0 for part in (attend, feed))
        assert (widths[attend], widths[feed]) in {(0, 0), whole}


def test_every_other_layer_goes_first_when_layers_are_dropped() -> None:
    parts = {f"l{place}": (f"l{place}.x",) for place in range(5)}
    costs = UnitCosts(
        dict.fromkeys((f"l{place}.x" for place in range(5)), 1),
        {f"l{place}.x": 1 for place in range(5)},
        fixed=0,
    )
    left = {
        gone: [place for place in range(5) if drop_order(parts, costs, gone / 5)[f"l{place}.x"]]
        for gone in range(5)
    }
    assert left == {0: [0, 1, 2, 3, 4], 1: [0, 2, 3, 4], 2: [0, 2, 4], 3: [0, 2], 4: [0]}
