"""Kwon et al.: Fisher search under a MAC budget, rearrangement within layers, tuning of the mask.

Kwon et al., 'A Fast Post-Training Pruning Framework for Transformers' (arXiv 2204.09656): Sec. 4.1, the
diagonal empirical Fisher I_uu = sum over samples of (dL/dm_u)^2 and the search over the number of heads,
the rest of the budget going to filters, both by importance (Algorithm 1); Sec. 4.2, the greedy
rearrangement that lowers (1 - m)' I (1 - m) with the block-diagonal Fisher of each layer, widths as found;
Sec. 4.3, a factor on each kept unit by least squares, layer after layer, damped, given up beyond +-10.

Adapted: filters are feed-forward blocks and heads KV groups with their query heads; gradients are those of
single samples, as in the paper (their code takes mini-batches); units may differ in cost between layers, so
a prefix of the importance order is taken as long as its cost fits. Tuning matches the full network (their
code matches one pruned half as far) in all layers and without an intercept (their code skips the first
attention, and fits an intercept for heads that it then drops).
"""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from sentryfuse_core.lab.rivals.layerwise import layer_by_layer
from sentryfuse_core.lab.rivals.rule import Calibration, Chosen, Scores, factor_gradients, set_outgoing
from sentryfuse_core.model.attention import SentryAttend
from sentryfuse_core.model.units import Prunable, find_units
from sentryfuse_core.pruning.allocate import budget_macs
from sentryfuse_core.pruning.costs import UnitCosts

__all__ = ["choose", "gradients", "rearrange", "search", "tune", "unit_scales"]

_DAMP = 1.0  # Tikhonov factor of the normal equations, around factors of 1
_LIMIT = 10.0  # the factor beyond which tuning stops at that layer


def gradients(network: nn.Module, calibration: Calibration) -> Scores:
    """Of every sample's loss with respect to each unit's mask, {layer: [n, units]}, in double precision."""
    found = factor_gradients(network, calibration)
    return {name: gradient.double().cpu() for name, gradient in found.items()}


def choose(network: nn.Module, scores: Scores, costs: UnitCosts, ratio: float) -> Chosen:
    """How many units of each layer, by the search; then which ones, by the rearrangement of `gradients`."""
    heads = {name for name, layer in find_units(network).items() if isinstance(layer, SentryAttend)}
    fisher = {name: gradient.square().sum(dim=0).tolist() for name, gradient in scores.items()}
    widths = search(fisher, costs, ratio, heads=heads)
    return {name: rearrange(scores[name], len(units)) for name, units in widths.items()}


def search(
    fisher: Mapping[str, Sequence[float]], costs: UnitCosts, ratio: float, *, heads: set[str]
) -> dict[str, list[int]]:
    """Algorithm 1: for every number of heads the filters that still fit; the pair of most importance."""
    budget = budget_macs(costs, ratio)
    head_order = _order({name: fisher[name] for name in costs.macs if name in heads}, costs)
    filter_order = _order({name: fisher[name] for name in costs.macs if name not in heads}, costs)
    head_macs, head_worth = _sums(head_order, costs)
    filter_macs, filter_worth = _sums(filter_order, costs)
    fitting = [
        (count, bisect.bisect_right(filter_macs, budget - used) - 1)
        for count, used in enumerate(head_macs)
        if used <= budget
    ]
    heads_kept, filters = max(fitting, key=lambda pair: head_worth[pair[0]] + filter_worth[pair[1]])
    kept: dict[str, list[int]] = {name: [] for name in costs.macs}
    for _, name, unit in (*head_order[:heads_kept], *filter_order[:filters]):
        kept[name].append(unit)
    return {name: sorted(units) for name, units in kept.items()}


def rearrange(gradients: Tensor, count: int) -> list[int]:
    """Which `count` units of a layer to keep, by the layer's full Fisher; gradients [n, units].

    Greedy as in the paper: start from the units of least diagonal Fisher as pruned; then each other unit,
        from the least important, joins them and the one whose return leaves the smallest ||sum of
        gradients||^2 returns. Never worse than the start, since the newcomer itself may return.
    """
    units = gradients.shape[1]
    columns = gradients.T
    order = columns.square().sum(dim=1).argsort(stable=True).tolist()
    gone, others = order[: units - count], order[units - count :]
    if gone:
        for unit in others:
            gone.append(unit)
            vectors = columns[gone]
            left = (vectors.sum(dim=0) - vectors).square().sum(dim=1)
            del gone[int(left.argmin())]
    return sorted(set(range(units)) - set(gone))


def unit_scales(layer: Prunable, hidden: Tensor, target: Tensor, *, damp: float) -> Tensor:
    """Factors [units] on the layer's units that bring its output nearest to the target.

    With A = what each unit puts out (units by M * D), G = A A' and t = A (target - bias): the damped solution
    of G s = t around 1, min ||G (s - 1) - (t - G 1)||^2 + damp^2 ||s - 1||^2, as LSMR gives in their code.
    """
    weight, bias = (tensor.detach().double() for tensor in layer.outgoing)
    values = hidden.double()
    wanted = target.double() - bias
    inner = (weight @ weight.T) * (values.T @ values)  # sum over M and D of every pair of rows
    cross = (weight * (values.T @ wanted)).sum(dim=1)
    shape = (layer.units, layer.unit_size)
    gram = inner.reshape(*shape, *shape).sum(dim=(1, 3))
    goal = cross.reshape(shape).sum(dim=1)
    rest = goal - gram.sum(dim=1)
    identity = torch.eye(layer.units, dtype=gram.dtype, device=gram.device)
    change: Tensor = torch.linalg.solve(gram.T @ gram + damp**2 * identity, gram.T @ rest)
    return 1.0 + change


def tune(network: nn.Module, small: nn.Module, _kept: Chosen, calibration: Calibration) -> None:
    """Fit the factors and fold them into the outgoing weights, a copy for each mask and ratio."""

    def solve(layer: Prunable, hidden: Tensor, target: Tensor) -> bool:
        if layer.units == 0:
            return True
        scales = unit_scales(layer, hidden, target, damp=_DAMP)
        if bool(scales.abs().max() > _LIMIT):
            return False
        weight, bias = layer.outgoing
        scaled = weight * scales.to(weight.dtype).repeat_interleave(layer.unit_size)[:, None]
        set_outgoing(layer, scaled, bias)
        return True

    layer_by_layer(network, small, calibration.inputs, solve)


def _order(fisher: Mapping[str, Sequence[float]], costs: UnitCosts) -> list[tuple[float, str, int]]:
    """(importance, layer, unit) of the layers that run, most important first."""
    entries = [
        (value, name, unit)
        for name, values in fisher.items()
        if costs.macs[name]
        for unit, value in enumerate(values)
    ]
    return sorted(entries, key=lambda entry: -entry[0])


def _sums(order: Sequence[tuple[float, str, int]], costs: UnitCosts) -> tuple[list[int], list[float]]:
    """MACs and importance of the leading units together: of none, of one, ..."""
    macs = itertools.accumulate((costs.macs[name] for _, name, _ in order), initial=0)
    return list(macs), list(itertools.accumulate((worth for worth, _, _ in order), initial=0.0))
