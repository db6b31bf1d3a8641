"""Least-squares refit: any rule's units, and outgoing maps fitted anew to what the full layers gave.

Layer after layer, min over (W, b) of ||H W + b - Y||^2 + lambda ||W - W_0||^2: H are the kept units' hidden
values in the already refitted smaller network, Y the full layer's output and what makes up for the errors of
earlier layers, W_0 the weights as they were, lambda = ridge * mean of the diagonal of H'H (centred). The
reconstruction is that of He et al. (arXiv 1707.06168, Eq. 1 and Sec. 3.2: least squares on the feature map,
asymmetric over layers) and Kwon et al. (arXiv 2204.09656, Sec. 4.3), with full matrices.

Memory: unlike slices of one set of weights, each mask and ratio needs its own copy of every outgoing matrix
and bias, 4 (rows kept * D + D) bytes a layer.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from sentryfuse_core.lab.rivals.layerwise import layer_by_layer
from sentryfuse_core.lab.rivals.rule import Calibration, Chosen, Rule, set_outgoing
from sentryfuse_core.model.units import Prunable

__all__ = ["refit", "refitted", "ridge_fit"]

_RIDGE = 1e-2  # strength of the pull to the old weights, relative to the hidden values' power


def refitted(base: Rule) -> Rule:
    """The units that `base` keeps, with every layer's outgoing map refitted for mask and ratio."""
    source = f"{base.source}; refit: He et al., arXiv 1707.06168, Sec. 3.2, with ridge"
    return replace(base, name=f"lsq_{base.name}", source=source, mend=refit)


def refit(
    network: nn.Module, small: nn.Module, _kept: Chosen, calibration: Calibration, *, ridge: float = _RIDGE
) -> None:
    """Give every layer of `small` the outgoing map that brings it nearest to the whole network's."""

    def solve(layer: Prunable, hidden: Tensor, target: Tensor) -> bool:
        set_outgoing(layer, *ridge_fit(hidden, target, layer.outgoing[0].detach(), ridge=ridge))
        return True

    layer_by_layer(network, small, calibration.inputs, solve)


def ridge_fit(hidden: Tensor, target: Tensor, old: Tensor, *, ridge: float) -> tuple[Tensor, Tensor]:
    """Weight [rows, D] and bias [D] that map hidden [M, rows] to target [M, D]; double precision inside."""
    middle, goal = hidden.double().mean(dim=0), target.double().mean(dim=0)
    if hidden.shape[1] == 0:
        return old, goal.to(old.dtype)
    values, wanted, weight = hidden.double() - middle, target.double() - goal, old.double()
    gram = values.T @ values
    strength = (ridge * gram.diagonal().mean()).clamp_min(1e-12)
    pull = strength * torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
    weight = weight + torch.linalg.solve(gram + pull, values.T @ (wanted - values @ weight))
    return weight.to(old.dtype), (goal - middle @ weight).to(old.dtype)
