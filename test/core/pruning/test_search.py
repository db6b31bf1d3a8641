"""Greedy elimination: it ranks units as a known loss says, within its steps, and widths retrace it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sentryfuse_core.pruning.allocate import keep_widths
from sentryfuse_core.pruning.costs import UnitCosts
from sentryfuse_core.pruning.search import eliminate


def additive(worth: Mapping[str, list[float]]) -> Callable[[Mapping[str, int]], float]:
    """A loss to which every unit that is gone adds its worth."""
    return lambda widths: sum(sum(values[widths[name] :]) for name, values in worth.items())


def worth_of(density: Mapping[str, list[float]], costs: UnitCosts) -> dict[str, list[float]]:
    return {name: [value * costs.macs[name] for value in values] for name, values in density.items()}


@st.composite
def problems(draw: st.DrawFn) -> tuple[UnitCosts, dict[str, list[float]]]:
    """Layers whose units are worth less and less, and layers that do not run."""
    names = [f"layer{place}" for place in range(draw(st.integers(1, 4)))]
    costs = UnitCosts(
        {name: draw(st.sampled_from([0, 1, 3, 10])) for name in names},
        {name: draw(st.integers(1, 6)) for name in names},
        fixed=5,
    )
    return costs, {
        name: sorted(
            draw(st.lists(st.floats(0.0, 9.0), min_size=count, max_size=count, unique=True)), reverse=True
        )
        for name, count in costs.units.items()
    }


def test_units_are_ranked_by_worth_per_mac_when_the_loss_is_additive() -> None:
    costs = UnitCosts({"x": 1, "y": 2}, {"x": 3, "y": 3}, fixed=0)
    worth = {"x": [8.0, 5.0, 1.0], "y": [20.0, 6.0, 1.0]}  # per MAC: 8, 5, 1 and 10, 3, 0.5
    density = eliminate(additive(worth), costs, step=0.0, last=1.0)
    found = sorted(
        ((value, name, unit) for name, values in density.items() for unit, value in enumerate(values))
    )
    assert [(name, unit) for _, name, unit in found] == [
        ("y", 2),
        ("x", 2),
        ("y", 1),
        ("x", 1),
        ("x", 0),
        ("y", 0),
    ]
    assert density["x"] == pytest.approx([6 / 9, 5 / 9, 2 / 9])
    assert density["y"] == pytest.approx([7 / 9, 3 / 9, 0.0])


@settings(max_examples=50)
@given(problem=problems(), step=st.floats(0.0, 0.5), last=st.floats(0.1, 1.0))
def test_widths_only_shrink_and_never_by_more_than_a_step_when_units_go(
    problem: tuple[UnitCosts, dict[str, list[float]]], step: float, last: float
) -> None:
    costs, worth = problem
    asked: list[dict[str, int]] = []
    loss = additive(worth)

    def noted(widths: Mapping[str, int]) -> float:
        asked.append(dict(widths))
        return loss(widths)

    density = eliminate(noted, costs, step=step, last=last)
    assert asked[0] == {name: costs.units[name] if cost else 0 for name, cost in costs.macs.items()}
    assert all(0 <= width <= costs.units[name] for widths in asked for name, width in widths.items())
    for name, values in density.items():
        assert len(values) == costs.units[name]
        assert all(0.0 <= value <= 1.0 for value in values)
        assert values == sorted(values, reverse=True)  # the last unit is the first to go
        if not costs.macs[name]:
            assert values == [0.0] * len(values)
    by_turn: dict[float, int] = {}
    for name, values in density.items():
        for value in values:
            if value < 1.0 and costs.macs[name]:
                by_turn[value] = by_turn.get(value, 0) + costs.macs[name]
    most = max([step * costs.prunable, *costs.macs.values()])
    assert all(macs <= most + 1e-9 for macs in by_turn.values())


@settings(max_examples=50)
@given(problem=problems())
def test_widths_retrace_the_elimination_when_planned_for_its_own_ratios(
    problem: tuple[UnitCosts, dict[str, list[float]]],
) -> None:
    costs, worth = problem
    density = eliminate(additive(worth), costs, step=0.0, last=1.0)
    planned = worth_of(density, costs)
    turns = sorted({value for values in density.values() for value in values if value > 0.0})
    for gone in turns:
        widths = keep_widths(planned, costs, gone)
        expected = {
            name: sum(value >= gone for value in values) if costs.macs[name] else 0
            for name, values in density.items()
        }
        assert widths == expected


def test_units_that_only_count_in_pairs_outlive_others_when_the_loss_says_so() -> None:
    costs = UnitCosts({"x": 1, "y": 1}, {"x": 2, "y": 2}, fixed=0)

    def loss(widths: Mapping[str, int]) -> float:
        return (0.0 if widths["x"] == 2 else 5.0) + 1.0 * (2 - widths["y"])

    density = eliminate(loss, costs, step=0.0, last=1.0)
    assert density["y"] == [0.25, 0.0]
    assert min(density["x"]) > max(density["y"])


@pytest.mark.parametrize("macs", [{}, {"x": 0}], ids=["no layer", "none runs"])
def test_elimination_ends_when_there_is_nothing_to_eliminate(macs: dict[str, int]) -> None:
    costs = UnitCosts(macs, dict.fromkeys(macs, 3), fixed=1)
    assert eliminate(lambda _: 0.0, costs) == {name: [0.0] * 3 for name in macs}


def test_rest_is_worth_the_same_when_elimination_stops_early() -> None:
    costs = UnitCosts({"x": 1}, {"x": 10}, fixed=0)
    density = eliminate(additive({"x": [1.0] * 10}), costs, step=0.1, last=0.5)
    assert density["x"] == pytest.approx([1.0] * 5 + [0.4, 0.3, 0.2, 0.1, 0.0])
