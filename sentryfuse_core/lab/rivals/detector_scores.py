"""What published rules say a unit of the whole detector is worth: {layer: [units]}, more is better.

The rules are those of `scores`, `flap` and `synflow`, for convolutions too. Units are one set for all
sensors, as a network that was pruned once has it; what a rule sees is the mean over the sets of sensors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor

from sentryfuse_core.lab.rivals.detector_units import DetectorLayer, Kept, unit_sums, without
from sentryfuse_core.lab.rivals.flap import standardised
from sentryfuse_core.lab.rivals.synflow import absolute, flowing
from sentryfuse_core.lab.training.data import LabelledBatch
from sentryfuse_core.lab.training.losses import frame_losses
from sentryfuse_core.lab.training.targets import make_targets
from sentryfuse_core.model.network import SentryFuseNet
from sentryfuse_core.preprocess.tensors import ModelInput
from sentryfuse_core.types import ModalitySet

__all__ = ["flap", "magnitude", "ones_like", "synflow", "taylor"]

Layers = Mapping[str, DetectorLayer]
Scores = dict[str, Tensor]


def magnitude(net: SentryFuseNet, layers: Layers) -> Scores:
    """L2 norm of all that makes the unit: its filters and gates (Li et al., arXiv 1608.08710, Sec. 3.1)."""
    return {
        name: torch.stack(
            [
                unit_sums(net.get_parameter(tensor).detach().square(), layer)
                for tensor in dict.fromkeys((*layer.filters, *layer.gates))
            ]
        )
        .sum(dim=0)
        .sqrt()
        for name, layer in layers.items()
    }


def taylor(
    net: SentryFuseNet, layers: Layers, frames: Sequence[LabelledBatch], masks: Sequence[ModalitySet]
) -> Scores:
    """I_u = E[(dL/dxi_u)^2] over frames and sets of sensors (Molchanov et al., arXiv 1906.10771, Sec. 3.1).

    xi_u is a factor on the unit's gates; `frames` are of one frame each.
    """
    total = {name: torch.zeros(layer.units) for name, layer in layers.items()}
    gates = list(dict.fromkeys(gate for layer in layers.values() for gate in layer.gates))
    tensors = [net.get_parameter(gate) for gate in gates]
    required = [tensor.requires_grad for tensor in tensors]
    for tensor in tensors:
        tensor.requires_grad_()
    try:
        for frame in frames:
            targets = make_targets(frame.boxes, frame.classes, class_count=net.shape.classes)
            for mask in masks:
                with torch.enable_grad():
                    output = net(frame.inputs.only(mask))
                    loss = frame_losses(output, targets).sum()
                    found = torch.autograd.grad(loss, tensors, allow_unused=True)
                slopes = _slopes(layers, dict(zip(gates, zip(tensors, found, strict=True), strict=True)))
                for name, slope in slopes.items():
                    total[name] += slope.square()
    finally:
        for tensor, before in zip(tensors, required, strict=True):
            tensor.requires_grad_(before)
    return {name: score / (len(frames) * len(masks)) for name, score in total.items()}


def _slopes(layers: Layers, found: Mapping[str, tuple[Tensor, Tensor | None]]) -> Scores:
    """The derivative by a factor on each unit, from gates and their gradients."""
    slopes = {}
    for name, layer in layers.items():
        parts = [found[gate] for gate in layer.gates]
        given = [unit_sums((tensor * slope).detach(), layer) for tensor, slope in parts if slope is not None]
        slopes[name] = torch.stack(given).sum(dim=0) if given else torch.zeros(layer.units)
    return slopes


def flap(
    net: SentryFuseNet, layers: Layers, frames: Sequence[LabelledBatch], masks: Sequence[ModalitySet]
) -> Scores:
    """Fluctuation Var(X_i) * ||W_i||^2 of channels, standardised by layer (arXiv 2312.11983, WIFV, AL-AM).

    X_i is the channel over frames, places and sets of sensors, W_i all that reads it. Without the bias that
    compensates: a channel that normalisation or a ReLU follows has no bias of its own to put its mean into.
    """
    moments = {name: torch.zeros(3, layer.channels, dtype=torch.float64) for name, layer in layers.items()}

    def see(name: str, values: Tensor) -> None:
        by_place = values.movedim(1, -1) if values.ndim == 4 else values  # tokens have their channels last
        rows = by_place.reshape(-1, layers[name].channels).double()
        count = torch.full_like(rows[0], len(rows))
        moments[name] += torch.stack((count, rows.sum(dim=0), rows.square().sum(dim=0)))

    with torch.inference_mode(), _watched(net, layers, see):
        for frame in frames:
            for mask in masks:
                net(frame.inputs.only(mask))
    scores = {}
    for name, layer in layers.items():
        count, total, squares = moments[name]
        count = count.clamp_min(1.0)
        variance = squares / count - (total / count).square()
        scores[name] = standardised(variance.float() * _reading(net, layer), layer.units)
    return scores


def _reading(net: SentryFuseNet, layer: DetectorLayer) -> Tensor:
    """Sum of squares of all weights that read each channel: [channels]."""
    found = torch.zeros(layer.channels)
    for name in layer.readers or ("head.maps.weight",):
        weight = net.get_parameter(name).detach()
        if name in layer.gates:  # of the trunk: a row for each channel
            found += weight.square().sum(dim=1)
        else:  # the head's maps read another grid with their first columns
            columns = weight.transpose(0, 1)[-layer.channels :]
            found += columns.reshape(layer.channels, -1).square().sum(dim=1)
    return found


@contextmanager
def _watched(net: SentryFuseNet, layers: Layers, see: Callable[[str, Tensor], None]) -> Iterator[None]:
    """Show `see` the channels of every layer in every pass: [B, C, H, W] or [B, N, C]."""

    def given(name: str) -> Callable[[Any, tuple[Any, ...]], None]:
        return lambda _module, args: see(name, args[0])

    def gave(name: str) -> Callable[[Any, Any, Tensor], None]:
        return lambda _module, _args, output: see(name, output)

    with ExitStack() as stack:
        for name, layer in layers.items():
            if layer.seen.endswith(">"):
                handle = net.get_submodule(layer.seen[:-1]).register_forward_hook(gave(name))
                stack.callback(handle.remove)
            elif layer.seen:
                handle = net.get_submodule(layer.seen[:-1]).register_forward_pre_hook(given(name))
                stack.callback(handle.remove)
            else:
                module: Any = net.get_submodule(name)
                module.watch = lambda hidden, name=name: see(name, hidden)
                stack.callback(setattr, module, "watch", None)
        yield


def ones_like(inputs: ModelInput) -> ModelInput:
    """The same sensors, all values one; level, and the camera where it is, or it would see nothing."""
    ones = {modality.value: torch.ones_like(getattr(inputs, modality.value)) for modality in inputs.present}
    return ModelInput(**ones, camera_position=inputs.camera_position)


def synflow(net: SentryFuseNet, layers: Layers, kept: Kept, ones: ModelInput) -> Scores:
    """The synaptic flow through each unit that is `kept`, 0 of the others (Tanaka et al., arXiv 2006.05467).

    R = sum of the outputs, for weights that are absolute and inputs `ones`; a unit's score is its factor's
    derivative, which is the flow that enters it. See `synflow` for what stands in for what is not linear.
    """
    linear = absolute(without(net, layers, kept))
    gates = list(dict.fromkeys(gate for layer in layers.values() for gate in layer.gates))
    tensors = [linear.get_parameter(gate).requires_grad_() for gate in gates]
    given = {name: item.double() for name, item in vars(ones).items() if item is not None}
    with torch.enable_grad(), flowing():
        output = linear(ModelInput(**given))
        flow = output.heatmap.sum() + output.boxes.sum()
    found = torch.autograd.grad(flow, tensors, allow_unused=True)
    return _slopes(layers, dict(zip(gates, zip(tensors, found, strict=True), strict=True)))
