"""Cells judged one by one: the strongest rival on validation, and how far apart methods are on test."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sentryfuse_core.lab.bench.intervals import Interval, item_interval, mean_interval
from sentryfuse_core.lab.bench.records import Mask, Run, unpack_hits
from sentryfuse_core.lab.bench.study import DENSE, OURS, RIVAL_KINDS, Group, Setting, Study

__all__ = [
    "CellResult",
    "Loss",
    "Versus",
    "compare",
    "judge_cells",
    "lost_cells",
    "mean_of",
    "refitted_or_nested",
    "strongest",
    "untrained",
]

_NESTED = ("dynabert", "matformer")
_SAME_METRIC_POINTS = 0.05  # hits whose mean is further from the accuracy measure something else


@dataclass(frozen=True, kw_only=True)
class Versus:
    """Two methods in one cell over the runs that both have: test accuracies, their difference in points."""

    method: str
    against: str
    accuracy: float
    against_accuracy: float
    difference: Interval  # over runs
    items: Interval | None  # over test items, where both kept their hits


@dataclass(frozen=True, kw_only=True)
class CellResult:
    """One cell, a ratio and sensors on a backbone and data set: accuracies by run, and ours against rivals.

    `rival` is the strongest that neither trains for pruning nor refits; `strong` the strongest of refit,
    DynaBERT and MatFormer. None where there is no candidate, or nothing to compare.
    """

    group: Group
    ratio: float
    setting: Setting
    test: Mapping[str, Mapping[Run, float]]
    rival: str | None
    strong: str | None
    against_dense: Versus | None
    against_rival: Versus | None
    against_strong: Versus | None

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.group.name}, r = {self.ratio:g}, {self.setting.name}"

    def mean(self, method: str, of: str, split: str = "test") -> float | None:
        """Mean over runs and masks of a number of the method's rows; None where it has none."""
        found = self.group.scores(method, self.ratio, self.setting.masks, split, of=of)
        return mean_of(found) if found else None


@dataclass(frozen=True, kw_only=True)
class Loss:
    """A cell in which a rival's mean test accuracy is above ours; `chosen`: validation had chosen it."""

    cell: CellResult
    versus: Versus  # ours against it: negative
    kind: str
    chosen: bool


def mean_of(scores: Mapping[Run, float]) -> float:
    """Over runs."""
    return float(np.mean(list(scores.values())))


def untrained(group: Group) -> list[str]:
    """Rivals that, like the paper's baselines, neither train for pruning nor refit weights."""
    return group.methods("zero_shot")


def refitted_or_nested(group: Group) -> list[str]:
    """Least-squares refits, DynaBERT and MatFormer."""
    return sorted({*group.methods("refit"), *(name for name in _NESTED if name in group.kinds)})


def strongest(group: Group, candidates: Sequence[str], ratio: float, masks: Sequence[Mask]) -> str | None:
    """The candidate with the best mean validation accuracy; the first by name among equals.

    Those with the most runs are judged over the runs that they share. One with fewer runs takes the
    place of the best of them only if it is better over the runs of both.
    """
    scores = {name: group.scores(name, ratio, masks, "val") for name in sorted(candidates)}
    scores = {name: values for name, values in scores.items() if values}
    if not scores:
        return None
    most = max(len(values) for values in scores.values())
    full = [name for name, values in scores.items() if len(values) == most]
    best = max(full, key=_mean_over(scores, full))
    for name in (name for name in scores if name not in full):
        better = _mean_over(scores, [name, best])
        if better(name) > better(best):
            best = name
    return best


def _mean_over(scores: Mapping[str, Mapping[Run, float]], names: Sequence[str]) -> Callable[[str], float]:
    """The mean accuracy of a method over the runs that `names` share, else over its own."""
    common = set.intersection(*(set(scores[name]) for name in names))
    return lambda name: mean_of({run: scores[name][run] for run in sorted(common or scores[name])})


