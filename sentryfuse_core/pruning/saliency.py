"""First-order saliency of units: how the loss answers to a factor on each unit's contribution."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from sentryfuse_core.pruning.units import find_units, gated, inferring

__all__ = ["gate_gradients"]


def gate_gradients(network: nn.Module, loss: Callable[[], Tensor], *, samples: int) -> dict[str, Tensor]:
    """Gradients [B, units], float32, of every sample's loss by its factors on the units, at 1.

    g_u = dL/dxi_u at xi = 1 (Molchanov et al., arXiv 1906.10771; Michel et al., arXiv 1905.10650). The mean
    of g^2 over samples estimates what removing the unit does to the loss, to first order, squared.

    Args:
        network: whose units are probed, as it infers; its parameters collect no gradients.
        loss: runs the network and returns the losses [B] or their sum.
        samples: B.
    """
    layers = find_units(network)
    like = {name: layer.outgoing[0] for name, layer in layers.items()}  # in half precision gates are, too
    gates = {
        name: torch.ones(
            samples, layer.units, device=like[name].device, dtype=like[name].dtype, requires_grad=True
        )
        for name, layer in layers.items()
    }
    with inferring(network), gated(network, gates), torch.enable_grad():
        total = loss().sum()
    names = list(gates)
    if not total.requires_grad:  # no unit runs for these inputs
        return {name: torch.zeros_like(gate, dtype=torch.float32) for name, gate in gates.items()}
    gradients = torch.autograd.grad(total, [gates[name] for name in names], allow_unused=True)
    return {
        name: (torch.zeros_like(gates[name]) if gradient is None else gradient).float()
        for name, gradient in zip(names, gradients, strict=True)
    }
