"""What each part of ours earns: every ablation, and our other designs, against ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sentryfuse_core.lab.bench.intervals import Interval, Part, mean_interval, ratio_interval
from sentryfuse_core.lab.bench.records import Run
from sentryfuse_core.lab.bench.study import OURS, RATIOS, Group, Study, masks_of

__all__ = ["Ablation", "ablations"]


@dataclass(frozen=True, kw_only=True)
class Ablation:
    """Ours without a part, mean over all masks: points that are lost (negative) without it."""

    method: str
    scope: str  # data/backbone, or 'all'
    ratio: float
    accuracy: float
    ours: float
    difference: Interval


def ablations(study: Study, ratios: Sequence[float] = RATIOS) -> tuple[Ablation, ...]:
    """Methods of kind ablation, and of kind ours beside it, minus ours: mean over all masks on test.

    One for every group that has the method, and where several have it, their mean with scope 'all'.
    """
    methods = sorted({name for group in study.groups for name in group.methods("ablation", "ours")} - {OURS})
    found: list[Ablation] = []
    for method in methods:
        for ratio in ratios:
            pairs = [(group, pair) for group in study.groups if (pair := _pair(group, method, ratio))]
            own = [
                _ablation(method, group.name, ratio, pair, mean_interval(_lost(pair).values()))
                for group, pair in pairs
            ]
            found += own
            if len(own) > 1:
                parts = [Part(group.data, _lost(pair), dict.fromkeys(pair[0], 1.0)) for group, pair in pairs]
                found.append(
                    Ablation(
                        method=method,
                        scope="all",
                        ratio=ratio,
                        accuracy=float(np.mean([one.accuracy for one in own])),
                        ours=float(np.mean([one.ours for one in own])),
                        difference=ratio_interval(parts),
                    )
                )
    return tuple(found)


_Pair = tuple[Mapping[Run, float], Mapping[Run, float]]  # the method's accuracy and ours, over the same runs


def _pair(group: Group, method: str, ratio: float) -> _Pair | None:
    masks = masks_of(group.modalities)
    scores, ours = (group.scores(name, ratio, masks, "test") for name in (method, OURS))
    runs = sorted(scores.keys() & ours.keys())
    return ({run: scores[run] for run in runs}, {run: ours[run] for run in runs}) if runs else None


def _lost(pair: _Pair) -> dict[Run, float]:
    return {run: pair[0][run] - pair[1][run] for run in pair[0]}


def _ablation(method: str, scope: str, ratio: float, pair: _Pair, difference: Interval) -> Ablation:
    accuracy, ours = (float(np.mean(list(values.values()))) for values in pair)
    return Ablation(
        method=method, scope=scope, ratio=ratio, accuracy=accuracy, ours=ours, difference=difference
    )
