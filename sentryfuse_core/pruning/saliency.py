"""First-order saliency of units: how the loss answers to a factor on each unit's contribution."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from sentryfuse_core.pruning.units import find_units, gated

__all__ = ["gate_gradients"]


def gate_gradients(network: nn.Module, loss: Callable[[], Tensor], *, samples: int) -> dict[str, Tensor]:
    """Gradients [B, units] of every sample's loss with respect to its factors on the units, at 1.

    g_u = dL/dxi_u at xi = 1 (Molchanov et al., arXiv 1906.10771; Michel et al., arXiv 1905.10650). The mean
    of g^2 over samples estimates what removing the unit does to the loss, to first order, squared.

    Args:
        network: whose units are probed; its parameters collect no gradients.
        loss: runs the network and returns the losses [B] or their sum.
        samples: B.
    """
    device = next(network.parameters()).device
    gates = {
        name: torch.ones(samples, layer.units, device=device, requires_grad=True)
        for name, layer in find_units(network).items()
    }
    with gated(network, gates), torch.enable_grad():
        total = loss().sum()
    names = list(gates)
    gradients = torch.autograd.grad(total, [gates[name] for name in names], allow_unused=True)
    return {
        name: torch.zeros_like(gates[name]) if gradient is None else gradient
        for name, gradient in zip(names, gradients, strict=True)
    }
