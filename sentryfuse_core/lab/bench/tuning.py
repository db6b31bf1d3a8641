"""Tuning of the published rules: each may choose its settings on validation, ratio by ratio."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from torch import nn

from sentryfuse_core.lab.bench.measure import Judge
from sentryfuse_core.lab.rivals.least_squares import refit
from sentryfuse_core.lab.rivals.rule import Allocation, Pruned, Rule
from sentryfuse_core.pruning.gate import Present

__all__ = ["TunedRule", "tune"]

_ALLOCATIONS: tuple[Allocation, ...] = ("global", "share")


@dataclass(frozen=True, eq=False)
class TunedRule:
    """A rule at its best settings of each ratio."""

    best: Mapping[float, Pruned]
    built: Mapping[tuple[Present, float], nn.Module]  # those that tuning has already made
    trials: tuple[Mapping[str, Any], ...]  # settings, ratio, mean accuracy over masks on validation

    def kept(self, present: Present, ratio: float) -> Mapping[str, Sequence[int]]:
        """The units that stay, by layer."""
        return self.best[ratio].kept(present, ratio)

    def at(self, present: Present, ratio: float) -> nn.Module:
        """The smaller network for inference."""
        made = self.built.get((present, ratio))
        return self.best[ratio].at(present, ratio) if made is None else made


def tune(rule: Rule, network: nn.Module, judge: Judge, *, ratios: Sequence[float]) -> TunedRule:
    """Try every setting of `rule` at every ratio; the best mean over masks on validation is kept."""
    calibration = judge.calibration()
    best: dict[float, tuple[float, Pruned]] = {}
    built: dict[tuple[Present, float], nn.Module] = {}
    trials = []
    variants = _variants(rule)
    for name, variant in variants.items():
        pruned = variant.prepare(network, calibration, judge.costs)
        for ratio in ratios:
            made = {}
            score = float("nan")
            if len(variants) > 1:
                made = {(present, ratio): pruned.at(present, ratio) for present in judge.sets}
                score = _score(made, judge)
            trials.append(
                {"settings": name, "ratio": ratio, "val": None if np.isnan(score) else round(score, 3)}
            )
            if ratio not in best or score > best[ratio][0]:
                best[ratio] = (score, pruned)
                built.update(made)
    return TunedRule({ratio: pruned for ratio, (_, pruned) in best.items()}, built, tuple(trials))


def _score(networks: Mapping[tuple[Present, float], nn.Module], judge: Judge) -> float:
    """Mean accuracy over masks on validation."""
    scores = [
        judge.accuracy(judge.hits(network, "val", present), "val")
        for (present, _), network in networks.items()
    ]
    return float(np.mean(scores))


def _variants(rule: Rule) -> dict[str, Rule]:
    """The rule with every allocation it can have, and FLAP also without its bias."""
    if callable(rule.allocation):
        return {"as published": rule}
    if rule.mend is refit:
        # Both would be dear. On validation of har/trunk/s0 share was ahead from r = .75 on, level before.
        return {"share": replace(rule, allocation="share")}
    if rule.mend is None:
        return {name: replace(rule, allocation=name) for name in _ALLOCATIONS}
    return {
        f"{name}, bias {on}": replace(rule, allocation=name, mend=rule.mend if on else None)
        for on in (True, False)
        for name in _ALLOCATIONS
    }
