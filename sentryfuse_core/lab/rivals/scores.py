"""What published rules say a unit is worth by its weights, its gradients or what passes through it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sentryfuse_core.lab.rivals.rule import Calibration, Scores, factor_gradients
from sentryfuse_core.model.units import find_units
from sentryfuse_core.pruning.units import watched

__all__ = [
    "Moments",
    "hidden_moments",
    "hidden_scores",
    "magnitude",
    "michel",
    "taylor",
    "uniform",
    "wanda_sp",
]


def uniform(network: nn.Module, _calibration: Calibration) -> Scores:
    """Uniform random numbers, the same for all masks and ratios."""
    generator = torch.Generator().manual_seed(0)
    return {name: torch.rand(layer.units, generator=generator) for name, layer in find_units(network).items()}


def magnitude(network: nn.Module, _calibration: Calibration) -> Scores:
    """L2 norm of all weights of the unit, sqrt(sum w^2).

    Han et al. (arXiv 1506.02626) remove single weights by |w|; Li et al. (arXiv 1608.08710, Sec. 3.1) whole
    filters by the norm of their weights, compared within a layer. Here a filter is a unit: all of its rows in
    all of its layer's tensors, incoming and outgoing.
    """
    scores = {}
    for name, layer in find_units(network).items():
        tensors = [layer.get_parameter(tensor).detach() for tensor in layer.unit_rows]
        squares = [tensor.reshape(layer.units, -1).square().sum(dim=1) for tensor in tensors]
        scores[name] = torch.stack(squares).sum(dim=0).sqrt()
    return scores


def michel(network: nn.Module, calibration: Calibration) -> Scores:
    """I_u = E|dL/dxi_u| over samples, divided by the l2 norm of its layer's scores.

    Michel et al., 'Are Sixteen Heads Really Better than One?' (arXiv 1905.10650, Sec. 4.1): the expected
    sensitivity to the head's mask variable, layers normalised as Molchanov et al. (arXiv 1611.06440) advise.
    Adapted: the paper knows heads only; feed-forward blocks get the same score. It prunes in steps of 10 %
    of the heads by scores computed once, which is what a ranking does.
    """
    gradients = factor_gradients(network, calibration)
    means = {name: gradient.abs().mean(dim=0) for name, gradient in gradients.items()}
    return {name: mean / mean.norm().clamp_min(1e-30) for name, mean in means.items()}


def taylor(network: nn.Module, calibration: Calibration) -> Scores:
    """I_u = E[(dL/dxi_u)^2] over samples.

    Molchanov et al., 'Importance Estimation for Neural Network Pruning' (arXiv 1906.10771, Sec. 3.1, the
    first order in its gate form, whose squares are averaged over batches). Adapted: gradients of single
    samples; no fine-tuning between steps.
    """
    gradients = factor_gradients(network, calibration)
    return {name: gradient.square().mean(dim=0) for name, gradient in gradients.items()}


def wanda_sp(network: nn.Module, calibration: Calibration) -> Scores:
    """I_u = sum over the unit's rows i and outputs j of |W_ij| * ||X_i||_2.

    Wanda's score (Sun et al., arXiv 2306.11695, Eq. 1) summed over structures, as An et al. (arXiv
    2312.11983, experiments, and `prune_wanda_sp` of their code) extend it: weights and inputs of the
    outgoing map only. They average over outputs and sum over the rows of a head; the factor 1/D is the same
    in all layers here.
    """

    def worth(weight: Tensor, moments: Moments, units: int) -> Tensor:
        return (weight.abs().sum(dim=1) * moments.power.sqrt()).reshape(units, -1).sum(dim=1)

    return hidden_scores(network, calibration, worth)


@dataclass(frozen=True, eq=False)
class Moments:
    """Of one layer's hidden values over all samples and tokens, each [units * unit_size].

    Attributes:
        mean: mean.
        variance: sample variance (divided by count - 1).
        power: sum of squares.
    """

    mean: Tensor
    variance: Tensor
    power: Tensor


def hidden_moments(network: nn.Module, calibration: Calibration) -> dict[str, Moments]:
    """Moments of what enters the outgoing map of every layer that runs, in double precision."""
    found: dict[str, Moments] = {}

    def watch(name: str, hidden: Tensor) -> None:
        values = hidden.flatten(0, 1).double()
        found[name] = Moments(values.mean(dim=0), values.var(dim=0), values.square().sum(dim=0))

    with torch.no_grad(), watched(network, watch):
        network(calibration.inputs)
    return found


def hidden_scores(
    network: nn.Module, calibration: Calibration, worth: Callable[[Tensor, Moments, int], Tensor]
) -> Scores:
    """`worth` [units] from outgoing weight [rows, D], moments and number of units; 0 where nothing runs."""
    moments = hidden_moments(network, calibration)
    scores = {}
    for name, layer in find_units(network).items():
        weight = layer.outgoing[0].detach().double()
        scores[name] = (
            worth(weight, moments[name], layer.units)
            if name in moments
            else torch.zeros(layer.units, device=weight.device)
        )
    return scores
