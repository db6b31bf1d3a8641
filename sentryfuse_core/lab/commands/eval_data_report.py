"""What `sentryfuse eval --data` says: tables on the terminal, eval_data.json and a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure as Picture
from rich.table import Table

from sentryfuse_core.boxes import FrameBoxes
from sentryfuse_core.evaluation.matching import DISTANCES_M
from sentryfuse_core.evaluation.metrics import DetectionMetrics
from sentryfuse_core.faults.severities import SEVERITY_NAMES
from sentryfuse_core.lab.bench.plot_style import STYLE, write_png
from sentryfuse_core.lab.bench.results import Figure, text_table, write
from sentryfuse_core.lab.commands.eval_plot import heat
from sentryfuse_core.lab.commands.eval_policy_figures import (
    FaultStudy,
    PolicyStudy,
    fault_figures,
    policy_figures,
)
from sentryfuse_core.lab.commands.eval_policy_report import (
    faults_table,
    plain_faults,
    plain_policies,
    policies_table,
)
from sentryfuse_core.lab.commands.eval_report import rounded, table, wide_terminal
from sentryfuse_core.lab.training.data_scores import DataScores, Frames
from sentryfuse_core.lab.training.detections import Key
from sentryfuse_core.lab.training.told import TOLD
from sentryfuse_core.types import ModalitySet

__all__ = ["DataStudy", "print_data", "write_data"]

_ROW_INCHES, _COLUMN_INCHES = 0.26, 0.62


@dataclass(frozen=True, eq=False)
class DataStudy:
    """What was found in all frames; scores where they are labelled, policies and faults if asked for."""

    frames: Frames
    labels: tuple[str, ...]  # of the detector
    sensors: ModalitySet  # that most frames have
    scores: DataScores | None = None
    policies: PolicyStudy | None = None
    faults: FaultStudy | None = None

    def told(self) -> dict[Key, tuple[float, float]]:
        """Published boxes a frame, and those of them further than 4 m from every label, by set of sensors."""
        found = {}
        for (name, level), own in self.frames.boxes.items():
            if name.startswith(TOLD):
                seen = [view.only(one) for view, one in zip(self.frames.views, own, strict=True)]
                false = sum(map(_false, seen, self.frames.truth))
                count = len(seen)
                found[name.removeprefix(TOLD), level] = (sum(map(len, seen)) / count, false / count)
        return found


def _false(found: FrameBoxes, truth: FrameBoxes) -> int:
    """Boxes with no label of any class near."""
    if not len(truth):
        return len(found)
    apart = np.hypot(*np.moveaxis(found.boxes[:, None, :2] - truth.boxes[None, :, :2], -1, 0))
    return int((apart.min(axis=1) > DISTANCES_M[-1]).sum())


def print_data(study: DataStudy) -> None:
    """The tables, then the figures they add up to."""
    console = wide_terminal()
    console.print(_told(study))
    if study.scores is not None:
        console.print(_scores(study, study.scores))
    if study.policies is not None:
        console.print(policies_table(study.policies))
    if study.faults is not None:
        console.print(faults_table(study.faults))
    print(text_table(_figures(study)))


def _told(study: DataStudy) -> Table:
    """What a robot would publish."""
    rows = [
        (name, str(level), f"{told:.2f}", "-" if study.scores is None else f"{false:.2f}")
        for (name, level), (told, false) in study.told().items()
    ]
    return table(
        f"boxes a frame at the published threshold, {len(study.frames.truth)} frames",
        ("sensors", "level", "told", "4 m from any label"),
        rows,
    )


def _scores(study: DataStudy, scores: DataScores) -> Table:
    boxes = ", ".join(f"{count} {label}" for label, count in scores.boxes.items())
    distances = ", ".join(f"{metres:g}" for metres in DISTANCES_M)
    rows = [
        (
            name,
            str(level),
            f"{100 * found.map:.1f}",
            *(" ".join(f"{100 * own[metres]:5.1f}" for metres in DISTANCES_M) for own in found.ap.values()),
        )
        for (name, level), found in _own(scores).items()
    ]
    return table(
        f"{len(scores.frames.truth)} frames, most with {study.sensors}; labelled in region and view: {boxes}",
        ("sensors", "level", "mAP", *scores.labels),
        rows,
        caption=f"AP in per cent at {distances} m; mAP: their mean over the classes that are there",
    )


def _own(scores: DataScores) -> dict[Key, DetectionMetrics]:
    """All but what is published: a threshold cuts its recall off."""
    return {key: found for key, found in scores.metrics.items() if not key[0].startswith(TOLD)}


def _figures(study: DataStudy) -> list[Figure]:
    figures = [
        Figure(what=f"mAP of {name}, level {level}", measured=100 * found.map, unit="%")
        for (name, level), found in ({} if study.scores is None else _own(study.scores)).items()
    ]
    figures += [
        Figure(what=f"boxes a frame of {name}, level {level}", measured=told, unit="boxes", direction="max")
        for (name, level), (told, _) in study.told().items()
    ]
    if study.policies is not None:
        figures += policy_figures(study.policies)
    if study.faults is not None:
        figures += [*fault_figures(study.faults), _corruption_error(study.faults)]
    return figures


def _corruption_error(faults: FaultStudy) -> Figure:
    """The mean of (clean - corrupted) / clean, by severities and then faults (KITTI-C, arXiv 2303.11040)."""
    return Figure(
        what="relative corruption error, mean over severities and then faults (as RCE)",
        measured=100.0 * (1.0 - faults.kept(faults.points)),
        unit="%",
        direction="max",
    )


def write_data(folder: Path, study: DataStudy, *, command: str, config: Mapping[str, Any]) -> list[Path]:
    """Write eval_data.json and eval_data.png into `folder`; raises OutputError where that cannot be done."""
    scores = study.scores
    raw = {
        "frames": len(study.frames.truth),
        "boxes": {} if scores is None else dict(scores.boxes),
        "cells": [
            {"what": name, "level": level, **found.to_mapping()}
            for (name, level), found in ({} if scores is None else _own(scores)).items()
        ],
        "told": [
            {"what": name, "level": level, "boxes": told, "far_from_labels": false}
            for (name, level), (told, false) in study.told().items()
        ],
        "policies": [] if study.policies is None else plain_policies(study.policies),
        "faults": [] if study.faults is None else plain_faults(study.faults),
    }
    data = write(
        "eval_data", _figures(study), raw=rounded(raw), config=config, folder=folder, command=command
    )
    if scores is None:
        return [data]
    picture = folder / "eval_data.png"
    write_png(_picture(study, scores), picture)
    return [data, picture]


def _picture(study: DataStudy, scores: DataScores) -> Picture:
    """Sets of sensors by class and distance and, where faults were tried, what each of them leaves."""
    own_scores, faults = _own(scores), study.faults
    names = [f"{name} {level}" for name, level in own_scores]
    columns = ["mAP", *(f"{label[:3]}\n{metres:g} m" for label in scores.labels for metres in DISTANCES_M)]
    cells = [
        [found.map, *(own[metres] for own in found.ap.values() for metres in DISTANCES_M)]
        for found in own_scores.values()
    ]
    left: dict[str, list[float]] = {}
    for row, (bad, without, _) in zip(faults.rows, faults.points, strict=True) if faults is not None else ():
        own = left.setdefault(f"{row.sensor.value} {row.fault}", [np.nan] * len(SEVERITY_NAMES))
        own[row.severity - 1] = bad - without
    height = 1.4 + _ROW_INCHES * max(len(names), len(left))
    width = 2.8 + _COLUMN_INCHES * len(columns) + (4.0 if left else 0.0)
    with mpl.rc_context({**STYLE, "axes.grid": False}):
        figure = Picture(figsize=(width, height), layout="constrained")
        ratios = [len(columns), *([len(SEVERITY_NAMES) + 2] if left else [])]
        axes = np.atleast_1d(figure.subplots(1, len(ratios), width_ratios=ratios))
        heat(axes[0], 100.0 * np.array(cells), columns, "viridis", largest=100.0)
        axes[0].set_yticks(range(len(names)), names)
        axes[0].set_title("AP, %, by class and distance")
        if left:
            _gains(axes[1], left)
        return figure


def _gains(axis: mpl.axes.Axes, left: Mapping[str, Sequence[float]]) -> None:
    points = np.array(list(left.values()))
    heat(axis, points, SEVERITY_NAMES, "RdYlGn", largest=10.0, least=-10.0)
    axis.set_yticks(range(len(left)), list(left))
    axis.set_title("points of mAP against\nthe sensor's absence")
