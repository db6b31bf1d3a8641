"""Finding, gating, narrowing, sorting and slicing the prunable units of any network."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping

import torch
from torch import Tensor, nn

from sentryfuse_core.model.units import Kept, Prunable, find_units, pick_units, sliced

__all__ = [
    "Kept",
    "find_units",
    "gated",
    "inferring",
    "narrowed",
    "prefix",
    "sliced",
    "sort_units",
    "watched",
]


def prefix(widths: Mapping[str, int]) -> dict[str, range]:
    """Widths as kept units: the first w of each layer."""
    return {name: range(width) for name, width in widths.items()}


@contextlib.contextmanager
def inferring(network: nn.Module) -> Iterator[None]:
    """Have a network infer within the block, its parameters taking no gradients; after it all is as before.

    In training, dropout would blur what is measured, and batch norms mix samples and learn from them. And
    torch's counter fails where a module is handed a parameter that takes gradients, such as learned queries.
    """
    training = [module for module in network.modules() if module.training]
    # What was made in inference mode takes none anyway, and torch refuses to set it back.
    learning = [one for one in network.parameters() if one.requires_grad and not one.is_inference()]
    try:
        network.eval()
        for parameter in learning:
            parameter.requires_grad = False
        yield
    finally:
        for module in training:
            module.training = True
        for parameter in learning:
            parameter.requires_grad = True


@contextlib.contextmanager
def gated(network: nn.Module, gates: Mapping[str, Tensor]) -> Iterator[None]:
    """Multiply units by `gates` within the block: {layer: [units] or [B, units]}.

    Raises ValueError for a layer that is not there.
    """
    layers = _layers(network, gates)
    try:
        for name, factors in gates.items():
            layers[name].gates = factors
        yield
    finally:
        for name in gates:
            layers[name].gates = None


@contextlib.contextmanager
def narrowed(network: nn.Module, widths: Mapping[str, int]) -> Iterator[None]:
    """Run only the leading units of each layer within the block; gradients reach the full tensors.

    Raises ValueError for a layer that is not there, or that is not as wide.
    """
    layers = _layers(network, widths)
    for name, width in widths.items():
        if not 0 <= width <= layers[name].units:
            raise ValueError(f"width {width} of {name} must be 0 to its {layers[name].units} units")
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
    """Move units in place so that unit `order[layer][i]` becomes unit i; what is computed stays the same.

    Raises:
        ValueError: an order that is no permutation of a layer's units, or of a layer that is not there.
    """
    for name, layer in _layers(network, order).items():
        if name not in order:
            continue
        if sorted(order[name]) != list(range(layer.units)):
            raise ValueError(f"{list(order[name])} is no order of the {layer.units} units of {name}")
        with torch.no_grad():
            for tensor, rows in layer.unit_rows.items():
                parameter = layer.get_parameter(tensor)
                parameter.copy_(pick_units(parameter, order[name], rows))


def _layers(network: nn.Module, named: Iterable[str]) -> dict[str, Prunable]:
    """All prunable layers; raises ValueError when one of `named` is not among them."""
    layers = find_units(network)
    unknown = [name for name in named if name not in layers]
    if unknown:
        raise ValueError(f"no prunable layer {unknown[0]!r}; there are {', '.join(layers)}")
    return layers
