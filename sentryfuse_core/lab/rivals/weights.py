"""Rules that look at no data: random and magnitude."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from sentryfuse_core.lab.rivals.calibration import Allocation, Calibration
from sentryfuse_core.lab.rivals.scored import ScoreRule, Scores
from sentryfuse_core.pruning.units import find_units

__all__ = ["Magnitude", "Random"]


@dataclass(frozen=True, kw_only=True)
class Random(ScoreRule):
    """Uniform scores from `seed`; the same for all masks and ratios."""

    name: str = "random"
    source: str = "no paper"
    allocation: Allocation = "share"
    seed: int = 0

    def score(self, network: nn.Module, calibration: Calibration) -> Scores:
        """Uniform in [0, 1)."""
        del calibration
        generator = torch.Generator().manual_seed(self.seed)
        return {
            name: torch.rand(layer.units, generator=generator) for name, layer in find_units(network).items()
        }


@dataclass(frozen=True, kw_only=True)
class Magnitude(ScoreRule):
    """L2 norm of all weights of the unit, sqrt(sum w^2), each layer losing the same share.

    Han et al. (arXiv 1506.02626) remove single weights by |w|; Li et al. (arXiv 1608.08710, Sec. 3.1) whole
    filters by the norm of their weights, compared within a layer. Here a filter is a unit: all of its rows in
    all of its layer's tensors, incoming and outgoing.
    """

    name: str = "magnitude"
    source: str = "Li et al., arXiv 1608.08710, Sec. 3.1, with the L2 norm"
    allocation: Allocation = "share"

    def score(self, network: nn.Module, calibration: Calibration) -> Scores:
        """||W_u||_2."""
        del calibration
        return {
            name: torch.stack(
                [
                    layer.get_parameter(tensor).detach().reshape(layer.units, -1).square().sum(dim=1)
                    for tensor in layer.unit_rows
                ]
            )
            .sum(dim=0)
            .sqrt()
            for name, layer in find_units(network).items()
        }
