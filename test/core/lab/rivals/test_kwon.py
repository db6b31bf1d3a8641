"""Kwon et al.: the search against enumeration, the rearrangement in its quadratic form, and the factors."""

from __future__ import annotations

from itertools import product

import pytest
import torch

from sentryfuse_core.lab.rivals.kwon import rearrange, search, unit_scales
from sentryfuse_core.model.fusion import FeedForward
from sentryfuse_core.pruning.costs import UnitCosts


def _loss(gradients: torch.Tensor, kept: list[int]) -> float:
    """(1 - m)' I (1 - m) with I the sum of g g' over samples."""
    gone = sorted(set(range(gradients.shape[1])) - set(kept))
    return float(gradients[:, gone].sum(dim=1).square().sum())


@pytest.mark.parametrize("seed", range(10))
def test_rearrange_is_never_worse_than_the_diagonal_when_gradients_are_random(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    gradients = torch.randn(20, 9, generator=generator) @ torch.randn(9, 9, generator=generator)
    for count in range(10):
        diagonal = gradients.square().sum(dim=0).argsort(descending=True)[:count].tolist()
        kept = rearrange(gradients, count)
        assert len(kept) == count
        assert _loss(gradients, kept) <= _loss(gradients, diagonal) * (1 + 1e-6)


def test_rearrange_prunes_units_that_cancel_when_single_ones_look_cheaper() -> None:
    gradients = torch.tensor([[1.0, 1.1, -1.1], [1.0, 1.1, -1.1]])
    assert rearrange(gradients, 1) == [0]  # the diagonal keeps one of the two that cancel


@pytest.mark.parametrize("ratio", [0.1, 0.4, 0.7, 0.95])
def test_search_finds_the_best_pair_of_counts_when_costs_are_equal_within_kinds(ratio: float) -> None:
    torch.manual_seed(1)
    fisher = {name: torch.rand(4).tolist() for name in ("h1", "h2", "f1", "f2", "off")}
    costs = UnitCosts({"h1": 7, "h2": 7, "f1": 3, "f2": 3, "off": 0}, dict.fromkeys(fisher, 4), 0)
    kept = search(fisher, costs, ratio, heads={"h1", "h2"})
    heads = sorted(fisher["h1"] + fisher["h2"], reverse=True)
    filters = sorted(fisher["f1"] + fisher["f2"], reverse=True)
    best = max(
        sum(heads[:many]) + sum(filters[:others])
        for many, others in product(range(9), range(9))
        if 7 * many + 3 * others <= (1 - ratio) * costs.prunable
    )
    assert costs.of(kept) <= (1 - ratio) * costs.prunable
    assert sum(fisher[name][unit] for name, units in kept.items() for unit in units) == pytest.approx(best)
    assert kept["off"] == []


def test_unit_scales_find_the_factors_when_the_target_is_made_of_them() -> None:
    torch.manual_seed(0)
    layer = FeedForward(5, channels=6, block=2)
    hidden = torch.randn(50, 6)
    factors = torch.tensor([2.0, 0.5, 1.0])
    weight, bias = layer.outgoing
    target = hidden * factors.repeat_interleave(2) @ weight + bias
    found = unit_scales(layer, hidden, target, damp=1e-3)
    torch.testing.assert_close(found, factors.double(), atol=1e-4, rtol=0)
    damped = unit_scales(layer, hidden, target, damp=1e6)
    torch.testing.assert_close(damped, torch.ones(3, dtype=torch.float64), atol=1e-3, rtol=0)