def compare(
    group: Group, method: str, against: str | None, ratio: float, masks: Sequence[Mask]
) -> Versus | None:
    """`method` minus `against` on test, paired over runs; None where they share none."""
    if against is None:
        return None
    ours, theirs = (group.scores(name, ratio, masks, "test") for name in (method, against))
    runs = sorted(ours.keys() & theirs.keys())
    if not runs:
        return None
    return Versus(
        method=method,
        against=against,
        accuracy=mean_of({run: ours[run] for run in runs}),
        against_accuracy=mean_of({run: theirs[run] for run in runs}),
        difference=mean_interval(ours[run] - theirs[run] for run in runs),
        items=_over_items(group, (method, against), ratio, masks, runs),
    )


def judge_cells(study: Study) -> tuple[CellResult, ...]:
    """Every cell of every group, those without results too."""
    return tuple(_judge(group, *cell) for group in study.groups for cell in group.cells())


def _judge(group: Group, ratio: float, setting: Setting) -> CellResult:
    at = (ratio, setting.masks)
    rival, strong = (strongest(group, names(group), *at) for names in (untrained, refitted_or_nested))
    test = {method: group.scores(method, *at, "test") for method in sorted(group.records)}
    return CellResult(
        group=group,
        ratio=ratio,
        setting=setting,
        test={method: scores for method, scores in test.items() if scores},
        rival=rival,
        strong=strong,
        against_dense=compare(group, OURS, DENSE, *at),
        against_rival=compare(group, OURS, rival, *at),
        against_strong=compare(group, OURS, strong, *at),
    )


def lost_cells(results: Sequence[CellResult]) -> tuple[Loss, ...]:
    """Every cell and rival (zero-shot, refitted or trained) that beats ours on test, chosen or not."""
    losses = []
    for cell in results:
        for method in cell.group.methods(*RIVAL_KINDS):
            ours, theirs = (cell.test.get(name, {}) for name in (OURS, method))
            behind = sum(ours[run] - theirs[run] for run in ours.keys() & theirs.keys()) < 0.0
            if behind and (versus := compare(cell.group, OURS, method, cell.ratio, cell.setting.masks)):
                chosen = method in (cell.rival, cell.strong)
                losses.append(Loss(cell=cell, versus=versus, kind=cell.group.kinds[method], chosen=chosen))
    return tuple(losses)


def _over_items(
    group: Group, pair: tuple[str, str], ratio: float, masks: Sequence[Mask], runs: Sequence[Run]
) -> Interval | None:
    """The difference's interval over test items; None where hits are missing or are not this accuracy.

    The items of all runs are pooled by their id: a run that tests other items adds to their number, one that
    tests the same items adds to each.
    """
    above: defaultdict[int | str, float] = defaultdict(float)
    below: defaultdict[int | str, float] = defaultdict(float)
    for run in runs:
        items, other = (group.records[name][run].items for name in pair)
        hits = [_hits(group, name, ratio, masks, run) for name in pair]
        if not items or items != other or hits[0] is None or hits[1] is None:
            return None
        for item, value in zip(items, 100.0 * (hits[0] - hits[1]), strict=True):
            above[item] += float(value)
            below[item] += 1.0
    return item_interval(np.array(list(above.values())), np.array(list(below.values())))


def _hits(
    group: Group, method: str, ratio: float, masks: Sequence[Mask], run: Run
) -> NDArray[np.float64] | None:
    """Correctness [n] averaged over `masks`, or None where a row has none of its own accuracy."""
    rows = group.rows(method, ratio, masks, "test")[run]
    if not all(row.hits for row in rows):
        return None
    hits = np.stack([unpack_hits(row.hits) for row in rows]).astype(np.float64)
    accuracy = np.array([row.accuracy for row in rows])
    if (abs(100.0 * hits.mean(axis=1) - accuracy) > _SAME_METRIC_POINTS).any():
        return None
    mean: NDArray[np.float64] = hits.mean(axis=0)
    return mean
