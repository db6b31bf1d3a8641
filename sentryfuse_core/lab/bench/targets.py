"""The figures that the benchmark promises, measured, with their intervals and whether they are reached.

Rivals are those that validation chose; figures are of test. Intervals are over runs, taking the choice of
rivals and of cells as given.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from sentryfuse_core.lab.bench.compare import CellResult, compare, untrained
from sentryfuse_core.lab.bench.intervals import Interval, Part, ratio_interval
from sentryfuse_core.lab.bench.records import Run
from sentryfuse_core.lab.bench.results import Figure, at_least, at_most
from sentryfuse_core.lab.bench.sizes import cost_figures, size_figures
from sentryfuse_core.lab.bench.study import DENSE, OURS, Group, Study, masks_of

__all__ = ["judge"]

_GAP_POINTS = 3.0  # a smaller gap between dense and the rival leaves nothing to close
_SUBSETS = {"all": "all cells", "missing": "cells with sensors missing"}
_CLOSED = {"all": 92.0, "missing": 90.0}  # per cent of the gap
_RELATIVE = {"all": 30.0, "missing": 35.0}  # per cent of the rival's accuracy
_DROP = {0.5: 0.5, 0.75: 1.0, 0.9: 2.0}  # points below dense
_AHEAD = {0.5: 0.0, 0.75: 0.5, 0.9: 1.0}  # points above refits, DynaBERT and MatFormer
_WORST_RATIO, _WORST_POINTS = 0.75, 3.0
_CELLS, _RUNS = 144, 3
_FEWEST_RIVALS = 2  # to choose the strongest of

_Pair = tuple[Mapping[Run, float], Mapping[Run, float]]  # what a cell adds above and below the line, by run
_Values = Callable[[CellResult], _Pair | None]


def judge(study: Study, results: Sequence[CellResult]) -> tuple[Figure, ...]:
    """Every figure that the records give, in the order of the table of promises."""
    return (
        *_extent(study, results),
        *_closed(study, results),
        *_relative(study, results),
        *_drops(study, results),
        *_ahead(study, results),
        *size_figures(study),
        *_worst(study),
        *cost_figures(study, results),
    )


def _shares(
    result: CellResult, methods: Sequence[str | None], share: Callable[..., tuple[float, float]]
) -> _Pair | None:
    """What `share` makes of the methods' test accuracies in each run that all have; None without any."""
    scores = [result.test.get(method or "", {}) for method in methods]
    runs = sorted(set.intersection(*(set(one) for one in scores)))
    found = {run: share(*(one[run] for one in scores)) for run in runs}
    if not found:
        return None
    return {run: above for run, (above, _) in found.items()}, {
        run: below for run, (_, below) in found.items()
    }


def _gap_closed(result: CellResult) -> _Pair | None:
    """Ours above the untrained rival, over dense above it."""
    return _shares(
        result, (OURS, result.rival, DENSE), lambda ours, rival, dense: (ours - rival, dense - rival)
    )


def _rival_share(result: CellResult) -> _Pair | None:
    """Ours above the untrained rival, over its accuracy."""
    return _shares(result, (OURS, result.rival), lambda ours, rival: (ours - rival, rival))


def _own_share(result: CellResult) -> _Pair | None:
    """Differences over the mean accuracy that the rival has in this cell."""
    pair = _rival_share(result)
    if pair is None:
        return None
    level = max(float(np.mean(list(pair[1].values()))), 1e-9)
    return {run: above / level for run, above in pair[0].items()}, dict.fromkeys(pair[0], 1.0)


def _points(result: CellResult, method: str | None, against: str | None) -> _Pair | None:
    """One method above another."""
    return _shares(result, (method, against), lambda one, other: (one - other, 1.0))


def _gap(result: CellResult) -> float:
    """Points between dense and the untrained rival; NaN where ours, dense or a rival is missing."""
    pair = _gap_closed(result)
    return float(np.mean(list(pair[1].values()))) if pair else math.nan


def _pooled(
    what: str,
    unit: str,
    cells: Sequence[CellResult],
    values: _Values,
    *,
    lacking: Sequence[CellResult] = (),
    items: Interval | None = None,
    notes: Sequence[str] = (),
    whole: bool = True,
    **judged: Any,
) -> Figure:
    """A ratio of sums over `cells`; says which of them, and of those `lacking`, could not be measured."""
    found = [(one, values(one)) for one in cells]
    parts = [Part(one.group.data, *pair) for one, pair in found if pair]
    gone = [*dict.fromkeys(one.name for one in (*lacking, *(one for one, pair in found if not pair)))]
    short = [one for one, pair in found if pair and len(pair[0]) < len(one.group.runs)]
    said = [*notes]
    if not cells and not gone:
        said.append("no such cell")
    if gone:
        said.append(
            f"{len(gone)} cells not measured: {'; '.join(gone[:3])}{'; ...' if len(gone) > 3 else ''}"
        )
    if short:
        said.append(f"{len(short)} of {len(parts)} cells lack runs")
    interval = ratio_interval(parts)
    if parts and math.isnan(interval.low):
        said.append("no interval: a data set has only one run")
    judged["whole"] = whole and not (gone or short)
    return _figure(what, unit, interval, items, said, scale=100.0 if unit == "%" else 1.0, **judged)


