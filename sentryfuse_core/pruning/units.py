"""Finding, gating, narrowing, sorting and slicing the prunable units of any network."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn

from sentryfuse_core.model.units import Prunable

__all__ = ["Kept", "find_units", "gated", "narrowed", "prefix", "sliced", "sort_units", "watched"]

Kept = Mapping[str, Sequence[int]]  # layer name -> the units that stay, in order; layers not named stay whole
_Network = TypeVar("_Network", bound=nn.Module)


def find_units(network: nn.Module) -> dict[str, Prunable]:
    """Every prunable layer by its name in `network`, in the order of definition."""
    return {name: module for name, module in network.named_modules() if isinstance(module, Prunable)}


def prefix(widths: Mapping[str, int]) -> dict[str, range]:
    """Widths as kept units: the first w of each layer."""
    return {name: range(width) for name, width in widths.items()}


@contextlib.contextmanager
def gated(network: nn.Module, gates: Mapping[str, Tensor]) -> Iterator[None]:
    """Multiply units by `gates` within the block: {layer: [units] or [B, units]}."""
    layers = find_units(network)
    try:
        for name, factors in gates.items():
            layers[name].gates = factors
        yield
    finally:
        for name in gates:
            layers[name].gates = None


@contextlib.contextmanager
def narrowed(network: nn.Module, widths: Mapping[str, int]) -> Iterator[None]:
    """Run only the leading units of each layer within the block; gradients reach the full tensors."""
    layers = find_units(network)
    try:
        for name, width in widths.items():
            layers[name].width = width
        yield
    finally:
        for name in widths:
            layers[name].width = None


@contextlib.contextmanager
def watched(network: nn.Module, watch: Callable[[str, Tensor], None]) -> Iterator[None]:
    """Hand every layer's hidden values [B, N, units * unit_size] to `watch` within the block."""
    layers = find_units(network)
    try:
        for name, layer in layers.items():
            layer.watch = _named(watch, name)
        yield
    finally:
        for layer in layers.values():
            layer.watch = None


def _named(watch: Callable[[str, Tensor], None], name: str) -> Callable[[Tensor], None]:
    return lambda hidden: watch(name, hidden)


def sort_units(network: nn.Module, order: Kept) -> None:
    """Move units in place so that unit order[layer][i] becomes unit i; the function computed stays the same.

    Raises:
        ValueError: an order that is no permutation of a layer's units.
    """
    for name, layer in find_units(network).items():
        if name not in order:
            continue
        if sorted(order[name]) != list(range(layer.units)):
            raise ValueError(f"{list(order[name])} is no order of the {layer.units} units of {name}")
        with torch.no_grad():
            for tensor, rows in layer.unit_rows.items():
                parameter = layer.get_parameter(tensor)
                parameter.copy_(_pick(parameter, order[name], rows))


def sliced(network: _Network, kept: Kept) -> _Network:
    """The smaller network with only the units `kept`; everything else is shared with `network`.

    A layer whose kept units are the first ones in order is a prefix view of the same memory; others are
    copies. The result is for inference.
    """
    shared = {id(tensor): tensor for tensor in (*network.parameters(), *network.buffers())}
    small = copy.deepcopy(network, dict(shared))
    for name, layer in find_units(small).items():
        if name in kept:
            _cut(layer, kept[name])
    return small


def _cut(layer: Prunable, kept: Sequence[int]) -> None:
    count = len(kept)
    is_prefix = list(kept) == list(range(count))
    for tensor, rows in layer.unit_rows.items():
        whole = layer.get_parameter(tensor).detach()
        part = whole[: count * rows] if is_prefix else _pick(whole, kept, rows)
        setattr(layer, tensor, nn.Parameter(part, requires_grad=False))
    layer.units = count


def _pick(tensor: Tensor, units: Sequence[int], rows: int) -> Tensor:
    """The rows of `units` in that order, copied: [U * rows, ...] -> [len(units) * rows, ...]."""
    chosen = torch.as_tensor(list(units), device=tensor.device, dtype=torch.long)
    return torch.unflatten(tensor, 0, (-1, rows))[chosen].flatten(0, 1)
