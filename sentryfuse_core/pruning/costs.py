"""What units cost: multiply-accumulates of every prunable layer, measured on one input of a network."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from sentryfuse_core.model.units import Prunable
from sentryfuse_core.pruning.units import find_units, inferring

__all__ = ["UnitCosts", "measure_costs", "measure_macs"]


@dataclass(frozen=True)
class UnitCosts:
    """Multiply-accumulates of one sample with one set of modalities present.

    Attributes:
        macs: of one unit, by layer; 0 for a layer that does not run.
        units: how many units each layer has.
        fixed: of everything that is not a unit.
    """

    macs: Mapping[str, int]
    units: Mapping[str, int]
    fixed: int

    @property
    def prunable(self) -> int:
        """Of all units together."""
        return sum(self.macs[name] * self.units[name] for name in self.macs)

    @property
    def total(self) -> int:
        """Of the whole network."""
        return self.prunable + self.fixed

    def of(self, kept: Mapping[str, Sequence[int]]) -> int:
        """Of the units `kept`; layers that are not named keep all of theirs."""
        return sum(
            cost * (len(kept[name]) if name in kept else self.units[name]) for name, cost in self.macs.items()
        )


def measure_macs(network: nn.Module, *inputs: object) -> int:
    """Multiply-accumulates of one forward pass: linear maps, convolutions and both products of attention.

    Counted by torch's FlopCounterMode on the unfused kernels, halved. Norms, activations, softmax, pooling
    and additions are not counted. The pass is one of inference, which leaves the network as it was.
    """
    fast = torch.backends.mha.get_fastpath_enabled()  # of nn.MultiheadAttention; it would count as nothing
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with (
            inferring(network),
            torch.inference_mode(),
            sdpa_kernel(SDPBackend.MATH),
            FlopCounterMode(display=False) as counter,
        ):
            network(*inputs)
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
    total: int = counter.get_total_flops()
    return total // 2


def measure_costs(network: nn.Module, *inputs: object) -> UnitCosts:
    """Costs of one sample when `network(*inputs)` runs at full width; `inputs` hold one sample."""
    layers = find_units(network)
    macs = dict.fromkeys(layers, 0)

    def recorder(name: str, layer: Prunable) -> Any:
        def record(
            _module: nn.Module, args: tuple[Any, ...], named: Mapping[str, Any], _output: object
        ) -> None:
            tokens = args[0] if args else named["tokens"]
            segments = args[1] if len(args) > 1 else named.get("segments", ())
            *runs, count, _ = tokens.shape  # several where a network folds windows into the batch
            macs[name] += math.prod(runs) * layer.unit_macs(count, segments)

        return record

    hooks = [
        layer.register_forward_hook(recorder(name, layer), with_kwargs=True) for name, layer in layers.items()
    ]
    try:
        total = measure_macs(network, *inputs)
    finally:
        for hook in hooks:
            hook.remove()
    units = {name: layer.units for name, layer in layers.items()}
    return UnitCosts(macs, units, total - sum(macs[name] * units[name] for name in layers))
