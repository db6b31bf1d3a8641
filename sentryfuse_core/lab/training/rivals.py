"""Trained rivals: DynaBERT, MatFormer with heads, and LayerDrop, each on the same meter and masks as ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from sentryfuse_core.lab.training.batches import Batch
from sentryfuse_core.lab.training.meter import Meter
from sentryfuse_core.lab.training.stages import Dropout, PlanTable, distillation, hard_loss
from sentryfuse_core.model.fusion import TrunkLayer
from sentryfuse_core.pruning.allocate import budget_macs
from sentryfuse_core.pruning.costs import UnitCosts
from sentryfuse_core.pruning.units import prefix

__all__ = ["DynaBertStage", "LayerDropStage", "MatFormerStage", "drop_order", "layer_parts"]


def layer_parts(network: nn.Module) -> dict[str, tuple[str, ...]]:
    """Every trunk layer of a network by name, and the names of its prunable parts."""
    return {
        name: (f"{name}.attend", f"{name}.feed")
        for name, module in network.named_modules()
        if isinstance(module, TrunkLayer)
    }


def drop_order(parts: Mapping[str, Sequence[str]], costs: UnitCosts, ratio: float) -> dict[str, int]:
    """LayerDrop's pruning: whole layers go, every other one first, until the budget of `ratio` is met."""
    names = list(parts)
    order = [*names[1::2], *reversed(names[::2])]
    widths = {name: costs.units[name] if costs.macs[name] else 0 for name in costs.macs}
    for name in order:
        if costs.of(prefix(widths)) <= budget_macs(costs, ratio):
            break
        widths.update(dict.fromkeys(parts[name], 0))
    return widths


@dataclass(frozen=True, kw_only=True)
class DynaBertStage:
    """Width-adaptive training of DynaBERT (arXiv 2004.04037, section 2.1 and equation 3).

    Every step trains all of `table`'s widths against a fixed full-width teacher of the same weights at the
    start: soft cross-entropy of the logits and mean squared error of the hidden states after each layer. The
    units were sorted by importance before (network rewiring). The teacher sees the same present modalities.
    """

    dropout: Dropout
    table: PlanTable
    ratios: Sequence[float]
    teacher: nn.Module
    to_hidden: float = 0.1
    to_labels: float = 0.0

    def loss(self, meter: Meter, batch: Batch, progress: float, generator: torch.Generator) -> Tensor:
        """Sum over the widths."""
        present = self.dropout.draw(progress, generator)
        inputs = batch.only(present)
        aims: list[Tensor] = []
        with torch.no_grad(), _hidden(self.teacher, aims):
            aim = self.teacher(inputs)
        meter.macs += len(batch) * meter.costs[present].total
        losses = []
        for ratio in self.ratios:
            states: list[Tensor] = []
            with _hidden(meter.network, states):
                logits = meter(inputs, self.table[present, ratio] if ratio else None)
            hidden = torch.stack(
                [functional.mse_loss(state, goal) for state, goal in zip(states, aims, strict=True)]
            ).mean()
            loss = distillation(logits, aim) + self.to_hidden * hidden
            losses.append(loss + self.to_labels * hard_loss(logits, batch.label))
        return torch.stack(losses).sum()


class _hidden:  # noqa: N801 - a context manager used like a function
    """Collect the outputs of every trunk layer within the block."""

    def __init__(self, network: nn.Module, states: list[Tensor]) -> None:
        self._layers = [module for module in network.modules() if isinstance(module, TrunkLayer)]
        self._states = states
        self._hooks: list[torch.utils.hooks.RemovableHandle] = []

    def __enter__(self) -> None:
        for layer in self._layers:
            self._hooks.append(layer.register_forward_hook(self._note))

    def __exit__(self, *_: object) -> None:
        for hook in self._hooks:
            hook.remove()

    def _note(self, _module: nn.Module, _inputs: object, output: Tensor) -> None:
        self._states.append(output)


@dataclass(frozen=True, kw_only=True)
class MatFormerStage:
    """MatFormer's training of nested granularities from scratch (arXiv 2310.07707, section 3.2), with heads.

    Each step trains one granularity drawn at random, by the labels alone. Heads are nested like channels.
    """

    dropout: Dropout
    table: PlanTable
    ratios: Sequence[float]  # with 0 for the full width
    full: float = 0.0  # extra chance of the full width

    def loss(self, meter: Meter, batch: Batch, progress: float, generator: torch.Generator) -> Tensor:
        """Cross-entropy at one granularity."""
        present = self.dropout.draw(progress, generator)
        draw = int(torch.randint(len(self.ratios), (), generator=generator))
        ratio = 0.0 if float(torch.rand((), generator=generator)) < self.full else self.ratios[draw]
        widths = self.table[present, ratio] if ratio else None
        return hard_loss(meter(batch.only(present), widths), batch.label)


@dataclass(frozen=True, kw_only=True)
class LayerDropStage:
    """LayerDrop (arXiv 1909.11556): whole layers are skipped at random in training."""

    dropout: Dropout
    layers: Mapping[str, Sequence[str]]  # layer -> its prunable parts
    chance: float = 0.2

    def loss(self, meter: Meter, batch: Batch, progress: float, generator: torch.Generator) -> Tensor:
        """Cross-entropy with some layers skipped."""
        present = self.dropout.draw(progress, generator)
        draws = torch.rand(len(self.layers), generator=generator).tolist()
        widths = {
            part: 0
            for parts, draw in zip(self.layers.values(), draws, strict=True)
            if draw < self.chance
            for part in parts
        }
        return hard_loss(meter(batch.only(present), widths), batch.label)
