"""Figures of cost: our MACs against small trained networks, and whether what is called equal was equal."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from sentryfuse_core.lab.bench.compare import CellResult
from sentryfuse_core.lab.bench.results import Figure, at_most
from sentryfuse_core.lab.bench.study import DENSE, OURS, Group, Study, masks_of

__all__ = ["cost_figures", "size_figures"]

_SMALL_WITHIN_POINTS, _SMALL_FACTOR = 1.0, 1.1
_SAME_COST = 0.05  # costs that differ by more are no longer called equal


def size_figures(study: Study) -> list[Figure]:
    """MACs of the smallest of ours within a point of dense, over the smallest such trained network's."""
    figures, factors = [], {}
    what = f"MACs of ours within {_SMALL_WITHIN_POINTS:g} point of dense, over the smallest trained network's"
    for group in study.groups:
        factor, notes = _size(group, "test")
        chosen, _ = _size(group, "val")
        factors[group.name] = factor
        figures += [
            at_most(f"{what}, {group.name}", factor, "x", _SMALL_FACTOR, notes=notes),
            at_most(f"{what}, {group.name}, both chosen on validation", chosen, "x"),
        ]
    mean = float(np.exp(np.mean(np.log(list(factors.values())))))
    notes = tuple(f"{name}: not measurable" for name, factor in factors.items() if math.isnan(factor))
    return [at_most(f"{what}, geometric mean", mean, "x", _SMALL_FACTOR, notes=notes), *figures]


def _size(group: Group, split: str) -> tuple[float, tuple[str, ...]]:
    """The factor of one group, and what to know about it; ratios and sizes are those that were run."""
    ours = {(OURS, ratio): _size_of(group, OURS, ratio, split) for ratio in group.ratios(OURS)}
    small = {(name, 0.0): _size_of(group, name, 0.0, split) for name in (*group.methods("small"), DENSE)}
    near = [
        {key: one for key, one in sizes.items() if one and one[0] >= -_SMALL_WITHIN_POINTS}
        for sizes in (ours, small)
    ]
    if not near[0] or not near[1] or len(small) == 1:
        why = "no small network" if len(small) == 1 else "none of ours" if not near[0] else "no dense network"
        return math.nan, (f"{why} within {_SMALL_WITHIN_POINTS:g} point of dense",)
    (own, own_macs), (other, other_macs) = (
        min(((key, one[1]) for key, one in sizes.items()), key=lambda pair: pair[1]) for sizes in near
    )
    notes = [f"ours at r = {own[1]:g}, {own_macs:.4g} MACs; {other[0]}, {other_macs:.4g} MACs"]
    if other_macs == min(one[1] for one in small.values() if one):
        notes.append(f"{other[0]} is the smallest trained: a smaller one might do too")
    notes += [
        f"{key[0]} at r = {key[1]:g} lacks runs or masks" for key, one in (ours | small).items() if not one
    ]
    return own_macs / other_macs, tuple(notes)


def _size_of(group: Group, method: str, ratio: float, split: str) -> tuple[float, float] | None:
    """Points above dense and MACs, means over masks and runs; None unless every run has both."""
    masks = masks_of(group.modalities)
    scores, dense = group.scores(method, ratio, masks, split), group.scores(DENSE, 0.0, masks, split)
    macs = group.scores(method, ratio, masks, "test", of="macs")
    if not set(group.runs) <= scores.keys() & dense.keys() & macs.keys():
        return None
    points = np.mean([scores[run] - dense[run] for run in group.runs])
    return float(points), float(np.mean([macs[run] for run in group.runs]))


def cost_figures(study: Study, results: Sequence[CellResult]) -> list[Figure]:
    """Whether what is called equal was: MACs of the units in a cell, and MACs of training."""
    over = [
        (ours / theirs - 1.0, f"{one.name}: {name}")
        for one in results
        for name in sorted({one.rival or "", one.strong or ""} - {""})
        if (ours := one.mean(OURS, "unit_macs")) is not None and (theirs := one.mean(name, "unit_macs"))
    ]
    spent = [
        (ours / theirs - 1.0, f"{group.name}: {name}")
        for group in study.groups
        for name in (DENSE, *group.methods("trained"))
        if (ours := _trained_macs(group, OURS)) and (theirs := _trained_macs(group, name))
    ]
    return [
        _excess("most unit MACs by which ours exceed a chosen rival's in a cell", over),
        _excess("most training MACs by which ours exceed those of dense or a trained rival", spent),
    ]


def _excess(what: str, found: Sequence[tuple[float, str]]) -> Figure:
    if not found:
        return at_most(what, math.nan, "%", notes=("not recorded",))
    worst, where = max(found)
    unequal = [text for factor, text in found if factor > _SAME_COST]
    notes = [f"most at {where}"] if worst > 0 else []
    if unequal:
        notes.append(f"{len(unequal)} of {len(found)} exceed by more than {_SAME_COST:.0%}")
    return at_most(what, 100.0 * worst, "%", notes=notes)


def _trained_macs(group: Group, method: str) -> float:
    spent = [record.train_macs for record in group.records.get(method, {}).values() if record.train_macs]
    return sum(spent) / len(spent) if spent else 0.0
