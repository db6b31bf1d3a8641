"""Rules that rank units by one score: what they share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sentryfuse_core.lab.rivals.calibration import Allocation, Calibration, Present, allocate
from sentryfuse_core.lab.rivals.selected import Chosen, Selected
from sentryfuse_core.pruning.costs import UnitCosts

__all__ = ["ScoreRule", "lazy_scores"]

Scores = dict[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class ScoreRule(ABC):
    """A score of each unit for each set of present modalities, then the best units under the budget.

    Attributes:
        name, source: see `Rule`.
        allocation: how scores of different layers compare.
        one_order: rank by the mean of the scores over the masks at which a layer runs, so that all masks
            share one order; else every mask has its own scores.
    """

    name: str
    source: str
    allocation: Allocation
    one_order: bool = False

    @abstractmethod
    def score(self, network: nn.Module, calibration: Calibration) -> Scores:
        """What each unit is worth, {layer: [units]}; layers that do not run may have any finite score."""

    def prepare(
        self,
        network: nn.Module,
        calibration: Mapping[Present, Calibration],
        costs: Mapping[Present, UnitCosts],
    ) -> Selected:
        """See `Rule`."""
        scores = lazy_scores(self, network, calibration, costs)

        def choose(present: Present, ratio: float) -> Chosen:
            return allocate(scores(present), costs[present], ratio, self.allocation)

        return Selected(network, choose)


def lazy_scores(
    rule: ScoreRule,
    network: nn.Module,
    calibration: Mapping[Present, Calibration],
    costs: Mapping[Present, UnitCosts],
) -> Callable[[Present], Scores]:
    """Scores at a set of modalities, worked out once, when they are first asked for."""
    own: dict[Present, Scores] = {}
    shared: list[Scores] = []

    def at(present: Present) -> Scores:
        if present not in own:
            own[present] = rule.score(network, calibration[present])
        return own[present]

    def mean(_present: Present) -> Scores:
        if not shared:
            shared.append(_mean_where_running({mask: at(mask) for mask in calibration}, costs))
            own.clear()
        return shared[0]

    return mean if rule.one_order else at


def _mean_where_running(scores: Mapping[Present, Scores], costs: Mapping[Present, UnitCosts]) -> Scores:
    """Mean over the masks at which a layer runs."""
    total: Scores = {}
    for name in next(iter(scores.values())):
        runs = [score[name] for mask, score in scores.items() if costs[mask].macs[name]]
        first = next(iter(scores.values()))[name]
        total[name] = torch.stack(runs).mean(dim=0) if runs else torch.zeros_like(first)
    return total
