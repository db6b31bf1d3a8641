"""What `sentryfuse adapt` found, printed and as plain values for report.json and the manifest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sentryfuse_core.lab.adapting.judge import Change, gained
from sentryfuse_core.lab.adapting.labels import AFTER, BEFORE
from sentryfuse_core.lab.training.data_scores import DataScores

__all__ = ["print_report", "report_of"]

_SHOWN_M = (2.0, 4.0)  # of the average precision by class
_WRITTEN = "gained"


def report_of(agreement: Sequence[Change], scores: DataScores | None) -> dict[str, Any]:
    """Before and after for every set of sensors, in 0..1, and whether that is a gain.

    Labels decide where there are some, else agreement with the teacher.
    """
    report: dict[str, Any] = {"agreement": [_row(change) for change in agreement]}
    judged = agreement
    if scores is not None:
        judged = [
            Change(
                change.sensors,
                scores.metrics[f"{BEFORE}{change.sensors}", 0].map,
                scores.metrics[f"{AFTER}{change.sensors}", 0].map,
            )
            for change in agreement
        ]
        report["labels"] = [_row(change) | _precision(scores, change) for change in judged]
        report["labelled_boxes"] = dict(scores.boxes)
    return report | {_WRITTEN: gained(judged)}


def _row(change: Change) -> dict[str, Any]:
    return {"sensors": str(change.sensors), "before": change.before, "after": change.after}


def _precision(scores: DataScores, change: Change) -> dict[str, Any]:
    """Average precision by class and distance."""
    return {
        f"ap_{when.strip()}": {
            label: {f"{metres:g}": own[metres] for metres in _SHOWN_M}
            for label, own in scores.metrics[f"{when}{change.sensors}", 0].ap.items()
        }
        for when in (BEFORE, AFTER)
    }


def print_report(report: Mapping[str, Any]) -> None:
    """Print a line for every set of sensors."""
    print("on what was kept back, before -> after, %:")
    labels = {row["sensors"]: row for row in report.get("labels", [])}
    for row in report["agreement"]:
        line = f"  {row['sensors']:<24} agreement with the teacher {_both(row['before'], row['after'])}"
        own = labels.get(row["sensors"])
        if own is not None:
            line += f"; mAP by labels {_both(own['before'], own['after'])}"
            line += "".join(
                f"; {label} at {metres} m {_both(before, own['ap_after'][label][metres])}"
                for label, distances in own["ap_before"].items()
                for metres, before in distances.items()
            )
        print(line)
    if not labels:
        print("  no labels: judged by agreement alone")


def _both(before: float, after: float) -> str:
    return f"{100 * before:.1f} -> {100 * after:.1f}"
