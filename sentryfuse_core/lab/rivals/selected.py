"""The smaller networks of a rule: chosen units, cut out, and mended where the rule mends."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from torch import nn

from sentryfuse_core.lab.rivals.calibration import Present
from sentryfuse_core.model.units import Prunable
from sentryfuse_core.pruning.units import sliced

__all__ = ["Chosen", "Selected", "copied_bytes", "pruned_units", "set_outgoing"]

Chosen = Mapping[str, Sequence[int]]  # every layer is named
Choose = Callable[[Present, float], Chosen]
Mend = Callable[[nn.Module, Chosen, Present], None]


class Selected:
    """`Pruned` from a choice of units and, for rules that have one, a repair of the smaller network."""

    def __init__(self, network: nn.Module, choose: Choose, mend: Mend | None = None) -> None:
        """`mend` changes the smaller network in place, only by replacing its parameters."""
        self._network = network
        self._choose = choose
        self._mend = mend
        self._kept: dict[tuple[Present, float], Chosen] = {}

    def kept(self, present: Present, ratio: float) -> Chosen:
        """The units that stay, by layer."""
        key = (present, ratio)
        if key not in self._kept:
            self._kept[key] = self._choose(present, ratio)
        return self._kept[key]

    def at(self, present: Present, ratio: float) -> nn.Module:
        """The smaller network; made anew at every call."""
        kept = self.kept(present, ratio)
        small = sliced(self._network, kept)
        if self._mend is not None:
            self._mend(small, kept, present)
        return small


def set_outgoing(layer: Prunable, weight: nn.Parameter, bias: nn.Parameter) -> None:
    """Replace the layer's map to the output; the old tensors, which others may share, stay as they are."""
    old_weight, old_bias = layer.outgoing
    for name, parameter in list(layer.named_parameters()):
        if parameter is old_weight:
            setattr(layer, name, weight)
        elif parameter is old_bias:
            setattr(layer, name, bias)


def copied_bytes(network: nn.Module, small: nn.Module) -> int:
    """Bytes of the smaller network that are not memory of `network`: what one more plan costs to keep."""
    shared = {parameter.untyped_storage().data_ptr() for parameter in network.parameters()}
    return sum(
        parameter.numel() * parameter.element_size()
        for parameter in small.parameters()
        if parameter.untyped_storage().data_ptr() not in shared
    )


def pruned_units(layer: Prunable, kept: Sequence[int]) -> list[int]:
    """The units of the full layer that go."""
    staying = set(kept)
    return [unit for unit in range(layer.units) if unit not in staying]
