"""Everything judged, as one value: for benchmarks/results/prune.json, for a terminal, and for the report."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sentryfuse_core.lab.bench.ablations import Ablation, ablations
from sentryfuse_core.lab.bench.compare import CellResult, Loss, Versus, judge_cells, lost_cells
from sentryfuse_core.lab.bench.figures import Figure
from sentryfuse_core.lab.bench.intervals import Interval
from sentryfuse_core.lab.bench.study import RATIOS, Study
from sentryfuse_core.lab.bench.targets import judge

__all__ = ["Summary", "interval_text", "number_text", "summarise", "text_table", "to_mapping"]


@dataclass(frozen=True, eq=False)
class Summary:
    """A study with everything that is computed from it."""

    study: Study
    cells: tuple[CellResult, ...]
    figures: tuple[Figure, ...]
    ablations: tuple[Ablation, ...]
    lost: tuple[Loss, ...]


def summarise(study: Study) -> Summary:
    """Judge every cell and every promise; takes seconds."""
    cells = judge_cells(study)
    return Summary(study, cells, judge(study, cells), ablations(study, RATIOS), lost_cells(study, cells))


def to_mapping(summary: Summary) -> dict[str, Any]:
    """Plain values for JSON, which has no NaN: `rows` with targets, and `raw` with all they come from."""
    return {
        "rows": [figure.to_mapping() for figure in summary.figures],
        "raw": {
            "missing": list(summary.study.missing),
            "groups": [
                {
                    "data": group.data,
                    "backbone": group.backbone,
                    "modalities": list(group.modalities),
                    "runs": [list(run) for run in group.runs],
                    "methods": dict(sorted(group.kinds.items())),
                }
                for group in summary.study.groups
            ],
            "cells": [_cell(result) for result in summary.cells],
            "ablations": [
                {
                    "method": one.method,
                    "scope": one.scope,
                    "ratio": one.ratio,
                    "accuracy": _number(one.accuracy),
                    "ours": _number(one.ours),
                    "difference": _interval(one.difference),
                }
                for one in summary.ablations
            ],
            "lost": [
                {"cell": one.cell.name, "kind": one.kind, "chosen": one.chosen, **_versus(one.versus)}
                for one in summary.lost
            ],
        },
    }


def text_table(figures: Sequence[Figure], *, judged_only: bool = False) -> str:
    """The figures as a table in plain text, their notes below the line they belong to."""
    lines: list[tuple[str, ...]] = [("what", "measured", "95 % interval", "unit", "target", "met")]
    notes: dict[int, tuple[str, ...]] = {}
    for figure in figures:
        if judged_only and figure.target is None:
            continue
        sign = "<=" if figure.direction == "max" else ">="
        target = "" if figure.target is None else f"{sign} {figure.target:g}"
        met = {None: "", True: "yes", False: "NO"}[figure.met]
        interval = interval_text(figure.low, figure.high)
        lines.append((figure.what, number_text(figure.measured), interval, figure.unit, target, met))
        notes[len(lines) - 1] = figure.notes
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    align = ("<", ">", "<", "<", "<", "<")
    shown = []
    for place, line in enumerate(lines):
        cells = [f"{cell:{align[column]}{widths[column]}}" for column, cell in enumerate(line)]
        shown.append("  ".join(cells).rstrip())
        shown += [f"    {note}" for note in notes.get(place, ())]
    return "\n".join(shown)


def number_text(value: float) -> str:
    """Four digits; a dash where nothing could be measured."""
    return "-" if math.isnan(value) else f"{value:.4g}"


def interval_text(low: float, high: float) -> str:
    """'low to high'; empty where there is no interval."""
    return "" if math.isnan(low) or math.isnan(high) else f"{low:.2f} to {high:.2f}"


def _cell(result: CellResult) -> dict[str, Any]:
    cell = result.cell
    return {
        "data": cell.data,
        "backbone": cell.backbone,
        "ratio": cell.ratio,
        "sensors": cell.setting.name,
        "missing": cell.setting.is_missing,
        "rival": result.rival,
        "strong": result.strong,
        "against_dense": None if result.against_dense is None else _versus(result.against_dense),
        "against_rival": None if result.against_rival is None else _versus(result.against_rival),
        "against_strong": None if result.against_strong is None else _versus(result.against_strong),
        "methods": {
            method: {
                "accuracy": round(sum(scores.values()) / len(scores), 4),
                "runs": len(scores),
                "val": _mean(result.val.get(method, {})),
                "macs": round(result.macs[method]),
                "unit_macs": round(result.unit_macs[method]),
            }
            for method, scores in result.test.items()
        },
    }


def _mean(scores: Any) -> float | None:
    return round(sum(scores.values()) / len(scores), 4) if scores else None


def _versus(versus: Versus) -> dict[str, Any]:
    return {
        "method": versus.method,
        "against": versus.against,
        "accuracy": round(versus.accuracy, 4),
        "against_accuracy": round(versus.against_accuracy, 4),
        "difference": _interval(versus.difference),
        "items": None if versus.items is None else _interval(versus.items),
    }


def _interval(interval: Interval) -> dict[str, Any]:
    return {
        "mean": _number(interval.mean),
        "low": _number(interval.low),
        "high": _number(interval.high),
        "n": interval.runs,
    }


def _number(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 4)
