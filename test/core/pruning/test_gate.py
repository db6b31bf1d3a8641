"""SentryGate: plans within budgets in every design, nested where they should be, and scores that fit."""

from __future__ import annotations

import itertools
from typing import get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sentryfuse_core.pruning.allocate import budget_macs, keep_best, uniform_widths
from sentryfuse_core.pruning.costs import UnitCosts
from sentryfuse_core.pruning.gate import (
    Design,
    Present,
    SentryGate,
    alignment_loss,
    shared_order,
    subsets,
)

MODALITIES = ("a", "b", "c")
UNITS = {"own.a": 3, "own.b": 3, "own.c": 4, "trunk.attend": 4, "trunk.feed": 8}
SETS = subsets(MODALITIES)
DESIGNS = get_args(Design)
every_design = pytest.mark.parametrize("design", DESIGNS)
PRESENT = st.sampled_from(SETS)
RATIOS = st.one_of(st.sampled_from([0.0, 0.25, 0.5, 0.75, 0.9]), st.floats(0.0, 1.0, exclude_max=True))


def costs_of(present: Present) -> UnitCosts:
    """Layers of an absent modality do not run; the trunk costs more with more modalities."""
    macs = {f"own.{name}": 60 if name in present else 0 for name in MODALITIES}
    macs |= {"trunk.attend": 50 * len(present), "trunk.feed": 20 * len(present)}
    return UnitCosts(macs, UNITS, fixed=1000)


COSTS = {present: costs_of(present) for present in SETS}


def gate_of(design: Design, seed: int = 0) -> SentryGate:
    """A gate with random scores."""
    torch.manual_seed(seed)
    gate = SentryGate(MODALITIES, COSTS, design=design)
    with torch.no_grad():
        for parameter in gate.parameters():
            parameter.normal_()
    return gate


def saliency_of(seed: int = 0) -> dict[Present, dict[str, Tensor]]:
    """Random saliencies that differ from mask to mask; layers that do not run have none."""
    generator = torch.Generator().manual_seed(seed)
    return {
        present: {
            name: torch.rand(count, generator=generator).pow(4) * bool(COSTS[present].macs[name])
            for name, count in UNITS.items()
        }
        for present in SETS
    }


GATES = {design: gate_of(design) for design in DESIGNS}


@every_design
@settings(max_examples=40)
@given(present=PRESENT, ratio=RATIOS)
def test_plan_keeps_to_its_budget_and_says_what_it_costs_when_made(
    design: Design, present: Present, ratio: float
) -> None:
    costs = COSTS[present]
    plan = GATES[design].plan(present=present, ratio=ratio)
    assert (plan.present, plan.ratio) == (present, ratio)
    assert plan.kept.keys() == UNITS.keys()
    assert plan.unit_macs == costs.of(plan.kept) <= budget_macs(costs, ratio) + 1e-6
    assert plan.macs == plan.unit_macs + costs.fixed
    assert plan.unit_macs > budget_macs(costs, ratio) - max(costs.macs.values())
    for name, units in plan.kept.items():
        assert list(units) == sorted(set(units))
        assert all(0 <= unit < UNITS[name] for unit in units)
        if design != "faithful":
            assert list(units) == list(range(len(units)))
    assert plan.widths == {name: len(units) for name, units in plan.kept.items()}


@every_design
@pytest.mark.parametrize("present", SETS, ids=lambda present: "".join(sorted(present)))
def test_plan_keeps_every_unit_that_runs_when_nothing_is_to_go(design: Design, present: Present) -> None:
    plan = GATES[design].plan(present, 0.0)
    running = {name for name, macs in COSTS[present].macs.items() if macs}
    assert {name: plan.widths[name] for name in running} == {name: UNITS[name] for name in running}
    assert plan.macs == COSTS[present].total


@given(present=PRESENT, ratio=RATIOS)
def test_uniform_plan_keeps_the_same_share_whatever_the_scores_when_made(
    present: Present, ratio: float
) -> None:
    assert GATES["uniform"].plan(present, ratio).widths == uniform_widths(COSTS[present], ratio)


