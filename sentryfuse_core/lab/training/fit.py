"""The loop of training a classifier: a budget of MACs, a schedule, a running average of the weights."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

import torch
from torch import Tensor, nn

from sentryfuse_core.lab.training.accelerate import Acceleration
from sentryfuse_core.lab.training.batches import Batch, Batches
from sentryfuse_core.lab.training.fit_state import FitState, Keeper
from sentryfuse_core.lab.training.meter import Meter
from sentryfuse_core.lab.training.schedule import rate_share
from sentryfuse_core.pruning.costs import UnitCosts
from sentryfuse_core.pruning.gate import Present

__all__ = ["FitOptions", "Stage", "Step", "fit"]

_Network = TypeVar("_Network", bound=nn.Module)


@dataclass(frozen=True, kw_only=True)
class FitOptions:
    """How long and how fast to train.

    `budget` counts multiply-accumulates of forward and backward passes, so that methods whose steps cost
    differently get the same training; where several processes train, those of all together. `speed` and
    `keeper` change nothing of it: one says how passes run, the other saves the state to resume from.
    """

    budget: float
    batch: int = 64
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    warmup: float = 0.15  # share of the budget
    average: float = 0.99  # decay of the running average of the weights, a step
    clip_norm: float = 1.0
    seed: int = 0
    speed: Acceleration = field(default_factory=Acceleration)
    keeper: Keeper | None = None


class Stage(Protocol):
    """What a step of training minimises."""

    def loss(self, meter: Meter, batch: Batch, progress: float, generator: torch.Generator) -> Tensor:
        """The loss [] of one batch at `progress` 0..1 of the budget."""
        ...


@dataclass(frozen=True)
class Step:
    """What one step did."""

    step: int
    progress: float
    learning_rate: float
    loss: float


def fit(
    network: _Network,
    stage: Stage,
    samples: Batch,
    costs: Mapping[Present, UnitCosts],
    options: FitOptions,
    *,
    classes: int,
    on_step: Callable[[Step], None] = lambda _: None,
) -> tuple[_Network, float]:
    """Train `network` in place until the budget is spent.

    Returns:
        The running average of its weights as a network for inference, and the multiply-accumulates spent.
    """
    speed, keeper = options.speed, options.keeper
    generator = torch.Generator().manual_seed(options.seed + speed.seed_offset)
    batches = Batches(samples, classes=classes, generator=generator)
    optimizer = torch.optim.AdamW(_groups(network, options.weight_decay), lr=options.learning_rate)
    speed.prepare(network)
    average = copy.deepcopy(network)
    meter = Meter(network, costs)
    state = FitState(network=network, average=average, optimizer=optimizer, generator=generator)
    if keeper is not None:
        keeper.begin(state)
    device = next(network.parameters()).device
    network.train()
    meter.macs = state.macs
    while meter.macs < options.budget:
        progress = meter.macs / options.budget
        rate = options.learning_rate * rate_share(progress, options.warmup)
        for group in optimizer.param_groups:
            group["lr"] = rate
        with speed.passes(device):
            loss = stage.loss(meter, batches.draw(options.batch), progress, generator)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        speed.ranks.average_gradients(list(network.parameters()))
        nn.utils.clip_grad_norm_(network.parameters(), options.clip_norm)
        optimizer.step()
        state.step += 1
        decay = min(options.average, (1 + state.step) / (10 + state.step))
        with torch.no_grad():
            torch._foreach_lerp_(list(average.parameters()), list(network.parameters()), 1.0 - decay)
        mean, meter.macs = speed.ranks.combine(float(loss.detach()), state.macs, meter.macs, device)
        state.macs = meter.macs
        on_step(Step(state.step, progress, rate, mean))
        if keeper is not None:
            keeper.after_step(state)
    if keeper is not None:
        keeper.save(state)
    for buffer, last in zip(average.buffers(), network.buffers(), strict=True):
        buffer.copy_(last)  # statistics of norms follow the batches by themselves
    return average.requires_grad_(requires_grad=False).eval(), meter.macs


def _groups(network: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """Matrices decay, vectors (norms, biases) do not."""
    return [
        {"params": [item for item in network.parameters() if item.ndim > 1], "weight_decay": weight_decay},
        {"params": [item for item in network.parameters() if item.ndim <= 1], "weight_decay": 0.0},
    ]
