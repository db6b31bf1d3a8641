"""SynFlow: prune where little flows through the weights, without any data.

Tanaka et al., 'Pruning neural networks without any data by iteratively conserving synaptic flow' (arXiv
2006.05467): with absolute weights and an input of ones R = sum of the outputs; a weight's score is
w * dR/dw, and pruning goes on in small steps with the scores of what is left, so that no layer collapses.
The scores of what enters a unit add up to those of what leaves it, to what it gives times dR by that: the
score of the unit.

Adapted: their networks are convolutions and ReLU. Here normalisation is its own scale, softmax gives equal
shares, and GELU lets through what it is given; what position encodings and images say counts as it is.
The paper prunes 100 times to an exponentially smaller size before training; here it judges a trained network.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from sentryfuse_core.lab.rivals.rule import Calibration, Scores
from sentryfuse_core.model.units import find_units
from sentryfuse_core.pruning.units import gated

__all__ = ["ROUNDS", "absolute", "flowing", "synflow"]

ROUNDS = 100  # of pruning
_LEFT = 1e-2  # of the units after the last round

_Network = TypeVar("_Network", bound=nn.Module)


def synflow(network: nn.Module, calibration: Calibration) -> Scores:
    """The round in which a unit goes, and how much flows through it among those of its round."""
    linear, layers = absolute(network), find_units(network)
    ones = {name: torch.ones_like(item[:1]).double() for name, item in calibration.inputs.items()}
    left = {name: torch.ones(layer.units, dtype=torch.bool) for name, layer in layers.items()}
    worth = {name: torch.zeros(layer.units) for name, layer in layers.items()}
    count = sum(layer.units for layer in layers.values())
    for turn in range(ROUNDS):
        flow = _flow(linear, left, ones)
        names = [(name, unit) for name, units in left.items() for unit in units.nonzero().flatten().tolist()]
        names.sort(key=lambda key: float(flow[key[0]][key[1]]))
        stay = round(count * _LEFT ** ((turn + 1) / ROUNDS)) if turn < ROUNDS - 1 else 0
        for rank, (name, unit) in enumerate(names):
            worth[name][unit] = turn + (rank + 1) / (len(names) + 1)
            left[name][unit] = rank >= len(names) - stay
    return worth


def _flow(linear: nn.Module, left: Mapping[str, Tensor], ones: Mapping[str, Tensor]) -> Scores:
    gates = {name: units.double().requires_grad_() for name, units in left.items()}
    with torch.enable_grad(), flowing(), gated(linear, gates):
        total = linear(ones).sum()
    found = torch.autograd.grad(total, list(gates.values()), allow_unused=True)
    return {
        name: torch.zeros_like(gate) if slope is None else (gate * slope).detach()
        for (name, gate), slope in zip(gates.items(), found, strict=True)
    }


def absolute(network: _Network) -> _Network:
    """A copy in double precision with the absolute values of all parameters."""
    linear = copy.deepcopy(network).double()
    with torch.no_grad():
        for parameter in linear.parameters():
            parameter.abs_()
    return linear.requires_grad_(requires_grad=False)


@contextmanager
def flowing() -> Iterator[None]:
    """What is not linear gives way to what is, see the file's docstring."""
    with _Linear():
        yield


class _Linear(TorchFunctionMode):
    """Runs a network with its normalisation, softmax and GELU replaced, as the project's layers call them."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        del types
        stand_in = _STAND_INS.get(func)
        return stand_in(*args, **(kwargs or {})) if stand_in else func(*args, **(kwargs or {}))


def _same(values: Tensor, **_options: Any) -> Tensor:
    return values


def _equal_shares(values: Tensor, dim: int, **_options: Any) -> Tensor:
    return torch.full_like(values, 1.0 / values.shape[dim])


def _equal_log_shares(values: Tensor, dim: int, **_options: Any) -> Tensor:
    return torch.full_like(values, -math.log(values.shape[dim]))


def _mean_value(query: Tensor, _key: Tensor, value: Tensor, **_options: Any) -> Tensor:
    return value.mean(dim=-2, keepdim=True).expand(*query.shape[:-1], value.shape[-1])


def _scaled_channels(values: Tensor, _groups: int, weight: Tensor, bias: Tensor, **_options: Any) -> Tensor:
    return values * weight[:, None, None] + bias[:, None, None]


def _scaled_features(values: Tensor, _sizes: Any, weight: Tensor, bias: Tensor, **_options: Any) -> Tensor:
    return values * weight + bias


_STAND_INS: Mapping[Any, Callable[..., Tensor]] = {
    functional.gelu: _same,
    functional.group_norm: _scaled_channels,
    functional.layer_norm: _scaled_features,
    functional.scaled_dot_product_attention: _mean_value,
    Tensor.softmax: _equal_shares,
    Tensor.log_softmax: _equal_log_shares,
}
