"""Prunable layers, whose output is a sum over units any of which can be left out, and networks of them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeVar

import torch
from torch import Tensor, nn

from sentryfuse_core.model.sparsity import Segment

__all__ = ["Kept", "Plan", "Prunable", "Shrinkable", "find_units", "pick_units", "sliced"]

Kept = Mapping[str, Sequence[int]]  # layer name -> the units that stay, in order; layers not named stay whole
_Network = TypeVar("_Network", bound=nn.Module)
_Shrinkable = TypeVar("_Shrinkable", bound="Shrinkable")


class Prunable(nn.Module):
    """A layer made of `units` equal units: its output is the sum of what they give, plus a bias.

    Every tensor that belongs to the units is stored unit after unit along its first axis, so that the first
    k units are a contiguous prefix of it, and moving units around is a permutation of rows. A subclass
    computes `hidden` [B, N, units * unit_size] and hands it to `combine`.

    Attributes:
        units: how many units there are.
        unit_size: rows of `outgoing` that one unit owns.
        width: how many leading units run; None for all of them.
        gates: factors on the units' contributions, [units] or one row a sample [B, units]; None for ones.
        watch: called with `hidden` of every forward pass; None for nobody.
    """

    def __init__(self, units: int, unit_size: int) -> None:
        super().__init__()
        self.units = units
        self.unit_size = unit_size
        self.width: int | None = None
        self.gates: Tensor | None = None
        self.watch: Callable[[Tensor], None] | None = None

    @property
    def unit_rows(self) -> Mapping[str, int]:
        """Names of the tensors that belong to the units, and how many rows of each one unit owns."""
        raise NotImplementedError

    @property
    def outgoing(self) -> tuple[Tensor, Tensor]:
        """The map from `hidden` to the output: weight [units * unit_size, D] and bias [D]."""
        raise NotImplementedError

    def unit_macs(self, tokens: int, segments: Sequence[Segment]) -> int:
        """Multiply-accumulates of one unit for one sample of `tokens` tokens.

        `segments` are the runs that the layer was told of, none if it takes only tokens.
        """
        raise NotImplementedError

    def running(self, width: int | None) -> int:
        """Units that run when the caller asks for `width`: the caller, else the layer, else all."""
        chosen = self.width if width is None else width
        return self.units if chosen is None else chosen

    def combine(self, hidden: Tensor) -> Tensor:
        """The output [B, N, D] of the leading units, whose hidden values are [B, N, width * unit_size]."""
        weight, bias = self.outgoing
        if self.gates is not None:
            count = hidden.shape[-1] // self.unit_size
            factors = self.gates[..., :count].repeat_interleave(self.unit_size, dim=-1)
            hidden = hidden * (factors if factors.ndim == 1 else factors[:, None])
        if self.watch is not None:
            self.watch(hidden)
        output: Tensor = hidden @ weight[: hidden.shape[-1]] + bias
        return output


class Plan(Protocol):
    """What a sub-network needs to be told, for example a gate's `UnitPlan`."""

    @property
    def kept(self) -> Kept:
        """The units that stay, by layer."""
        ...


class Shrinkable(nn.Module):
    """A network of prunable layers that gives its own sub-networks; a base for yours, as nn.Module is."""

    def at(self: _Shrinkable, plan: Plan) -> _Shrinkable:
        """The sub-network of `plan` for inference, see `sliced`: prefixes share this network's memory.

        Raises:
            ValueError: the plan names a layer or a unit that this network does not have.
        """
        return sliced(self, plan.kept)


def find_units(network: nn.Module) -> dict[str, Prunable]:
    """Every prunable layer by its name in `network`, in the order of definition."""
    return {name: module for name, module in network.named_modules() if isinstance(module, Prunable)}


def sliced(network: _Network, kept: Kept) -> _Network:
    """The smaller network with only the units `kept`; the memory of everything else is `network`'s.

    A layer whose kept units are the first ones in order is a prefix view of the same memory; others are
    copies. The result is for inference. Its parameters are its own, so that converting or moving it leaves
    `network` as it is, and take no gradients, so that nobody trains that memory through it.

    Raises:
        ValueError: a layer that is not there, or units that are not, or twice.
    """
    layers = find_units(network)
    for name, units in kept.items():
        if name not in layers:
            raise ValueError(f"no prunable layer {name!r}; there are {', '.join(layers)}")
        if len(set(units)) < len(units) or not all(0 <= unit < layers[name].units for unit in units):
            raise ValueError(f"{name} has {layers[name].units} units; it cannot keep {list(units)}")
    views: dict[int, object] = {id(tensor): tensor.detach() for tensor in network.buffers()}
    for tensor in network.parameters():
        views[id(tensor)] = nn.Parameter(tensor.detach(), requires_grad=False)
    small = copy.deepcopy(network, views)
    for name, layer in find_units(small).items():
        if name in kept:
            _cut(layer, kept[name])
    return small


def _cut(layer: Prunable, kept: Sequence[int]) -> None:
    count = len(kept)
    is_prefix = list(kept) == list(range(count))
    for tensor, rows in layer.unit_rows.items():
        whole = layer.get_parameter(tensor).detach()
        part = whole[: count * rows] if is_prefix else pick_units(whole, kept, rows)
        setattr(layer, tensor, nn.Parameter(part, requires_grad=False))
    layer.units = count


def pick_units(tensor: Tensor, units: Sequence[int], rows: int) -> Tensor:
    """The rows of `units` in that order, copied: [U * rows, ...] -> [len(units) * rows, ...]."""
    chosen = torch.as_tensor(list(units), device=tensor.device, dtype=torch.long)
    return torch.unflatten(tensor, 0, (-1, rows))[chosen].flatten(0, 1)