@settings(max_examples=40)
@given(present=PRESENT, ratios=st.tuples(RATIOS, RATIOS))
def test_wider_uniform_plan_contains_the_narrower_one_when_units_cost_the_same(
    present: Present, ratios: tuple[float, float]
) -> None:
    even = {
        one: UnitCosts({name: 10 * bool(macs) for name, macs in costs.macs.items()}, UNITS, fixed=0)
        for one, costs in COSTS.items()
    }
    gate = SentryGate(MODALITIES, even)
    wide, narrow = (gate.plan(present, ratio).widths for ratio in sorted(ratios))
    running = [name for name, macs in even[present].macs.items() if macs]
    assert all(narrow[name] <= wide[name] for name in running)


@pytest.mark.parametrize("present", SETS, ids=lambda present: "".join(sorted(present)))
def test_wider_uniform_plan_contains_the_narrower_one_when_ratios_are_the_benchmarks(
    present: Present,
) -> None:
    plans = [GATES["uniform"].plan(present, ratio).widths for ratio in (0.0, 0.25, 0.5, 0.75, 0.9)]
    for wide, narrow in itertools.pairwise(plans):
        assert all(narrow[name] <= wide[name] for name, macs in COSTS[present].macs.items() if macs)


def test_faithful_plan_follows_the_order_of_its_mask_when_orders_differ() -> None:
    gate = gate_of("faithful")
    for present in SETS:
        for ratio in (0.25, 0.5, 0.75):
            expected = keep_best(gate.worth(present), COSTS[present], ratio, per_mac=True)
            assert gate.plan(present, ratio).kept == expected
    kept = {tuple(gate.plan(present, 0.5).kept["trunk.feed"]) for present in SETS}
    assert len(kept) > 1


def test_conditioned_widths_differ_with_the_mask_and_shared_ones_do_not_when_costs_are_the_same() -> None:
    one = UnitCosts({"x": 10, "y": 10}, {"x": 4, "y": 4}, fixed=0)
    costs = dict.fromkeys(subsets(("a", "b")), one)
    targets = {
        frozenset("a"): {"x": torch.ones(4), "y": torch.ones(4) * 1e-4},
        frozenset("b"): {"x": torch.ones(4) * 1e-4, "y": torch.ones(4)},
        frozenset("ab"): {"x": torch.ones(4), "y": torch.ones(4)},
    }
    widths = {}
    for design in ("conditioned", "shared"):
        torch.manual_seed(0)
        gate = SentryGate(("a", "b"), costs, design=design)
        gate.align(targets, steps=60)
        widths[design] = [gate.plan(present, 0.5).widths for present in (frozenset("a"), frozenset("b"))]
    assert widths["conditioned"] == [{"x": 4, "y": 0}, {"x": 0, "y": 4}]
    assert widths["shared"][0] == widths["shared"][1]


def test_alignment_falls_and_ranks_as_saliency_does_when_masks_differ() -> None:
    torch.manual_seed(0)
    gate, targets = SentryGate(MODALITIES, COSTS, design="faithful"), saliency_of()
    with torch.no_grad():
        before = float(torch.stack([gate.alignment(*target) for target in targets.items()]).mean())
    last = gate.align(targets, steps=200)
    assert last < 0.1 * before
    for present in (frozenset("a"), frozenset("bc"), frozenset("abc")):
        worth = torch.cat([torch.tensor(values) for values in gate.worth(present).values()])
        aim = torch.cat([targets[present][name] for name in UNITS])
        running = gate.running(present)
        pairs = torch.corrcoef(
            torch.stack([worth[running].argsort().argsort(), aim[running].argsort().argsort()]).float()
        )
        assert float(pairs[0, 1]) > 0.9


def test_order_is_recovered_exactly_when_one_set_has_clear_saliencies() -> None:
    torch.manual_seed(1)
    present, total = frozenset(MODALITIES), sum(UNITS.values())
    rank = torch.randperm(total)
    density = 1.3 ** -rank.float()
    parts = dict(zip(UNITS, density.split(list(UNITS.values())), strict=True))
    gate = SentryGate(MODALITIES, {present: COSTS[present]}, design="faithful")
    gate.align({present: {name: part * COSTS[present].macs[name] for name, part in parts.items()}}, steps=200)
    scores = gate(gate.mask_of(present)[None])[0]
    assert torch.equal(scores.argsort(descending=True), rank.argsort())


