"""Layer after layer: what a smaller network's layer sees, and what it should give."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from sentryfuse_core.model.units import Prunable, find_units

__all__ = ["Solve", "layer_by_layer"]

Solve = Callable[[Prunable, Tensor, Tensor], bool]
"""(layer of the smaller network, hidden [M, rows], target [M, D]) -> whether to go on to the next layer."""


@dataclass(eq=False)
class _Seen:
    """What passed through one layer: its output [M, D], and [M, D] of the stream that it is added to."""

    output: Tensor
    stream: Tensor | None


def layer_by_layer(network: nn.Module, small: nn.Module, inputs: Mapping[str, Tensor], solve: Solve) -> None:
    """Hand `solve` every layer that runs, in the order in which they run.

    The hidden values are those of `small` with all earlier layers already mended; M is samples times tokens.
    The target is what the full layer's residual stream is after the layer, less what the smaller network's is
    before it, so that a layer also makes up for the errors of those before; this needs the residual input,
    which is read off the norm called `<layer>_norm` beside the layer. Layers without one get the full layer's
    own output.

    Memory: outputs (and streams) of all layers for all samples, n * tokens * D floats each.
    """
    with torch.no_grad():
        whole = _run(network, inputs, list(find_units(network)))
        layers = find_units(small)
        for name, seen in whole.items():
            hidden, own = _hidden(small, inputs, name)
            target = seen.output
            if seen.stream is not None and own.stream is not None:
                target = target + seen.stream - own.stream
            if not solve(layers[name], hidden, target):
                return


def _hidden(small: nn.Module, inputs: Mapping[str, Tensor], name: str) -> tuple[Tensor, _Seen]:
    layer = find_units(small)[name]
    values: list[Tensor] = []
    layer.watch = values.append
    try:
        seen = _run(small, inputs, [name])[name]
    finally:
        layer.watch = None
    if not values:  # a layer without units
        return seen.output.new_zeros(len(seen.output), 0), seen
    return values[0].flatten(0, 1), seen


def _run(network: nn.Module, inputs: Mapping[str, Tensor], names: list[str]) -> dict[str, _Seen]:
    """Outputs and streams of the layers `names` that run, in their order of running."""
    seen: dict[str, _Seen] = {}
    streams: dict[str, Tensor] = {}
    modules = dict(network.named_modules())

    def note_stream(name: str, _module: nn.Module, args: tuple[Tensor, ...]) -> None:
        streams[name] = args[0].flatten(0, 1)

    def note_output(name: str, _module: nn.Module, _args: object, output: Tensor) -> None:
        seen[name] = _Seen(output.flatten(0, 1), streams.get(name))

    with contextlib.ExitStack() as hooks:
        for name in names:
            hooks.callback(modules[name].register_forward_hook(partial(note_output, name)).remove)
            norm = modules.get(f"{name}_norm")
            if norm is not None:
                hooks.callback(norm.register_forward_pre_hook(partial(note_stream, name)).remove)
        network(inputs)
    return seen
