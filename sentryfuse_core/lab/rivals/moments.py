"""Mean, variance and power of the hidden values that enter each layer's outgoing map."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sentryfuse_core.lab.rivals.calibration import Calibration
from sentryfuse_core.pruning.units import watched

__all__ = ["Moments", "hidden_moments"]


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
    """Moments of every layer that runs, of the network as it is, in double precision."""
    found: dict[str, Moments] = {}

    def watch(name: str, hidden: Tensor) -> None:
        values = hidden.flatten(0, 1).double()
        found[name] = Moments(values.mean(dim=0), values.var(dim=0), values.square().sum(dim=0))

    with torch.no_grad(), watched(network, watch):
        network(calibration.inputs)
    return found