def _figure(
    what: str,
    unit: str,
    interval: Interval | None,
    items: Interval | None,
    notes: Sequence[str],
    *,
    scale: float = 1.0,
    **judged: Any,
) -> Figure:
    interval, items = interval or Interval(math.nan), items or Interval(math.nan)
    return Figure(
        what=what,
        measured=scale * interval.mean,
        unit=unit,
        low=scale * interval.low,
        high=scale * interval.high,
        items_low=items.low,
        items_high=items.high,
        notes=tuple(notes),
        **judged,
    )


def _extent(study: Study, results: Sequence[CellResult]) -> list[Figure]:
    """How much was measured."""
    full = [one.against_dense for one in results if one.against_dense and one.against_rival]
    notes = (f"{len(study.missing)} things are missing; see the list",) if study.missing else ()
    fewest = float(min((one.difference.runs for one in full), default=math.nan))
    cells, runs = (
        "cells with ours, dense and an untrained rival",
        "runs (seeds, folds) in the cell with fewest",
    )
    extent = (
        at_least(cells, float(len(full)), "cells", float(_CELLS), notes=notes),
        at_least(runs, fewest, "runs", float(_RUNS)),
    )
    return [replace(one, whole=bool(one.met)) for one in extent]


def _closed(study: Study, results: Sequence[CellResult]) -> list[Figure]:
    """Share of the gap between dense and the untrained rival that ours closes."""
    figures, judged = [], _strongest_of(study)
    names = sorted({one.group.data for one in results})
    for subset, target in _CLOSED.items():
        cells = _subset(results, subset)
        chosen = [one for one in cells if _gap(one) >= _GAP_POINTS]
        unknown = [one for one in cells if math.isnan(_gap(one))]
        what = f"gap between dense and the strongest untrained rival that is closed, {_SUBSETS[subset]}"
        figures.append(_pooled(what, "%", chosen, _gap_closed, target=target, lacking=unknown, **judged))
        for data in names if len(names) > 1 else []:
            own, lacking = ([one for one in part if one.group.data == data] for part in (chosen, unknown))
            figures.append(_pooled(f"{what}, {data} alone", "%", own, _gap_closed, lacking=lacking, **judged))
        wide = f"cells whose gap is at least {_GAP_POINTS:g} points, {_SUBSETS[subset]}"
        count = at_least(wide, float(len(chosen)), f"of {len(cells)} cells")
        figures.append(replace(count, whole=judged["whole"] and not unknown))
    return figures


def _relative(study: Study, results: Sequence[CellResult]) -> list[Figure]:
    """Ahead of the untrained rival, in per cent of its accuracy and in points."""
    figures = []
    for subset, target in _RELATIVE.items():
        cells = _subset(results, subset)
        judged = {**_strongest_of(study), "lacking": [one for one in cells if math.isnan(_gap(one))]}
        wide = [one for one in cells if _gap(one) >= _GAP_POINTS]
        for which, chosen in (("the same cells", wide), ("every cell", cells)):
            what = f"ahead of the strongest untrained rival, {_SUBSETS[subset]}, {which}"
            figures += [
                _pooled(f"{what}, sum over sum", "%", chosen, _rival_share, target=target, **judged),
                _pooled(f"{what}, mean of the cells' per cent", "%", chosen, _own_share, **judged),
                _pooled(what, "points", chosen, lambda one: _points(one, OURS, one.rival), **judged),
            ]
    return figures


def _strongest_of(study: Study) -> dict[str, Any]:
    """What a figure about the strongest untrained rival lacks: the strongest of one says little."""
    few = [group.name for group in study.groups if len(untrained(group)) < _FEWEST_RIVALS]
    return {"whole": not few, "notes": [f"{name} has fewer than two untrained rivals" for name in few]}


