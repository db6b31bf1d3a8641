"""One judged figure, and how it is pooled from cells: a ratio of sums with an interval over runs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from sentryfuse_core.lab.bench.compare import CellResult
from sentryfuse_core.lab.bench.intervals import Interval, Part, ratio_interval
from sentryfuse_core.lab.bench.records import Run
from sentryfuse_core.lab.bench.study import DENSE, OURS

__all__ = [
    "Figure",
    "Values",
    "dense_points",
    "gap",
    "gap_closed",
    "own_share",
    "pooled",
    "rival_points",
    "rival_share",
    "strong_points",
]

Pair = tuple[Mapping[Run, float], Mapping[Run, float]]  # what a cell adds above and below the line, by run
Values = Callable[[CellResult], Pair | None]


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One figure. `direction` min: at least the target, max: at most; without a target it is only reported.

    `low` and `high` are the ends of the 95 per cent interval over runs, `items_low` and `items_high` of that
    over test items; NaN where there is none. `notes` say what the figure lacks.
    """

    what: str
    measured: float
    unit: str
    target: float | None = None
    direction: Literal["min", "max"] = "min"
    low: float = math.nan
    high: float = math.nan
    items_low: float = math.nan
    items_high: float = math.nan
    notes: tuple[str, ...] = ()

    @property
    def met(self) -> bool | None:
        """Whether the target is reached; None without one. A figure that is no number reaches none."""
        if self.target is None:
            return None
        if math.isnan(self.measured):
            return False
        measured = round(self.measured, 9)  # sums of binary fractions must not miss a target by 1e-15
        return measured <= self.target if self.direction == "max" else measured >= self.target

    def to_mapping(self) -> dict[str, Any]:
        """Plain values for JSON, which has no NaN."""
        values = {
            key: None if isinstance(value, float) and math.isnan(value) else value
            for key, value in asdict(self).items()
        }
        return {**values, "notes": list(self.notes), "met": self.met}


def pooled(
    what: str,
    unit: str,
    cells: Sequence[CellResult],
    values: Values,
    *,
    lacking: Sequence[CellResult] = (),
    items: Interval | None = None,
    notes: Sequence[str] = (),
    **judged: Any,
) -> Figure:
    """A ratio of sums over `cells`; says which of them, and of those `lacking`, could not be measured."""
    found = [(one, values(one)) for one in cells]
    parts = [Part(one.cell.data, *pair) for one, pair in found if pair]
    gone = [*dict.fromkeys(one.cell.name for one in lacking)]
    gone += [one.cell.name for one, pair in found if not pair and one.cell.name not in gone]
    short = [one for one, pair in found if pair and len(pair[0]) < len(one.runs)]
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
    scale = 100.0 if unit == "%" else 1.0
    return Figure(
        what=what,
        measured=scale * interval.mean,
        unit=unit,
        low=scale * interval.low,
        high=scale * interval.high,
        items_low=math.nan if items is None else items.low,
        items_high=math.nan if items is None else items.high,
        notes=tuple(said),
        **judged,
    )


def shared(result: CellResult, *methods: str | None) -> dict[Run, tuple[float, ...]]:
    """Test accuracies of `methods` by run, where all have one."""
    scores = [result.test.get(method or "", {}) for method in methods]
    runs = sorted(set.intersection(*(set(one) for one in scores)))
    return {run: tuple(one[run] for one in scores) for run in runs}


def gap(result: CellResult) -> float:
    """Points between dense and the untrained rival; NaN where ours, dense or a rival is missing."""
    found = shared(result, DENSE, result.rival, OURS)
    return float(np.mean([dense - rival for dense, rival, _ in found.values()])) if found else math.nan


def gap_closed(result: CellResult) -> Pair | None:
    """Ours above the untrained rival, over dense above it."""
    found = shared(result, OURS, result.rival, DENSE)
    above = {run: ours - rival for run, (ours, rival, _) in found.items()}
    below = {run: dense - rival for run, (_, rival, dense) in found.items()}
    return (above, below) if found else None


def rival_share(result: CellResult) -> Pair | None:
    """Ours above the untrained rival, over its accuracy."""
    found = shared(result, OURS, result.rival)
    above = {run: ours - rival for run, (ours, rival) in found.items()}
    return (above, {run: rival for run, (_, rival) in found.items()}) if found else None


def own_share(result: CellResult) -> Pair | None:
    """Differences over the mean accuracy that the rival has in this cell."""
    found = shared(result, OURS, result.rival)
    if not found:
        return None
    level = max(float(np.mean([rival for _, rival in found.values()])), 1e-9)
    return {run: (ours - rival) / level for run, (ours, rival) in found.items()}, dict.fromkeys(found, 1.0)


def _points(result: CellResult, method: str, against: str | None) -> Pair | None:
    found = shared(result, method, against)
    above = {run: ours - theirs for run, (ours, theirs) in found.items()}
    return (above, dict.fromkeys(found, 1.0)) if found else None


def rival_points(result: CellResult) -> Pair | None:
    """Ours above the untrained rival."""
    return _points(result, OURS, result.rival)


def strong_points(result: CellResult) -> Pair | None:
    """Ours above the strongest of refit, DynaBERT and MatFormer."""
    return _points(result, OURS, result.strong)


def dense_points(result: CellResult) -> Pair | None:
    """Dense above ours."""
    return _points(result, DENSE, OURS)
