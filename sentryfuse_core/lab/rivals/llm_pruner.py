"""LLM-Pruner: first and second order of every weight, summed over what goes together.

I_u = sum over the unit's coupled weights of |g w - h w^2 / 2|, the same share of each layer (Ma et al.,
'LLM-Pruner', arXiv 2305.11627, Sec. 3.2, element-wise importance, group sum; `param_mix` of their code): g
is the gradient of the mean loss, h = mean over samples of the squared gradient of each one's loss (the
diagonal of the empirical Fisher). Coupled are all of the unit's rows, incoming and outgoing, biases
included. Adapted: no layer is spared (they spare the first and last ones), and there is no LoRA recovery.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from sentryfuse_core.lab.rivals.rule import Calibration, Scores
from sentryfuse_core.model.units import find_units

__all__ = ["coupled_saliency", "loss_gradient", "unit_parameters"]

_EXAMPLES = 128  # samples that h is taken from (they use 10); the first ones of the calibration set


def coupled_saliency(network: nn.Module, calibration: Calibration) -> Scores:
    """The sum over |g w - h w^2 / 2|."""
    parameters = unit_parameters(network)
    first = loss_gradient(network, parameters, calibration)
    second = [torch.zeros_like(parameter) for parameter in parameters.values()]
    count = min(_EXAMPLES, len(calibration.label))
    for index in range(count):
        own = loss_gradient(network, parameters, calibration, which=slice(index, index + 1))
        for total, gradient in zip(second, own, strict=True):
            total.addcmul_(gradient, gradient, value=1.0 / count)
    layers = find_units(network)
    scores = {
        name: torch.zeros(layer.units, device=layer.outgoing[0].device) for name, layer in layers.items()
    }
    for (name, _tensor), weight, g, h in zip(parameters, parameters.values(), first, second, strict=True):
        saliency = (g * weight.detach() - 0.5 * h * weight.detach().square()).abs()
        scores[name] += saliency.reshape(layers[name].units, -1).sum(dim=1)
    return scores


def unit_parameters(network: nn.Module) -> dict[tuple[str, str], nn.Parameter]:
    """The tensors that belong to units, by (layer, tensor)."""
    return {
        (name, tensor): layer.get_parameter(tensor)
        for name, layer in find_units(network).items()
        for tensor in layer.unit_rows
    }


def loss_gradient(
    network: nn.Module,
    parameters: Mapping[tuple[str, str], nn.Parameter],
    calibration: Calibration,
    *,
    which: slice = slice(None),
) -> list[Tensor]:
    """Gradients of the mean loss of some samples; zeros where a tensor takes no part."""
    inputs = {name: values[which] for name, values in calibration.inputs.items()}
    part = replace(calibration, inputs=inputs, label=calibration.label[which])
    wanted = list(parameters.values())
    with _differentiable(wanted):
        loss = part.losses_of(network).mean()
        gradients = torch.autograd.grad(loss, wanted, allow_unused=True)
    return [
        torch.zeros_like(parameter) if gradient is None else gradient
        for parameter, gradient in zip(parameters.values(), gradients, strict=True)
    ]


@contextlib.contextmanager
def _differentiable(parameters: Sequence[nn.Parameter]) -> Iterator[None]:
    """Let gradients reach parameters that may be frozen."""
    frozen = [parameter for parameter in parameters if not parameter.requires_grad]
    try:
        for parameter in frozen:
            parameter.requires_grad = True
        with torch.enable_grad():
            yield
    finally:
        for parameter in frozen:
            parameter.requires_grad = False
