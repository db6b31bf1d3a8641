"""Everything judged, as one value: for result files, for a terminal, and for the report."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from sentryfuse_core.lab.bench.ablations import Ablation, ablations
from sentryfuse_core.lab.bench.compare import CellResult, Loss, Versus, judge_cells, lost_cells
from sentryfuse_core.lab.bench.intervals import Interval
from sentryfuse_core.lab.bench.results import Figure
from sentryfuse_core.lab.bench.study import Study
from sentryfuse_core.lab.bench.targets import judge

__all__ = ["Summary", "raw_of", "summarise"]


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
    return Summary(study, cells, judge(study, cells), ablations(study), lost_cells(cells))


def raw_of(summary: Summary) -> dict[str, Any]:
    """All that the figures come from, in plain values for JSON, which has no NaN."""
    groups = [
        {
            "data": group.data,
            "backbone": group.backbone,
            "modalities": list(group.modalities),
            "runs": [list(run) for run in group.runs],
            "methods": dict(sorted(group.kinds.items())),
        }
        for group in summary.study.groups
    ]
    return {
        "missing": list(summary.study.missing),
        "groups": groups,
        "cells": [_cell(result) for result in summary.cells],
        "ablations": [_plain(vars(one)) for one in summary.ablations],
        "lost": [
            {"cell": one.cell.name, "kind": one.kind, "chosen": one.chosen, **_plain(vars(one.versus))}
            for one in summary.lost
        ],
    }


def _cell(result: CellResult) -> dict[str, Any]:
    return {
        "data": result.group.data,
        "backbone": result.group.backbone,
        "ratio": result.ratio,
        "sensors": result.setting.name,
        "missing": result.setting.is_missing,
        "rival": result.rival,
        "strong": result.strong,
        "against_dense": _plain(result.against_dense),
        "against_rival": _plain(result.against_rival),
        "against_strong": _plain(result.against_strong),
        "methods": {method: _method(result, method) for method in result.test},
    }


def _method(result: CellResult, method: str) -> dict[str, Any]:
    return {
        "accuracy": _plain(result.mean(method, "accuracy")),
        "runs": len(result.test[method]),
        "val": _plain(result.mean(method, "accuracy", "val")),
        "macs": round(result.mean(method, "macs") or 0.0),
        "unit_macs": round(result.mean(method, "unit_macs") or 0.0),
    }


def _plain(value: Any) -> Any:
    """Numbers with four digits behind the point, None for NaN; what holds numbers as a mapping."""
    if isinstance(value, float):
        return None if math.isnan(value) else round(value, 4)
    if isinstance(value, Interval):
        found = {key: _plain(item) for key, item in vars(value).items()}
        found["n"] = found.pop("runs")
        return found
    if isinstance(value, Versus | dict):
        items = value if isinstance(value, dict) else vars(value)
        return {key: _plain(item) for key, item in items.items()}
    return value
