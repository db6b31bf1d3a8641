"""First-order saliency of the parts: what the gradient at full width says of narrowing them.

The saliency of a unit u (a channel of a convolution or of the trunk) is the mean over frames of
(dL/dxi_u)^2 at xi = 1, where xi_u is a factor on what the unit gives (Molchanov et al., arXiv 1906.10771; so
ranks the gate of the paper, arXiv 2604.08971). A level costs the sum over the units that it leaves out. Half
an image leaves out none: of that it knows nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from sentryfuse_core.lab.training.losses import frame_losses
from sentryfuse_core.lab.training.targets import Targets
from sentryfuse_core.model.network import FULL_WIDTH, SentryFuseNet
from sentryfuse_core.model.slim import SlimConv
from sentryfuse_core.model.units import Prunable
from sentryfuse_core.preprocess.tensors import ModelInput
from sentryfuse_core.pruning.part_gate import part_sizes
from sentryfuse_core.types import PartLevels

__all__ = ["part_saliency"]


def part_saliency(net: SentryFuseNet, inputs: ModelInput, targets: Targets) -> dict[str, tuple[float, ...]]:
    """By part what each of its levels costs, to first order squared; NaN where it leaves out no unit."""
    outputs: dict[str, Tensor] = {}

    def keep(name: str, values: Tensor) -> None:
        outputs[name] = values.requires_grad_() if values.is_leaf else values

    with torch.enable_grad(), _seen(net, keep):
        output = net(_differentiable(inputs), parts=FULL_WIDTH, batch=len(targets.heatmap))
        loss = frame_losses(output, targets).sum()
        gradients = torch.autograd.grad(loss, list(outputs.values()), allow_unused=True)
    saliency = {
        name: _by_unit(values, gradient)
        for (name, values), gradient in zip(outputs.items(), gradients, strict=True)
        if gradient is not None
    }
    return {
        part: tuple(_cost(net, inputs, targets, saliency, part, level) for level in range(count))
        for part, count in part_sizes(net.shape).items()
        if any(name.startswith(f"{part}.") for name in saliency)
    }


def _by_unit(values: Tensor, gradient: Tensor) -> Tensor:
    """The mean over frames of the squared derivative by a factor on each unit: [units]."""
    product = values * gradient
    per_frame = product.sum(dim=(2, 3)) if values.ndim == 4 else product.sum(dim=1)
    return per_frame.square().mean(dim=0).detach()


def _cost(
    net: SentryFuseNet,
    inputs: ModelInput,
    targets: Targets,
    saliency: Mapping[str, Tensor],
    part: str,
    level: int,
) -> float:
    kept: dict[str, int] = {}

    def count(name: str, values: Tensor) -> None:
        kept[name] = values.shape[1 if values.ndim == 4 else 2]

    with torch.inference_mode(), _seen(net, count):
        net(inputs, parts=PartLevels(**{part: level}), batch=len(targets.heatmap))
    own = {name: unit for name, unit in saliency.items() if name.startswith(f"{part}.")}
    if level and all(kept[name] == len(unit) for name, unit in own.items()):
        return float("nan")
    return sum(float(unit[kept[name] :].sum()) for name, unit in own.items())


@contextmanager
def _seen(net: SentryFuseNet, see: Callable[[str, Tensor], None]) -> Iterator[None]:
    """Show `see` what every convolution and every layer of units gives, by the layer's name."""
    with ExitStack() as stack:
        for name, module in net.named_modules():
            if isinstance(module, SlimConv):
                handle = module.register_forward_hook(_hook(name, see))
                stack.callback(handle.remove)
            elif isinstance(module, Prunable):
                module.watch = lambda hidden, name=name: see(name, hidden)
                stack.callback(setattr, module, "watch", None)
        yield


def _hook(name: str, see: Callable[[str, Tensor], None]) -> Callable[[nn.Module, Any, Tensor], None]:
    return lambda _module, _given, output: see(name, output)


def _differentiable(inputs: ModelInput) -> ModelInput:
    """The same outside of inference mode, so that gradients can flow from it."""
    given = {name: item.clone() for name, item in vars(inputs).items() if item is not None}
    first = next(name for name in ("camera", "lidar", "audio", "imu") if name in given)
    given[first].requires_grad_()
    return ModelInput(**given)
