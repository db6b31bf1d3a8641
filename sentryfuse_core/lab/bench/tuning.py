"""Tuning of the published rules: each may choose its settings on validation, ratio by ratio."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from torch import nn

from sentryfuse_core.lab.bench.measure import Entrant, Judge
from sentryfuse_core.lab.rivals.least_squares import refit
from sentryfuse_core.lab.rivals.rule import Allocation, Pruned, Rule
from sentryfuse_core.pruning.gate import Present

__all__ = ["tuned"]

_ALLOCATIONS: tuple[Allocation, ...] = ("global", "share")


def tuned(rule: Rule, network: nn.Module, macs: float, judge: Judge, *, ratios: Sequence[float]) -> Entrant:
    """`rule` on `network`, at every ratio with the setting of the best mean over masks on validation.

    `macs`: of the network's training. The notes tell every trial.
    """
    calibration = judge.calibration()
    best: dict[float, tuple[float, Pruned]] = {}
    built: dict[tuple[Present, float], nn.Module] = {}  # those that tuning has made already
    trials = []
    variants = _variants(rule)
    for name, variant in variants.items():
        pruned = variant.prepare(network, calibration, judge.costs)
        for ratio in ratios:
            made, score = {}, float("nan")
            if len(variants) > 1:
                made = {(present, ratio): pruned.at(present, ratio) for present in judge.sets}
                hits = [judge.hits(one, "val", present) for (present, _), one in made.items()]
                score = float(np.mean([judge.accuracy(item, "val") for item in hits]))
            trials.append(
                {"settings": name, "ratio": ratio, "val": None if np.isnan(score) else round(score, 3)}
            )
            if ratio not in best or score > best[ratio][0]:
                best[ratio] = (score, pruned)
                built.update(made)

    def at(present: Present, ratio: float) -> nn.Module:
        made = built.get((present, ratio))
        return best[ratio][1].at(present, ratio) if made is None else made

    def kept(present: Present, ratio: float) -> Mapping[str, Sequence[int]]:
        return best[ratio][1].kept(present, ratio)

    return Entrant(kept, at, macs, judge.costs, ratios, {"source": rule.source, "trials": trials})


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
