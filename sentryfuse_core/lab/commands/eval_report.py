"""What `sentryfuse eval` says: tables on the terminal, eval.json and the dropout matrix as a picture."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from sentryfuse_core.errors import OutputError
from sentryfuse_core.evaluation.matching import DISTANCES_M
from sentryfuse_core.lab.bench.results import Figure, text_table
from sentryfuse_core.lab.commands.eval_plot import dropout_figure
from sentryfuse_core.lab.commands.eval_study import Study
from sentryfuse_core.lab.scoring.conditions import DAY_ABOVE, NIGHT_BELOW, ROUGH_ABOVE, Contrast
from sentryfuse_core.lab.scoring.matrix import Cell
from sentryfuse_core.lab.training.support import LEAST_SCORE
from sentryfuse_core.replay.manifest import machine, processor, source_commit, versions
from sentryfuse_core.types import ModalitySet

__all__ = ["figures", "print_report", "report_mapping", "write_report"]

_WIDTH = 126  # columns at least: a table that is cut off helps nobody in a log file
_DIGITS = 5  # after the point, in eval.json


def print_report(study: Study) -> None:
    """Tables for every level, then the figures they add up to."""
    console = Console(width=max(Console().width, _WIDTH))
    levels = sorted({level for _, level in study.cells})
    for level in levels:
        cells = [cell for cell in study.cells.values() if cell.level == level]
        console.print(_cells_table(f"level {level}", cells))
    console.print(_labels_table(study.cells, levels))
    if study.light:
        title = f"mAP by day (light above {DAY_ABOVE:g}) and night (below {NIGHT_BELOW:g})"
        console.print(_contrast_table(title, ("day", "night"), study.light))
    if study.imu:
        title = f"mAP on rough ground (above {ROUGH_ABOVE:g}) without and with the IMU"
        console.print(_contrast_table(title, ("without", "with"), study.imu))
    if study.supporters:
        console.print(_named_table(study))
        console.print(_supporters_table(study))
    print(text_table(figures(study)))


def _cells_table(title: str, cells: Sequence[Cell]) -> Table:
    table = Table(title=title, box=SIMPLE)
    table.add_column("sensors", no_wrap=True)
    columns = ("mAP", *(f"{metres:g} m" for metres in DISTANCES_M), "ATE m", "ASE", "AOE rad", "NDS*")
    for name in (*columns, "ECE raw", "ECE fit"):
        table.add_column(name, justify="right", no_wrap=True)
    for cell in cells:
        found = cell.metrics
        by_distance = [_mean(own[metres] for own in found.ap.values()) for metres in DISTANCES_M]
        table.add_row(
            cell.name,
            *(_percent(value) for value in (found.map, *by_distance)),
            *(f"{value:.2f}" for value in (found.mean_ate, found.mean_ase, found.mean_aoe)),
            _percent(found.nds),
            "-" if cell.before is None else _percent(cell.before.error),
            "-" if cell.after is None else _percent(cell.after.error),
        )
    table.caption = "AP and ECE in per cent; NDS*: of mAP, ATE, ASE and AOE alone"
    return table


def _labels_table(cells: Mapping[tuple[str, int], Cell], levels: Sequence[int]) -> Table:
    labels = list(next(iter(cells.values())).metrics.ap)
    table = Table(title=f"AP in per cent: {' / '.join(labels)}", box=SIMPLE)
    table.add_column("sensors", no_wrap=True)
    for level in levels:
        table.add_column(f"level {level}", justify="right", no_wrap=True)
    for name in dict.fromkeys(name for name, _ in cells):
        found = [cells.get((name, level)) for level in levels]
        texts = [
            "-"
            if cell is None
            else " / ".join(_percent(_mean(own.values())) for own in cell.metrics.ap.values())
            for cell in found
        ]
        table.add_row(name, *texts)
    return table


def _contrast_table(title: str, names: tuple[str, str], contrasts: Sequence[Contrast]) -> Table:
    table = Table(title=title, box=SIMPLE)
    for name in ("sensors", "level", *names, "gain", "95 %", "frames"):
        table.add_column(name, justify="left" if name == "sensors" else "right")
    for one in contrasts:
        interval = "" if one.gain is None else f"{100 * one.gain.low:+.1f} to {100 * one.gain.high:+.1f}"
        counts = f"{one.frames[0]}" if one.gain is not None else f"{one.frames[0]}/{one.frames[1]}"
        gain = f"{100 * (one.after - one.before):+.1f}"
        table.add_row(
            one.what, str(one.level), _percent(one.before), _percent(one.after), gain, interval, counts
        )
    return table


def _named_table(study: Study) -> Table:
    table = Table(title="support: the sensors that a detection names, all four present, level 0", box=SIMPLE)
    for name in ("sensor", "had the object when named", "named when it had the object", "objects found"):
        table.add_column(name, justify="left" if name == "sensor" else "right")
    for one in study.named:
        found = one.named_had + one.had_only
        table.add_row(one.sensor.value, _percent(one.precision), _percent(one.recall), str(found))
    table.caption = "per cent; objects found: of those that the sensor had"
    return table


def _supporters_table(study: Study) -> Table:
    table = Table(title=f"detections with a score of {LEAST_SCORE:g} or more, by supporters", box=SIMPLE)
    for name in ("sensors", "detections", "within 2 m of a true box"):
        table.add_column(name, justify="right")
    for one in study.supporters:
        table.add_row(str(one.sensors), str(one.detections), _percent(one.share))
    return table


def figures(study: Study) -> list[Figure]:
    """The rows of eval.json."""
    found = []
    for one in study.summaries:
        at = f"level {one.level}"
        found += [
            _share(f"mAP with all sensors, {at}", one.all_sensors),
            _share(f"mean mAP over the 12 sets with camera or lidar, {at}", one.seeing),
            _share(f"the same against all sensors, {at}", one.relative),
            _share(f"mean mAP with any one sensor lost, {at}", one.lost_one),
            _share(f"least mAP with any one sensor lost, {at}", one.lost_worst),
            _share(f"calibration error of raw scores, mean over the 12 sets, {at}", one.ece_before),
            _share(f"calibration error after fitting, mean over the 12 sets, {at}", one.ece_after),
        ]
    sets = {str(mask) for mask in (ModalitySet(), *ModalitySet.subsets())}
    found += [
        _share(f"mAP of {name}", cell.metrics.map)
        for (name, _), cell in study.cells.items()
        if name not in sets
    ]
    found += [
        Figure(
            what=f"gain by the IMU on rough ground, {one.what}, level {one.level}",
            measured=100 * one.gain.value,
            unit="points",
            low=100 * one.gain.low,
            high=100 * one.gain.high,
        )
        for one in study.imu
        if one.gain is not None
    ]
    return found


def report_mapping(study: Study, *, command: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """Plain values for eval.json, in the form of every other result file."""
    content = {
        "name": "eval",
        "command": command,
        "machine": {"cpu": processor(), **machine()},
        "versions": versions(),
        "commit": source_commit(),
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "config": dict(config),
        "rows": [figure.to_mapping() for figure in figures(study)],
        "raw": {
            "cells": [cell.to_mapping() for cell in study.cells.values()],
            "day_night": [one.to_mapping() for one in study.light],
            "imu_on_rough_ground": [one.to_mapping() for one in study.imu],
            "support_named": [one.to_mapping() for one in study.named],
            "support_number": [one.to_mapping() for one in study.supporters],
        },
    }
    rounded: dict[str, Any] = _rounded(content)
    return rounded


def write_report(folder: Path, study: Study, content: Mapping[str, Any]) -> list[Path]:
    """Write eval.json and dropout.png into `folder`; raises OutputError where that cannot be done."""
    data, picture = folder / "eval.json", folder / "dropout.png"
    try:
        data.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        dropout_figure(study.cells).savefig(picture, dpi=150)
    except OSError as error:
        raise OutputError(f"cannot write to {folder}: {error.strerror}; choose another folder") from error
    return [data, picture]


def _rounded(value: Any) -> Any:
    """The same with short numbers; JSON has no NaN: null where nothing was measured."""
    if isinstance(value, float):
        return None if math.isnan(value) else round(value, _DIGITS)
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    return value


def _share(what: str, value: float) -> Figure:
    return Figure(what=what, measured=100 * value, unit="%")


def _percent(value: float) -> str:
    return "-" if math.isnan(value) else f"{100 * value:.1f}"


def _mean(values: Iterable[float]) -> float:
    known = list(values)
    return sum(known) / len(known)
