"""Least-squares refit: any rule's units, and outgoing maps fitted anew to what the full layers gave."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sentryfuse_core.lab.rivals.calibration import Calibration, Present, Rule
from sentryfuse_core.lab.rivals.layerwise import layer_by_layer
from sentryfuse_core.lab.rivals.selected import Chosen, Selected, set_outgoing
from sentryfuse_core.model.units import Prunable
from sentryfuse_core.pruning.costs import UnitCosts

__all__ = ["LeastSquares", "ridge_fit"]


@dataclass(frozen=True, kw_only=True)
class LeastSquares:
    """The units that `base` keeps, with every layer's outgoing weight and bias refitted for mask and ratio.

    Layer after layer, min over (W, b) of ||H W + b - Y||^2 + lambda ||W - W_0||^2: H are the kept units'
    hidden values in the already refitted smaller network, Y the full layer's output, W_0 the weights as
    they were, lambda = ridge * mean of the diagonal of H'H (centred). The reconstruction is that of He et
    al. (arXiv 1707.06168, Eq. 1 and Sec. 3.2: least squares on the feature map, asymmetric over layers) and
    Kwon et al. (arXiv 2204.09656, Sec. 4.3), with full matrices.

    Memory: unlike slices of one set of weights, each mask and ratio needs its own copy of every outgoing
        matrix and bias, 4 (rows kept * D + D) bytes a layer; `copied_bytes` counts them.

    Attributes:
        base: the rule that chooses.
        ridge: strength of the pull to the old weights, relative to the hidden values' power.
        stream: also make up for the errors of earlier layers, see `layer_by_layer`.
    """

    base: Rule
    ridge: float = 1e-2
    stream: bool = True

    @property
    def name(self) -> str:
        """Key in `RULES`: lsq_ and the name of the base."""
        return f"lsq_{self.base.name}"

    @property
    def source(self) -> str:
        """Of the base and of the refit."""
        return f"{self.base.source}; refit: He et al., arXiv 1707.06168, Sec. 3.2, with ridge"

    def prepare(
        self,
        network: nn.Module,
        calibration: Mapping[Present, Calibration],
        costs: Mapping[Present, UnitCosts],
    ) -> Selected:
        """See `Rule`."""
        chosen = self.base.prepare(network, calibration, costs)

        def mend(small: nn.Module, _kept: Chosen, present: Present) -> None:
            layer_by_layer(network, small, calibration[present].inputs, self._refit, stream=self.stream)

        return Selected(network, chosen.kept, mend)

    def _refit(self, layer: Prunable, hidden: Tensor, target: Tensor) -> bool:
        old, _ = layer.outgoing
        weight, bias = ridge_fit(hidden, target, old.detach(), ridge=self.ridge)
        set_outgoing(
            layer, nn.Parameter(weight, requires_grad=False), nn.Parameter(bias, requires_grad=False)
        )
        return True


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
