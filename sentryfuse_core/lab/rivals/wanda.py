"""Wanda-sp: weights times the norm of what they are multiplied with."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from sentryfuse_core.lab.rivals.calibration import Allocation, Calibration
from sentryfuse_core.lab.rivals.moments import hidden_moments
from sentryfuse_core.lab.rivals.scored import ScoreRule, Scores
from sentryfuse_core.pruning.units import find_units

__all__ = ["WandaSp"]


@dataclass(frozen=True, kw_only=True)
class WandaSp(ScoreRule):
    """I_u = sum over the unit's rows i and outputs j of |W_ij| * ||X_i||_2, the same share of each layer.

    Wanda's score (Sun et al., arXiv 2306.11695, Eq. 1) summed over structures, as An et al. (arXiv
    2312.11983, experiments, and `prune_wanda_sp` of their code) extend it: weights and inputs of the
    outgoing map only. They average over outputs and sum over the rows of a head; the factor 1/D is the same
    in all layers here.
    """

    name: str = "wanda_sp"
    source: str = "An et al., arXiv 2312.11983 (Wanda-sp); Sun et al., arXiv 2306.11695, Eq. 1"
    allocation: Allocation = "share"

    def score(self, network: nn.Module, calibration: Calibration) -> Scores:
        """The sum over |W| ||X||."""
        moments = hidden_moments(network, calibration)
        scores = {}
        for name, layer in find_units(network).items():
            weight = layer.outgoing[0].detach().double()
            if name in moments:
                rows = weight.abs().sum(dim=1) * moments[name].power.sqrt()
                scores[name] = rows.reshape(layer.units, -1).sum(dim=1)
            else:
                scores[name] = torch.zeros(layer.units, device=weight.device)
        return scores
