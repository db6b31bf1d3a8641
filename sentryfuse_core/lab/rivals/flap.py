"""FLAP: prune what hardly fluctuates and put its mean into the bias.

An et al., 'Fluctuation-based Adaptive Structured Pruning for Large Language Models' (arXiv 2312.11983,
Method: metric WIFV, structure AL-AM): fluctuation S = Var(X_i) * ||W_i||_2^2 of each row of the outgoing map,
(S - mean) / std over the channels of a layer, the mean over the channels of a unit, one global ranking; then
the bias gains mean(X_i) W_i of every pruned row i. Statistics are those of the unpruned network.

Adapted: the variance is over all tokens of all samples at once (their code keeps a running estimate that
starts at the second sample), and the metric of attention layers is not squared, which their code does and
their paper does not say; the budget is in MACs at the mask, not in parameters.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sentryfuse_core.lab.rivals.rule import Calibration, Chosen, Scores, set_outgoing
from sentryfuse_core.lab.rivals.scores import Moments, hidden_moments, hidden_scores
from sentryfuse_core.model.units import find_units

__all__ = ["compensate", "fluctuation", "standardised"]


def fluctuation(network: nn.Module, calibration: Calibration) -> Scores:
    """Standardised fluctuation, mean over the unit's channels."""

    def worth(weight: Tensor, moments: Moments, units: int) -> Tensor:
        return standardised(moments.variance * weight.square().sum(dim=1), units)

    return hidden_scores(network, calibration, worth)


def standardised(rows: Tensor, units: int) -> Tensor:
    """(S - mean) / std over a layer's channels [units * size], then the mean over each unit's: [units]."""
    scale = rows.std()
    level = (rows - rows.mean()) / scale if scale > 0 else torch.zeros_like(rows)
    return level.reshape(units, -1).mean(dim=1)


def compensate(network: nn.Module, small: nn.Module, kept: Chosen, calibration: Calibration) -> None:
    """Add to the biases of `small` what the pruned units of the whole network give on average."""
    moments, whole = hidden_moments(network, calibration), find_units(network)
    for name, layer in find_units(small).items():
        gone = sorted(set(range(whole[name].units)) - set(kept[name]))
        if name not in moments or not gone:
            continue
        size = whole[name].unit_size
        rows = [unit * size + row for unit in gone for row in range(size)]
        full, bias = whole[name].outgoing
        mended = bias.double() + moments[name].mean[rows] @ full.double()[rows]
        set_outgoing(layer, layer.outgoing[0], mended.to(bias.dtype))
