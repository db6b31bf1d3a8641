"""What each part of ours earns: every ablation, and our other designs, against ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from sentryfuse_core.lab.bench.compare import mean_of
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


def ablations(study: Study) -> tuple[Ablation, ...]:
    """Methods of kind ablation, and of kind ours beside it, minus ours: mean over all masks on test.

    One for every group that has the method, and where several have it, their mean with scope 'all'.
    """
    methods = sorted({name for group in study.groups for name in group.methods("ablation", "ours")} - {OURS})
    return tuple(one for method in methods for ratio in RATIOS for one in _ablated(study, method, ratio))


def _ablated(study: Study, method: str, ratio: float) -> list[Ablation]:
    pairs = {group: pair for group in study.groups if (pair := _pair(group, method, ratio))}
    found = [
        Ablation(
            method=method,
            scope=group.name,
            ratio=ratio,
            accuracy=mean_of(scores),
            ours=mean_of(ours),
            difference=mean_interval(_lost(scores, ours).values()),
        )
        for group, (scores, ours) in pairs.items()
    ]
    if len(found) > 1:
        parts = [
            Part(group.data, _lost(scores, ours), dict.fromkeys(scores, 1.0))
            for group, (scores, ours) in pairs.items()
        ]
        accuracy, ours = (float(np.mean([getattr(one, of) for one in found])) for of in ("accuracy", "ours"))
        difference = ratio_interval(parts)
        found.append(
            Ablation(
                method=method, scope="all", ratio=ratio, accuracy=accuracy, ours=ours, difference=difference
            )
        )
    return found


def _pair(group: Group, method: str, ratio: float) -> tuple[Mapping[Run, float], Mapping[Run, float]] | None:
    """The method's accuracy and ours, over the same runs."""
    masks = masks_of(group.modalities)
    scores, ours = (group.scores(name, ratio, masks, "test") for name in (method, OURS))
    runs = sorted(scores.keys() & ours.keys())
    return ({run: scores[run] for run in runs}, {run: ours[run] for run in runs}) if runs else None


def _lost(scores: Mapping[Run, float], ours: Mapping[Run, float]) -> dict[Run, float]:
    return {run: scores[run] - ours[run] for run in scores}
