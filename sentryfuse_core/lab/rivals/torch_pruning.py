"""Torch-Pruning's Taylor importance, computed by the library itself on a twin of each layer.

`GroupTaylorImportance` of torch-pruning 1.6 (Fang et al., arXiv 2301.12900) with its own defaults: sum |w
g| over a channel's weights in every layer that the channel couples, mean over those layers, divided by the
mean over the group's channels; each group loses the same share (global_pruning off). g is the gradient of
the mean loss; biases are left out, as by default.

Adapted: the library prunes nn.Linear channels found by tracing. So each prunable layer gets a twin whose
channels are the units: one nn.Linear to `units` outputs for each incoming tensor, holding all rows of a
unit, and one from `units` inputs for the outgoing tensor, with the same weights and gradients. The library
traces the twin, finds the coupled group and scores it. Keys and values, one tensor here, count as one
member of the group.
"""

from __future__ import annotations

import importlib
from typing import Any

import torch
from torch import Tensor, nn

from sentryfuse_core.errors import ConfigError
from sentryfuse_core.lab.rivals.llm_pruner import loss_gradient, unit_parameters
from sentryfuse_core.lab.rivals.rule import Calibration, Scores
from sentryfuse_core.model.units import Prunable, find_units

__all__ = ["group_taylor"]


def group_taylor(network: nn.Module, calibration: Calibration) -> Scores:
    """The library's numbers; raises ConfigError where it is not installed."""
    try:
        library = importlib.import_module("torch_pruning")
    except ImportError as error:
        raise ConfigError(
            "rule torch_pruning needs the package torch-pruning: pip install torch-pruning"
        ) from error
    parameters = unit_parameters(network)
    gradients = dict(zip(parameters, loss_gradient(network, parameters, calibration), strict=True))
    scores = {}
    for name, layer in find_units(network).items():
        score = _group_score(library, layer, {tensor: gradients[name, tensor] for tensor in layer.unit_rows})
        scores[name] = torch.nan_to_num(score)  # 0 / 0 where the layer does not run
    return scores


class _Twin(nn.Module):
    """One layer with units for channels: incoming maps that are added up, and an outgoing one."""

    def __init__(self, incoming: list[nn.Linear], outgoing: nn.Linear) -> None:
        super().__init__()
        self.incoming = nn.ModuleList(incoming)
        self.outgoing = outgoing

    def forward(self, inputs: list[Tensor]) -> Tensor:
        """One [1, features] for each incoming map -> [1, D * unit_size]."""
        parts = [layer(values) for layer, values in zip(self.incoming, inputs, strict=True)]
        total = parts[0]
        for part in parts[1:]:
            total = total + part  # the library follows plain additions
        output: Tensor = self.outgoing(torch.relu(total))
        return output


def _group_score(library: Any, layer: Prunable, gradients: dict[str, Tensor]) -> Tensor:
    weight, _ = layer.outgoing
    incoming = []
    outgoing = None
    for tensor in layer.unit_rows:
        values = layer.get_parameter(tensor)
        if values is weight:
            outgoing = _linear(_units(values, layer).T, _units(gradients[tensor], layer).T)
        elif values.ndim > 1:
            incoming.append(_linear(_units(values, layer), _units(gradients[tensor], layer)))
    assert outgoing is not None  # noqa: S101 - unit_rows names the outgoing tensor
    twin = _Twin(incoming, outgoing)
    example = [torch.zeros(1, part.in_features) for part in incoming]
    graph = library.DependencyGraph().build_dependency(twin, example_inputs=(example,))
    group = graph.get_pruning_group(
        incoming[0], library.prune_linear_out_channels, idxs=list(range(layer.units))
    )
    score: Tensor = library.importance.GroupTaylorImportance()(group)
    return score


def _units(tensor: Tensor, layer: Prunable) -> Tensor:
    """[units * rows, ...] -> [units, everything of a unit]."""
    return tensor.detach().cpu().reshape(layer.units, -1)


def _linear(weight: Tensor, gradient: Tensor) -> nn.Linear:
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    layer.weight = nn.Parameter(weight.contiguous().clone())
    layer.weight.grad = gradient.contiguous().clone()
    return layer
