"""Meter: runs a network and counts the multiply-accumulates that its training takes."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from sentryfuse_core.pruning.costs import UnitCosts
from sentryfuse_core.pruning.gate import Present
from sentryfuse_core.pruning.units import narrowed

__all__ = ["Meter"]

_PASSES = 3  # a backward pass costs about twice the forward pass


class Meter:
    """Forward passes of one network, each added to `macs` with the backward pass it will need."""

    def __init__(self, network: nn.Module, costs: Mapping[Present, UnitCosts]) -> None:
        self.network = network
        self.costs = costs
        self.macs = 0.0

    def __call__(self, inputs: Mapping[str, Tensor], widths: Mapping[str, int] | None = None) -> Tensor:
        """Logits [B, K] of the present `inputs` at `widths` (None: full), to be trained through."""
        widths = widths or {}
        self._count(inputs, widths)
        with narrowed(self.network, widths):
            logits: Tensor = self.network(inputs)
        return logits

    def _count(self, inputs: Mapping[str, Tensor], widths: Mapping[str, int]) -> None:
        costs = self.costs.get(frozenset(inputs))
        if costs is None:
            raise ValueError(
                f"no costs were measured for {sorted(inputs)}; measure them for every set that may be drawn"
            )
        units = costs.of({name: range(width) for name, width in widths.items()})
        self.macs += _PASSES * len(next(iter(inputs.values()))) * (costs.fixed + units)
