"""Allocation of units: no plan costs more than its budget, and each keeps what it says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentryfuse_core.pruning.allocate import budget_macs, keep_best, keep_share, keep_widths, uniform_widths
from sentryfuse_core.pruning.costs import UnitCosts

RATIOS = st.one_of(
    st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99]), st.floats(0.0, 1.0, exclude_max=True)
)


def costs_of(macs: dict[str, int], units: dict[str, int]) -> UnitCosts:
    return UnitCosts(macs, units, fixed=7)


@st.composite
def networks(draw: st.DrawFn) -> UnitCosts:
    """One to five layers, some of which do not run."""
    names = [f"layer{place}" for place in range(draw(st.integers(1, 5)))]
    return costs_of(
        {name: draw(st.integers(0, 1000)) for name in names},
        {name: draw(st.integers(1, 12)) for name in names},
    )


@st.composite
def scored(draw: st.DrawFn) -> tuple[UnitCosts, dict[str, list[float]]]:
    """A network and what its units are worth."""
    costs = draw(networks())
    worth = st.floats(0.0, 100.0, allow_subnormal=False)
    return costs, {
        name: draw(st.lists(worth, min_size=count, max_size=count)) for name, count in costs.units.items()
    }


@given(network=scored(), ratio=RATIOS, per_mac=st.booleans())
def test_kept_units_never_cost_more_than_the_budget_when_chosen_freely(
    network: tuple[UnitCosts, dict[str, list[float]]], ratio: float, per_mac: bool
) -> None:
    costs, scores = network
    kept = keep_best(scores, costs, ratio, per_mac=per_mac)
    assert costs.of(kept) <= budget_macs(costs, ratio)
    assert kept.keys() == costs.macs.keys()
    assert all(list(units) == sorted(set(units)) for units in kept.values())
    left = budget_macs(costs, ratio) - costs.of(kept)
    for name, units in kept.items():
        if len(units) < costs.units[name] and costs.macs[name]:
            assert costs.macs[name] > left  # nothing that would fit was left out


@given(network=scored(), ratio=RATIOS)
def test_widths_never_cost_more_than_the_budget_when_units_go_in_order(
    network: tuple[UnitCosts, dict[str, list[float]]], ratio: float
) -> None:
    costs, worth = network
    for widths in (keep_widths(worth, costs, ratio), uniform_widths(costs, ratio)):
        assert widths.keys() == costs.macs.keys()
        assert all(0 <= width <= costs.units[name] for name, width in widths.items())
        spent = sum(costs.macs[name] * width for name, width in widths.items())
        assert spent <= budget_macs(costs, ratio) + 1e-6 * costs.prunable
        assert spent >= budget_macs(costs, ratio) - max(costs.macs.values())


@given(network=scored(), ratio=RATIOS)
def test_share_of_each_layer_is_that_of_uniform_widths_when_the_best_units_stay(
    network: tuple[UnitCosts, dict[str, list[float]]], ratio: float
) -> None:
    costs, scores = network
    kept = keep_share(scores, costs, ratio)
    assert {name: len(units) for name, units in kept.items()} == uniform_widths(costs, ratio)
    for name, units in kept.items():
        gone = set(range(costs.units[name])) - set(units)
        assert all(scores[name][unit] >= scores[name][other] for unit in units for other in gone)


@given(network=networks(), ratio=RATIOS)
def test_uniform_widths_are_within_a_unit_of_the_same_share_when_layers_differ(
    network: UnitCosts, ratio: float
) -> None:
    for name, width in uniform_widths(network, ratio).items():
        assert abs(width - (1.0 - ratio) * network.units[name]) <= 1.0


@given(
    count=st.integers(1, 4),
    units=st.integers(1, 10),
    cost=st.integers(1, 50),
    ratios=st.tuples(RATIOS, RATIOS),
    seed=st.randoms(use_true_random=False),
)
def test_plans_of_a_higher_ratio_lie_within_those_of_a_lower_one_when_units_cost_the_same(
    count: int, units: int, cost: int, ratios: tuple[float, float], seed: st.randoms
) -> None:
    names = [f"layer{place}" for place in range(count)]
    costs = costs_of(dict.fromkeys(names, cost), dict.fromkeys(names, units))
    worth = {name: sorted((seed.random() for _ in range(units)), reverse=True) for name in names}
    low, high = min(ratios), max(ratios)
    wide, narrow = keep_widths(worth, costs, low), keep_widths(worth, costs, high)
    assert all(narrow[name] <= wide[name] for name in names)
    wide, narrow = uniform_widths(costs, low), uniform_widths(costs, high)
    assert all(narrow[name] <= wide[name] for name in names)
    many, few = keep_best(worth, costs, low), keep_best(worth, costs, high)
    assert all(set(few[name]) <= set(many[name]) for name in names)


def test_widths_retrace_the_greedy_hull_when_worth_is_known_by_hand() -> None:
    costs = costs_of({"x": 10, "y": 20}, {"x": 3, "y": 2})
    # Worth per MAC of extensions: x 0.5, 0.1, 0.1; y first 0.05, but both of its units together 0.3.
    worth = {"x": [5.0, 1.0, 1.0], "y": [1.0, 11.0]}
    found = {macs: keep_widths(worth, costs, 1.0 - macs / 70.0) for macs in (10, 30, 40, 50, 60, 70)}
    assert found[10] == {"x": 1, "y": 0}
    assert found[30] == {"x": 3, "y": 0}  # both of y do not fit, and one of them is worth little
    assert found[40] == {"x": 3, "y": 0}
    assert found[50] == {"x": 1, "y": 2}
    assert found[60] == {"x": 2, "y": 2}
    assert found[70] == {"x": 3, "y": 2}


def test_widths_are_0_for_layers_that_do_not_run_when_their_units_are_worth_most() -> None:
    costs = costs_of({"x": 1, "y": 1, "gone": 0}, {"x": 4, "y": 4, "gone": 4})
    worth = {"x": [9.0] * 4, "y": [1.0] * 4, "gone": [99.0] * 4}
    assert keep_widths(worth, costs, 0.5) == {"x": 4, "y": 0, "gone": 0}


def test_best_units_are_chosen_by_score_or_by_score_per_mac_when_asked() -> None:
    costs = costs_of({"x": 1, "y": 4}, {"x": 4, "y": 1})
    scores = {"x": [1.0, 2.0, 3.0, 4.0], "y": [5.0]}
    assert keep_best(scores, costs, 0.5) == {"x": [], "y": [0]}
    assert keep_best(scores, costs, 0.5, per_mac=True) == {"x": [0, 1, 2, 3], "y": []}


@pytest.mark.parametrize("units", [10, 30, 100])
def test_a_tenth_of_the_units_stays_when_nine_tenths_go(units: int) -> None:
    costs, worth = costs_of({"x": 7}, {"x": units}), {"x": [1.0] * units}
    assert keep_widths(worth, costs, 0.9) == uniform_widths(costs, 0.9) == {"x": units // 10}
    assert keep_best(worth, costs, 0.9) == {"x": list(range(units // 10))}


@pytest.mark.parametrize("ratio", [-0.1, 1.0, 1.5, float("nan")])
def test_ratio_is_named_when_it_is_not_at_least_0_and_below_1(ratio: float) -> None:
    costs, worth = costs_of({"x": 3}, {"x": 2}), {"x": [1.0, 0.5]}
    ways = (
        lambda: budget_macs(costs, ratio),
        lambda: keep_best(worth, costs, ratio),
        lambda: keep_share(worth, costs, ratio),
        lambda: keep_widths(worth, costs, ratio),
        lambda: uniform_widths(costs, ratio),
    )
    for way in ways:
        with pytest.raises(ValueError, match=f"ratio {ratio} must be at least 0 and below 1"):
            way()
