"""What a published pruning rule is: a worth for every unit, a choice under the budget, perhaps a repair."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from sentryfuse_core.model.units import Prunable, sliced
from sentryfuse_core.pruning.allocate import keep_best, keep_share
from sentryfuse_core.pruning.costs import UnitCosts
from sentryfuse_core.pruning.gate import Present
from sentryfuse_core.pruning.saliency import gate_gradients

__all__ = [
    "Allocation",
    "Calibration",
    "Chosen",
    "Pruned",
    "Rule",
    "Scores",
    "factor_gradients",
    "set_outgoing",
]

Scores = dict[str, Tensor]  # of every layer; those that do not run may have any finite numbers
Chosen = Mapping[str, Sequence[int]]  # units by layer; every layer is named


def _cross_entropy(logits: Tensor, label: Tensor) -> Tensor:
    """Of every sample: [n, K], [n] -> [n]."""
    return functional.cross_entropy(logits, label, reduction="none")


@dataclass(frozen=True, eq=False)
class Calibration:
    """All that a rule may look at for one set of present modalities.

    Attributes:
        inputs: only the present modalities, [n, T, F].
        label: [n], class indices; for another task, what its `losses` go by.
        losses: the loss of every sample, from what the network gives for them and `label`: [n].
    """

    inputs: Mapping[str, Tensor]
    label: Tensor
    losses: Callable[[Tensor, Tensor], Tensor] = _cross_entropy

    def losses_of(self, network: nn.Module) -> Tensor:
        """The loss of every sample, [n]."""
        return self.losses(network(self.inputs), self.label)


Score = Callable[[nn.Module, Calibration], Scores]
Allocation = Literal["global", "share"]
Choose = Callable[[nn.Module, Scores, UnitCosts, float], Chosen]
Mend = Callable[[nn.Module, nn.Module, Chosen, Calibration], None]


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A way to choose units, and perhaps to mend what is left, without training.

    Attributes:
        name: its key in `RULES`.
        source: the paper and where in it.
        score: what each unit is worth to the network at one set of modalities, {layer: [units]}.
        allocation: global ranks the scores of the whole network, share those of each layer, of which the
            same share stays; or the rule's own choice from network, scores, costs and ratio.
        one_order: rank by the mean of the scores over the masks at which a layer runs, so that all masks
            share one order; else every mask has its own scores.
        mend: changes a smaller network in place, only by replacing its parameters; it is given the whole
            network, the smaller one, its units and the calibration.
    """

    name: str
    source: str
    score: Score
    allocation: Allocation | Choose
    one_order: bool = False
    mend: Mend | None = None

    def prepare(
        self,
        network: nn.Module,
        calibration: Mapping[Present, Calibration],
        costs: Mapping[Present, UnitCosts],
    ) -> Pruned:
        """Judge the units of `network`, which must be in evaluation mode and stays as it is."""
        return Pruned(self, network, calibration, costs)


class Pruned:
    """A network judged by a rule; the work for a set of modalities is done when it is first asked for."""

    def __init__(
        self,
        rule: Rule,
        network: nn.Module,
        calibration: Mapping[Present, Calibration],
        costs: Mapping[Present, UnitCosts],
    ) -> None:
        self._rule, self._network = rule, network
        self._calibration, self._costs = calibration, costs
        self._scores: dict[Present, Scores] = {}
        self._kept: dict[tuple[Present, float], Chosen] = {}

    def kept(self, present: Present, ratio: float) -> Chosen:
        """The units that stay, by layer; none of a layer that does not run."""
        key = (present, ratio)
        if key not in self._kept:
            self._kept[key] = self._choose(present, ratio)
        return self._kept[key]

    def at(self, present: Present, ratio: float) -> nn.Module:
        """The smaller network for inference, made anew at every call.

        Its units' MACs are at most (1 - ratio) of the full units' MACs at `present`.
        """
        kept = self.kept(present, ratio)
        small = sliced(self._network, kept)
        if self._rule.mend is not None:
            self._rule.mend(self._network, small, kept, self._calibration[present])
        return small

    def _choose(self, present: Present, ratio: float) -> Chosen:
        costs, allocation = self._costs[present], self._rule.allocation
        scores = self._mean_where_running() if self._rule.one_order else self._scored(present)
        if callable(allocation):
            return allocation(self._network, scores, costs, ratio)
        keep = keep_share if allocation == "share" else keep_best
        kept = keep({name: score.tolist() for name, score in scores.items()}, costs, ratio)
        return {name: units if costs.macs[name] else [] for name, units in kept.items()}

    def _scored(self, present: Present) -> Scores:
        if present not in self._scores:
            self._scores[present] = self._rule.score(self._network, self._calibration[present])
        return self._scores[present]

    def _mean_where_running(self) -> Scores:
        """Mean over the masks at which a layer runs."""
        scores = {mask: self._scored(mask) for mask in self._calibration}
        total: Scores = {}
        for name, first in next(iter(scores.values())).items():
            runs = [score[name] for mask, score in scores.items() if self._costs[mask].macs[name]]
            total[name] = torch.stack(runs).mean(dim=0) if runs else torch.zeros_like(first)
        return total


def factor_gradients(network: nn.Module, calibration: Calibration) -> Scores:
    """Of every sample's loss with respect to a factor on each unit, {layer: [n, units]}."""
    return gate_gradients(network, lambda: calibration.losses_of(network), samples=len(calibration.label))


def set_outgoing(layer: Prunable, weight: Tensor, bias: Tensor) -> None:
    """Replace the layer's map to the output; the old tensors, which others may share, stay as they are."""
    old_weight, old_bias = layer.outgoing
    for name, parameter in list(layer.named_parameters()):
        for old, new in ((old_weight, weight), (old_bias, bias)):
            if parameter is old:
                setattr(layer, name, nn.Parameter(new.detach(), requires_grad=False))