def _drops(study: Study, results: Sequence[CellResult]) -> list[Figure]:
    """Mean over all masks below a dense network with the same training."""

    def below_dense(one: CellResult) -> _Pair | None:
        return _points(one, DENSE, OURS)

    figures = []
    for ratio, target in _DROP.items():
        cells = [one for one in results if one.ratio == ratio and _is_mean(one)]
        what = f"mean drop over all masks from dense, r = {ratio:g}"
        judged: dict[str, Any] = {"target": target, "direction": "max"}
        figures.append(_pooled(what, "points", cells, below_dense, **judged))
        for group in study.groups:
            own = [one for one in cells if one.group is group]
            versus = compare(group, DENSE, OURS, ratio, masks_of(group.modalities))
            items = versus.items if versus else None
            figures.append(
                _pooled(f"{what}, {group.name}", "points", own, below_dense, items=items, **judged)
            )
    return figures


def _ahead(study: Study, results: Sequence[CellResult]) -> list[Figure]:
    """Against the best of refits, DynaBERT and MatFormer."""

    def above_strong(one: CellResult) -> _Pair | None:
        return _points(one, OURS, one.strong)

    figures, without = [], _without_strong(study)
    judged: dict[str, Any] = {"whole": not without}
    for ratio, target in _AHEAD.items():
        cells = [one for one in results if one.ratio == ratio]
        what = f"ahead of the best of refit, DynaBERT, MatFormer, r = {ratio:g}"
        total = _pooled(what, "points", cells, above_strong, target=target, notes=without, **judged)
        figures.append(total)
        if target > 0.0:
            name = f"{what}: lower end of the interval"
            low = at_least(name, total.low, "points", 0.0, notes=total.notes)
            figures.append(replace(low, whole=total.whole))
        means = [one for one in cells if _is_mean(one)]
        figures.append(_pooled(f"{what}, mean over all masks alone", "points", means, above_strong, **judged))
        for group in study.groups:
            own = [one for one in means if one.group is group]
            items = next((one.against_strong.items for one in own if one.against_strong), None)
            name = f"{what}, {group.name}, mean over all masks alone"
            figures.append(_pooled(name, "points", own, above_strong, items=items, **judged))
    return figures


def _without_strong(study: Study) -> list[str]:
    """Which of the named rivals a group has no record of."""
    notes = []
    for group in study.groups:
        lacking = [name for name in ("dynabert", "matformer") if name not in group.kinds]
        if not group.methods("refit"):
            lacking.append("any refit")
        if lacking:
            notes.append(f"{group.name} has no record of {', '.join(lacking)}")
    return notes


def _worst(study: Study) -> list[Figure]:
    """The mask at which ours falls furthest below dense; which one it is, test decides."""
    what = f"worst mask's drop from dense, r = {_WORST_RATIO:g}"
    figures = {group.name: _worst_of(group, f"{what}, {group.name}") for group in study.groups}
    known = {name: figure for name, figure in figures.items() if not math.isnan(figure.measured)}
    gone = [f"not measurable: {figure.what}" for name, figure in figures.items() if name not in known]
    if not known:
        total = at_most(f"{what}, all groups", math.nan, "points", _WORST_POINTS, notes=gone)
        return [total, *figures.values()]
    where = max(known, key=lambda name: known[name].measured)
    notes = (*(f"{where}: {note}" for note in known[where].notes), *gone)
    total = replace(known[where], what=f"{what}, all groups", notes=notes)
    return [replace(total, whole=total.whole and not gone), *figures.values()]


def _worst_of(group: Group, what: str) -> Figure:
    masks = masks_of(group.modalities)
    by_mask = {mask: compare(group, DENSE, OURS, _WORST_RATIO, [mask]) for mask in masks}
    measured = {mask: versus for mask, versus in by_mask.items() if versus}
    judged: dict[str, Any] = {"target": _WORST_POINTS, "direction": "max"}
    notes = []
    if len(measured) < len(masks):
        notes.append(f"{len(measured)} of {len(masks)} masks measured")
    if not measured:
        return _figure(what, "points", None, None, notes, **judged)
    if short := sum(versus.difference.runs < len(group.runs) for versus in measured.values()):
        notes.append(f"{short} masks lack runs")
    judged["whole"] = not notes
    mask = max(measured, key=lambda one: measured[one].difference.mean)
    where = "with all sensors" if len(mask) == len(group.modalities) else f"with only {' + '.join(mask)}"
    return _figure(what, "points", measured[mask].difference, measured[mask].items, [where, *notes], **judged)


def _subset(results: Sequence[CellResult], subset: str) -> list[CellResult]:
    return [one for one in results if subset == "all" or one.setting.is_missing]


def _is_mean(result: CellResult) -> bool:
    """Whether a cell is the mean over all masks; with one sensor that is the cell of all."""
    setting = result.setting
    return setting.kind == "mean" or (setting.kind == "all" and len(setting.masks[0]) == 1)