def test_alignment_is_zero_when_scores_are_the_logarithm_of_saliency_per_mac() -> None:
    saliency = torch.rand(6) + 0.1
    assert float(alignment_loss(saliency.log() + 3.0, saliency)) == pytest.approx(0.0, abs=1e-6)
    assert float(alignment_loss(torch.zeros(6), saliency)) > 1e-3


def test_scores_are_the_written_formula_when_computed_by_hand() -> None:
    gate = gate_of("conditioned")
    mask = gate.mask_of(["c", "a"])
    assert mask.tolist() == [1.0, 0.0, 1.0]
    first, _, last = gate.mix
    mixed = torch.tanh(mask @ first.weight.t() + first.bias) @ last.weight.t()
    expected = gate.bias + gate.linear[:, 0] + gate.linear[:, 2] + mixed
    torch.testing.assert_close(gate(mask[None])[0], expected)


def test_worth_is_greatest_per_mac_at_one_and_nothing_where_a_layer_does_not_run() -> None:
    worth = GATES["faithful"].worth("b")
    costs = COSTS[frozenset("b")]
    density = [
        value / costs.macs[name] for name, values in worth.items() if costs.macs[name] for value in values
    ]
    assert max(density) == pytest.approx(1.0)
    assert worth["own.a"] == [0.0] * 3


@every_design
def test_plan_is_empty_when_no_layer_runs(design: Design) -> None:
    costs = {frozenset("a"): UnitCosts({"x": 0}, {"x": 3}, fixed=5)}
    plan = SentryGate(("a",), costs, design=design).plan("a", 0.5)
    assert plan.unit_macs == 0
    assert plan.macs == 5


@every_design
@pytest.mark.parametrize(
    ("present", "ratio", "told"),
    [
        ({"sonar", "a"}, 0.5, r"unknown modalities \['sonar'\]; there are a, b, c"),
        (set(), 0.5, "no modality is present"),
        ({"a"}, 1.0, "ratio 1.0 must be at least 0 and below 1"),
        ({"a"}, -0.5, "ratio -0.5"),
    ],
    ids=["unknown", "none", "all", "negative"],
)
def test_plan_names_the_value_when_it_cannot_be_made(
    design: Design, present: set[str], ratio: float, told: str
) -> None:
    with pytest.raises(ValueError, match=told):
        GATES[design].plan(present, ratio)


def test_plan_names_the_modalities_when_their_costs_were_not_measured() -> None:
    gate = SentryGate(MODALITIES, {frozenset("abc"): COSTS[frozenset("abc")]})
    with pytest.raises(ValueError, match=r"no costs were measured for \['a', 'b'\]"):
        gate.plan(present={"a", "b"}, ratio=0.5)


def test_gate_names_what_is_wrong_when_it_is_made() -> None:
    with pytest.raises(ValueError, match="costs are empty"):
        SentryGate(MODALITIES, {})
    with pytest.raises(
        ValueError, match="unknown design 'best'; there are uniform, shared, conditioned, faithful"
    ):
        SentryGate(MODALITIES, COSTS, design="best")  # type: ignore[arg-type]


def test_gate_plans_the_same_when_its_state_is_read_back() -> None:
    gate, other = gate_of("conditioned", 0), gate_of("conditioned", 1)
    plans = [gate.plan(present, 0.5) for present in SETS]
    assert plans != [other.plan(present, 0.5) for present in SETS]
    other.load_state_dict(gate.state_dict())
    assert plans == [other.plan(present, 0.5) for present in SETS]


def test_shared_order_weighs_every_set_the_same_when_their_saliencies_differ_in_scale() -> None:
    small = {"x": torch.tensor([0.1, 0.0, 0.3]), "y": torch.tensor([0.6, 0.0])}
    large = {"x": torch.tensor([500.0, 0.0, 0.0]), "y": torch.tensor([0.0, 500.0])}
    # x: 0.1 + 0.5, 0, 0.3; y: 0.6, 0.5.
    assert shared_order([small, large]) == {"x": [0, 2, 1], "y": [0, 1]}


def test_subsets_are_all_but_the_empty_one_with_the_full_one_last_when_listed() -> None:
    assert len(set(SETS)) == len(SETS) == 7
    assert SETS[-1] == frozenset(MODALITIES)
    assert frozenset() not in SETS
