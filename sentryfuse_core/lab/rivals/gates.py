"""Rules from gradients with respect to a factor on each unit: Michel and Taylor."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from sentryfuse_core.lab.rivals.calibration import Allocation, Calibration, sample_losses
from sentryfuse_core.lab.rivals.scored import ScoreRule, Scores
from sentryfuse_core.pruning.saliency import gate_gradients

__all__ = ["Michel", "Taylor"]


@dataclass(frozen=True, kw_only=True)
class Michel(ScoreRule):
    """I_u = E|dL/dxi_u| over samples, divided by the l2 norm of its layer's scores; one global ranking.

    Michel et al., 'Are Sixteen Heads Really Better than One?' (arXiv 1905.10650, Sec. 4.1): the expected
    sensitivity to the head's mask variable, layers normalised as Molchanov et al. (arXiv 1611.06440) advise.
    Adapted: the paper knows heads only; feed-forward blocks get the same score. It prunes in steps of 10 %
    of the heads by scores computed once, which is what a ranking does.
    """

    name: str = "michel"
    source: str = "Michel et al., arXiv 1905.10650, Sec. 4.1"
    allocation: Allocation = "global"

    def score(self, network: nn.Module, calibration: Calibration) -> Scores:
        """E|g_u| / ||E|g|||_2 of the layer."""
        gradients = _gradients(network, calibration)
        means = {name: gradient.abs().mean(dim=0) for name, gradient in gradients.items()}
        return {name: mean / mean.norm().clamp_min(1e-30) for name, mean in means.items()}


@dataclass(frozen=True, kw_only=True)
class Taylor(ScoreRule):
    """I_u = E[(dL/dxi_u)^2] over samples; one global ranking.

    Molchanov et al., 'Importance Estimation for Neural Network Pruning' (arXiv 1906.10771, Sec. 3.1, the
    first order in its gate form, whose squares are averaged over batches). Adapted: gradients of single
    samples; no fine-tuning between steps. `one_order` (taylor_static) averages over masks, so that all
    masks share one ranking; without it (taylor_per_mask) each mask has its own.
    """

    name: str = "taylor_per_mask"
    source: str = "Molchanov et al., arXiv 1906.10771, Sec. 3.1"
    allocation: Allocation = "global"

    def score(self, network: nn.Module, calibration: Calibration) -> Scores:
        """E[g_u^2]."""
        gradients = _gradients(network, calibration)
        return {name: gradient.square().mean(dim=0) for name, gradient in gradients.items()}


def _gradients(network: nn.Module, calibration: Calibration) -> Scores:
    return gate_gradients(
        network, lambda: sample_losses(network, calibration), samples=len(calibration.label)
    )
