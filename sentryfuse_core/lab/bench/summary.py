"""Everything judged, as one value: for result files, for a terminal, and for the report."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from sentryfuse_core.json_values import json_value
from sentryfuse_core.lab.bench.ablations import Ablation, ablations
from sentryfuse_core.lab.bench.compare import CellResult, Loss, Versus, judge_cells, lost_cells, mean_of
from sentryfuse_core.lab.bench.intervals import Interval
from sentryfuse_core.lab.bench.results import Figure, text_table
from sentryfuse_core.lab.bench.study import RATIOS, Group, Study, settings_of
from sentryfuse_core.lab.bench.targets import judge

__all__ = ["Summary", "raw_of", "summarise", "text_of"]


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


def text_of(summary: Summary) -> str:
    """For a terminal: every method's accuracy, and the figures for which all was run that they are about.

    Of the others it says that there are some: a few methods or seeds are no attempt at all figures.
    """
    missing, figures = summary.study.missing, summary.figures
    shown = [one for one in figures if one.whole and not (missing or math.isnan(one.measured))]
    parts = [_accuracies(group) for group in summary.study.groups]
    parts += [text_table(shown)] if shown else []
    if gone := len(figures) - len(shown):
        why = f" ({missing[0]}{'; ...' if len(missing) > 1 else ''})" if missing else ""
        parts.append(
            f"note: {gone} of the {len(figures)} figures that compare methods need more than was run{why}: "
            "prune.json and report.html have them, with what each lacks"
        )
    return "\n\n".join(parts)


def _accuracies(group: Group) -> str:
    """A line for each method, the best first, with all sensors and over all sets of them."""
    settings = [one for one in settings_of(group.modalities) if one.kind in ("all", "mean")]
    ratios = sorted({ratio for method in group.kinds for ratio in group.ratios(method)} - {0.0}) or RATIOS
    rows = []
    for method in group.kinds:
        found = [[group.scores(method, ratio, one.masks, "test") for ratio in ratios] for one in settings]
        means = [[mean_of(scores) if scores else math.nan for scores in part] for part in found]
        name = method if group.own_ratio(method, ratios[0]) else f"{method}, whole"
        count = len(group.records[method])
        rows.append((name if count == len(group.runs) else f"{name} ({count} runs)", means))
    rows.sort(key=lambda row: -np.nansum(row[1]))
    runs = f"{len(group.runs)} run{'s' * (len(group.runs) > 1)}"
    wide, block = max(len(name) for name, _ in rows), 7 * len(ratios)
    shares = "".join(f"{100 * ratio:5.0f} %" for ratio in ratios)
    return "\n".join(
        [
            f"{group.name}, test: balanced accuracy in % by share of MACs removed, mean of {runs}",
            "  ".join([" " * wide, *(f"{one.name:>{block}}" for one in settings)]),
            "  ".join([" " * wide, *(shares for _ in settings)]),
            *(
                "  ".join([f"{name:<{wide}}", *("".join(map(_tenths, part)) for part in means)])
                for name, means in rows
            ),
        ]
    )


def _tenths(value: float) -> str:
    return "      -" if math.isnan(value) else f"{value:7.1f}"


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
    if isinstance(value, Interval):
        found = {key: _plain(item) for key, item in vars(value).items()}
        found["n"] = found.pop("runs")
        return found
    if isinstance(value, Versus | dict):
        items = value if isinstance(value, dict) else vars(value)
        return {key: _plain(item) for key, item in items.items()}
    return json_value(value, 4)
