"""The figures that the benchmark promises, measured, with their intervals and whether they are reached.

Rivals are those that validation chose; figures are of test. Intervals are over runs, taking the choice of
rivals and of cells as given.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

from sentryfuse_core.lab.bench.compare import CellResult, Versus, compare
from sentryfuse_core.lab.bench.figures import (
    Figure,
    dense_points,
    gap,
    gap_closed,
    own_share,
    pooled,
    rival_points,
    rival_share,
    strong_points,
)
from sentryfuse_core.lab.bench.sizes import cost_figures, size_figures
from sentryfuse_core.lab.bench.study import DENSE, OURS, Group, Study, masks_of

__all__ = ["judge"]

_GAP_POINTS = 3.0  # a smaller gap between dense and the rival leaves nothing to close
_CLOSED = {"all": 92.0, "missing": 90.0}  # per cent of the gap
_RELATIVE = {"all": 30.0, "missing": 35.0}  # per cent of the rival's accuracy
_DROP = {0.5: 0.5, 0.75: 1.0, 0.9: 2.0}  # points below dense
_AHEAD = {0.5: 0.0, 0.75: 0.5, 0.9: 1.0}  # points above refits, DynaBERT and MatFormer
_WORST_RATIO, _WORST_POINTS = 0.75, 3.0
_CELLS, _RUNS = 144, 3


def judge(study: Study, results: Sequence[CellResult]) -> tuple[Figure, ...]:
    """Every figure that the records give, in the order of the table of promises."""
    return (
        *_extent(study, results),
        *_closed(results),
        *_relative(results),
        *_drops(study, results),
        *_ahead(study, results),
        *size_figures(study),
        *_worst(study),
        *cost_figures(study, results),
    )


def _extent(study: Study, results: Sequence[CellResult]) -> list[Figure]:
    """How much was measured."""
    full = [one for one in results if one.against_dense and one.against_rival]
    notes = tuple(study.missing[:1]) and (f"{len(study.missing)} things are missing; see the list",)
    runs = [one.against_dense.difference.runs for one in full if one.against_dense]
    return [
        Figure(
            what="cells with ours, dense and an untrained rival",
            measured=float(len(full)),
            unit="cells",
            target=float(_CELLS),
            notes=notes,
        ),
        Figure(
            what="runs (seeds, folds) in the cell with fewest",
            measured=float(min(runs, default=math.nan)),
            unit="runs",
            target=float(_RUNS),
        ),
    ]


def _closed(results: Sequence[CellResult]) -> list[Figure]:
    """Share of the gap between dense and the untrained rival that ours closes."""
    figures = []
    for subset, target in _CLOSED.items():
        chosen = [one for one in _subset(results, subset) if gap(one) >= _GAP_POINTS]
        unknown = [one for one in _subset(results, subset) if math.isnan(gap(one))]
        what = f"gap between dense and the strongest untrained rival that is closed, {_named(subset)}"
        figures.append(pooled(what, "%", chosen, gap_closed, target=target, lacking=unknown))
        figures += [
            pooled(
                f"{what}, {data} alone",
                "%",
                [one for one in chosen if one.cell.data == data],
                gap_closed,
                lacking=[one for one in unknown if one.cell.data == data],
            )
            for data in _several(one.cell.data for one in results)
        ]
        figures.append(
            Figure(
                what=f"cells whose gap is at least {_GAP_POINTS:g} points, {_named(subset)}",
                measured=float(len(chosen)),
                unit=f"of {len(_subset(results, subset))} cells",
            )
        )
    return figures


def _relative(results: Sequence[CellResult]) -> list[Figure]:
    """Ahead of the untrained rival, in per cent of its accuracy and in points."""
    figures = []
    for subset, target in _RELATIVE.items():
        cells = _subset(results, subset)
        unknown = [one for one in cells if math.isnan(gap(one))]
        wide = [one for one in cells if gap(one) >= _GAP_POINTS]
        for which, chosen in (("the same cells", wide), ("every cell", cells)):
            what = f"ahead of the strongest untrained rival, {_named(subset)}, {which}"
            figures += [
                pooled(f"{what}, sum over sum", "%", chosen, rival_share, target=target, lacking=unknown),
                pooled(f"{what}, mean of the cells' per cent", "%", chosen, own_share, lacking=unknown),
                pooled(what, "points", chosen, rival_points, lacking=unknown),
            ]
    return figures


def _drops(study: Study, results: Sequence[CellResult]) -> list[Figure]:
    """Mean over all masks below a dense network with the same training."""
    figures = []
    for ratio, target in _DROP.items():
        cells = [one for one in results if one.cell.ratio == ratio and _is_mean(one)]
        what = f"mean drop over all masks from dense, r = {ratio:g}"
        figures.append(pooled(what, "points", cells, dense_points, target=target, direction="max"))
        for group in study.groups:
            own = [one for one in cells if (one.cell.data, one.cell.backbone) == (group.data, group.backbone)]
            versus = compare(group, DENSE, OURS, ratio, masks_of(group.modalities))
            figures.append(
                pooled(
                    f"{what}, {group.name}",
                    "points",
                    own,
                    dense_points,
                    target=target,
                    direction="max",
                    items=None if versus is None else versus.items,
                )
            )
    return figures


def _ahead(study: Study, results: Sequence[CellResult]) -> list[Figure]:
    """Against the best of refits, DynaBERT and MatFormer."""
    figures = []
    for ratio, target in _AHEAD.items():
        cells = [one for one in results if one.cell.ratio == ratio]
        what = f"ahead of the best of refit, DynaBERT, MatFormer, r = {ratio:g}"
        notes = _without_strong(study)
        total = pooled(what, "points", cells, strong_points, target=target, notes=notes)
        figures.append(total)
        if target > 0.0:
            figures.append(
                Figure(
                    what=f"{what}: lower end of the interval",
                    measured=total.low,
                    unit="points",
                    target=0.0,
                    notes=total.notes,
                )
            )
        means = [one for one in cells if _is_mean(one)]
        figures.append(pooled(f"{what}, mean over all masks alone", "points", means, strong_points))
        for group in study.groups:
            own = [one for one in cells if (one.cell.data, one.cell.backbone) == (group.data, group.backbone)]
            mean = next((one.against_strong for one in own if _is_mean(one)), None)
            figures.append(
                pooled(
                    f"{what}, {group.name}, mean over all masks alone",
                    "points",
                    [one for one in own if _is_mean(one)],
                    strong_points,
                    items=None if mean is None else mean.items,
                )
            )
    return figures


def _without_strong(study: Study) -> tuple[str, ...]:
    """Which of the named rivals a group has no record of."""
    notes = []
    for group in study.groups:
        lacking = [name for name in ("dynabert", "matformer") if name not in group.kinds]
        if not group.methods("refit"):
            lacking.append("any refit")
        if lacking:
            notes.append(f"{group.name} has no record of {', '.join(lacking)}")
    return tuple(notes)


def _worst(study: Study) -> list[Figure]:
    """The mask at which ours falls furthest below dense; which one it is, test decides."""
    what = f"worst mask's drop from dense, r = {_WORST_RATIO:g}"
    figures = [_worst_of(group, f"{what}, {group.name}") for group in study.groups]
    known = [figure for figure in figures if not math.isnan(figure.measured)]
    gone = tuple(f"not measurable: {figure.what}" for figure in figures if figure not in known)
    if not known:
        return [_drop_figure(f"{what}, all groups", None, gone), *figures]
    top = max(known, key=lambda figure: figure.measured)
    where = top.what.rpartition(", ")[2]
    notes = (*(f"{where}: {note}" for note in top.notes), *gone)
    return [replace(top, what=f"{what}, all groups", notes=notes), *figures]


def _worst_of(group: Group, what: str) -> Figure:
    masks = masks_of(group.modalities)
    by_mask = {mask: compare(group, DENSE, OURS, _WORST_RATIO, [mask]) for mask in masks}
    measured = {mask: versus for mask, versus in by_mask.items() if versus}
    notes = []
    if len(measured) < len(masks) or not masks:
        notes.append(f"{len(measured)} of {len(masks)} masks measured")
    if not measured:
        return _drop_figure(what, None, notes)
    if short := sum(versus.difference.runs < len(group.runs) for versus in measured.values()):
        notes.append(f"{short} masks lack runs")
    mask = max(measured, key=lambda one: measured[one].difference.mean)
    where = "with all sensors" if len(mask) == len(group.modalities) else f"with only {' + '.join(mask)}"
    return _drop_figure(what, measured[mask], [where, *notes])


def _drop_figure(what: str, versus: Versus | None, notes: Sequence[str]) -> Figure:
    items = versus.items if versus else None
    return Figure(
        what=what,
        measured=versus.difference.mean if versus else math.nan,
        unit="points",
        target=_WORST_POINTS,
        direction="max",
        low=versus.difference.low if versus else math.nan,
        high=versus.difference.high if versus else math.nan,
        items_low=items.low if items else math.nan,
        items_high=items.high if items else math.nan,
        notes=tuple(notes),
    )


def _subset(results: Sequence[CellResult], subset: str) -> list[CellResult]:
    return [one for one in results if subset == "all" or one.cell.setting.is_missing]


def _named(subset: str) -> str:
    return {"all": "all cells", "missing": "cells with sensors missing"}[subset]


def _several(names: Iterable[str]) -> list[str]:
    """The names, if there are two or more."""
    found = sorted(set(names))
    return found if len(found) > 1 else []


def _is_mean(result: CellResult) -> bool:
    """Whether a cell is the mean over all masks; with one sensor that is the cell of all."""
    setting = result.cell.setting
    return setting.kind == "mean" or (setting.kind == "all" and len(setting.masks[0]) == 1)
