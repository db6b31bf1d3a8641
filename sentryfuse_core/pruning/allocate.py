"""Which units stay under a budget of multiply-accumulates, given what each is worth; pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sentryfuse_core.pruning.costs import UnitCosts

__all__ = ["budget_macs", "keep_best", "keep_share", "keep_widths", "uniform_widths"]

Scores = Mapping[str, Sequence[float]]  # layer -> worth of each unit


def budget_macs(costs: UnitCosts, ratio: float) -> float:
    """What pruning `ratio` of the units' MACs leaves them; raises ValueError outside 0 <= ratio < 1."""
    if not 0.0 <= ratio < 1.0:
        raise ValueError(f"ratio {ratio} must be at least 0 and below 1")
    return round((1.0 - ratio) * costs.prunable, 3)  # 0.1 of 10 units is one unit, not 0.9999999999999998


def keep_best(
    scores: Scores, costs: UnitCosts, ratio: float, *, per_mac: bool = False
) -> dict[str, list[int]]:
    """The best units of the whole network by score (or by score per MAC), as many as fit."""
    left = budget_macs(costs, ratio)
    ranked = sorted(
        (
            (value / costs.macs[name] if per_mac else value, name, unit)
            for name, unit, value in _live(scores, costs)
        ),
        key=lambda entry: -entry[0],
    )
    kept: dict[str, list[int]] = {name: [] for name in costs.macs}
    for _, name, unit in ranked:
        if costs.macs[name] <= left:
            kept[name].append(unit)
            left -= costs.macs[name]
    return {name: sorted(units) for name, units in kept.items()}


def keep_share(scores: Scores, costs: UnitCosts, ratio: float) -> dict[str, list[int]]:
    """The best units of every layer, the same share of each, see `uniform_widths`."""
    widths = uniform_widths(costs, ratio)
    return {name: sorted(_ranked(scores[name])[:width]) for name, width in widths.items()}


def uniform_widths(costs: UnitCosts, ratio: float) -> dict[str, int]:
    """The same share of every layer's units, with the rounding that uses most of the budget.

    Layers get floor(share * units); the rest goes, unit by unit, to the layers that lost most by rounding.
    """
    share, left = 1.0 - ratio, budget_macs(costs, ratio)
    widths = {name: int(share * costs.units[name] + 1e-9) for name in costs.macs}
    left -= sum(costs.macs[name] * width for name, width in widths.items())
    for name in sorted(costs.macs, key=lambda layer: widths[layer] - share * costs.units[layer]):
        if 0 < costs.macs[name] <= left and widths[name] < costs.units[name]:
            widths[name] += 1
            left -= costs.macs[name]
    return widths


def keep_widths(worth: Scores, costs: UnitCosts, ratio: float) -> dict[str, int]:
    """Widths of layers whose units can only be kept in order, of greatest total worth under the budget.

    Greedy on the concave hull: again and again the extension with the most worth per MAC, of one layer by one
    or more units, that still fits.
    """
    widths = dict.fromkeys(costs.macs, 0)
    left = budget_macs(costs, ratio)
    while True:
        best: tuple[float, str, int] | None = None
        for name, cost in costs.macs.items():
            gain = 0.0
            for extra in range(1, costs.units[name] - widths[name] + 1):
                if not 0 < cost * extra <= left:
                    break
                gain += worth[name][widths[name] + extra - 1]
                density = gain / (cost * extra)
                if best is None or density > best[0]:
                    best = (density, name, extra)
        if best is None:
            return widths
        widths[best[1]] += best[2]
        left -= costs.macs[best[1]] * best[2]


def _live(scores: Scores, costs: UnitCosts) -> list[tuple[str, int, float]]:
    """(layer, unit, score) of the layers that run."""
    return [
        (name, unit, value)
        for name, cost in costs.macs.items()
        if cost
        for unit, value in enumerate(scores[name])
    ]


def _ranked(scores: Sequence[float]) -> list[int]:
    """Units from the best to the worst."""
    return sorted(range(len(scores)), key=lambda unit: -scores[unit])
