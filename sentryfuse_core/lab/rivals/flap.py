"""FLAP: prune what hardly fluctuates and put its mean into the bias."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sentryfuse_core.lab.rivals.calibration import Allocation, Calibration, Present
from sentryfuse_core.lab.rivals.moments import Moments, hidden_moments
from sentryfuse_core.lab.rivals.scored import ScoreRule, Scores
from sentryfuse_core.lab.rivals.selected import Chosen, Selected, pruned_units, set_outgoing
from sentryfuse_core.pruning.costs import UnitCosts
from sentryfuse_core.pruning.units import find_units

__all__ = ["Flap", "compensate", "standardised"]


@dataclass(frozen=True, kw_only=True)
class Flap(ScoreRule):
    """Fluctuation Var(X_i) * ||W_i||_2^2 of each row of the outgoing map, standardised within its layer.

    An et al., 'Fluctuation-based Adaptive Structured Pruning for Large Language Models' (arXiv 2312.11983,
    Method: metric WIFV, structure AL-AM): S = the above, (S - mean) / std over the channels of a layer, the
        mean over the channels of a unit, one global ranking; then the bias gains mean(X_i) W_i of every
        pruned row i. Statistics are those of the unpruned network.

    Adapted: the variance is over all tokens of all samples at once (their code keeps a running estimate that
    starts at the second sample); the budget is in MACs at the mask, not in parameters.

    Attributes:
        square_attention: square the attention layers' metric before it is standardised, as their code does
            and their paper does not say.
        compensation: mend the bias.
    """

    name: str = "flap"
    source: str = "An et al., arXiv 2312.11983, Method (WIFV, AL-AM, bias compensation)"
    allocation: Allocation = "global"
    square_attention: bool = False
    compensation: bool = True

    def score(self, network: nn.Module, calibration: Calibration) -> Scores:
        """Standardised fluctuation, mean over the unit's channels."""
        return self._score(network, hidden_moments(network, calibration))

    def prepare(
        self,
        network: nn.Module,
        calibration: Mapping[Present, Calibration],
        costs: Mapping[Present, UnitCosts],
    ) -> Selected:
        """See `Rule`."""
        chosen = super().prepare(network, calibration, costs)
        moments: dict[Present, dict[str, Moments]] = {}

        def mend(small: nn.Module, kept: Chosen, present: Present) -> None:
            if present not in moments:
                moments[present] = hidden_moments(network, calibration[present])
            means = {name: moment.mean for name, moment in moments[present].items()}
            compensate(network, small, kept, means)

        return Selected(network, chosen.kept, mend if self.compensation else None)

    def _score(self, network: nn.Module, moments: Mapping[str, Moments]) -> Scores:
        scores = {}
        for name, layer in find_units(network).items():
            weight = layer.outgoing[0].detach().double()
            if name in moments:
                rows = moments[name].variance * weight.square().sum(dim=1)
                if self.square_attention and layer.unit_rows.keys() >= {"query"}:
                    rows = rows.square()
                scores[name] = standardised(rows, layer.units)
            else:
                scores[name] = torch.zeros(layer.units, device=weight.device)
        return scores


def standardised(rows: Tensor, units: int) -> Tensor:
    """(S - mean) / std over a layer's channels [units * size], then the mean over each unit's: [units]."""
    scale = rows.std()
    level = (rows - rows.mean()) / scale if scale > 0 else torch.zeros_like(rows)
    return level.reshape(units, -1).mean(dim=1)


def compensate(network: nn.Module, small: nn.Module, kept: Chosen, means: Mapping[str, Tensor]) -> None:
    """Add to the biases of `small` what the pruned units give on average; `means`: {layer: [rows]}."""
    whole = find_units(network)
    for name, layer in find_units(small).items():
        gone = pruned_units(whole[name], kept.get(name, list(range(whole[name].units))))
        if name not in means or not gone:
            continue
        size = whole[name].unit_size
        rows = [unit * size + row for unit in gone for row in range(size)]
        full, bias = (tensor.detach() for tensor in whole[name].outgoing)
        lost = full.double()[rows]
        mean = means[name][rows]
        mended = (bias.double() + mean @ lost).to(bias.dtype)
        weight = layer.outgoing[0]
        set_outgoing(
            layer,
            nn.Parameter(weight.detach(), requires_grad=False),
            nn.Parameter(mended, requires_grad=False),
        )
