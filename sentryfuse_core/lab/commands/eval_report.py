"""What `sentryfuse eval` says: tables on the terminal, eval.json and the dropout matrix as a picture."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import fmean
from typing import Any

from rich.box import SIMPLE
from rich.table import Table

from sentryfuse_core.commands.terminal import Terminal
from sentryfuse_core.evaluation.matching import DISTANCES_M
from sentryfuse_core.json_values import json_value
from sentryfuse_core.lab.bench.plot_style import write_png
from sentryfuse_core.lab.bench.results import Figure, text_table, write
from sentryfuse_core.lab.commands.eval_plot import dropout_figure
from sentryfuse_core.lab.commands.eval_study import Study
from sentryfuse_core.lab.scoring.conditions import DAY_ABOVE, NIGHT_BELOW, ROUGH_ABOVE, Contrast
from sentryfuse_core.lab.training.support import LEAST_SCORE
from sentryfuse_core.types import ModalitySet

__all__ = ["print_report", "rounded", "table", "wide_terminal", "write_report"]

_FEW = 100  # frames: with other worlds their figures move by points
_DIGITS = 5  # after the point, in eval.json


def print_report(study: Study) -> None:
    """Tables for every level, then the figures they add up to."""
    console = wide_terminal()
    levels = sorted({level for _, level in study.cells})
    for level in levels:
        console.print(_cells_table(study, level))
    console.print(_labels_table(study, levels))
    if study.light:
        title = f"mAP by day (light above {DAY_ABOVE:g}) and night (below {NIGHT_BELOW:g})"
        console.print(_contrast_table(title, ("day", "night"), study.light))
    if study.imu:
        title = f"mAP on rough ground (above {ROUGH_ABOVE:g}) without and with the IMU"
        console.print(_contrast_table(title, ("without", "with"), study.imu))
    if study.supporters:
        console.print(
            table(
                "support: the sensors that a detection names, all four present, level 0",
                ("sensor", "had the object when named", "named when it had the object", "objects found"),
                [
                    (
                        one.sensor.value,
                        _percent(one.precision),
                        _percent(one.recall),
                        str(one.named_had + one.had_only),
                    )
                    for one in study.named
                ],
                caption="per cent; objects found: of those that the sensor had",
            )
        )
        console.print(
            table(
                f"detections with a score of {LEAST_SCORE:g} or more, by supporters",
                ("sensors", "detections", "within 2 m of a true box"),
                [(str(one.sensors), str(one.detections), _percent(one.share)) for one in study.supporters],
            )
        )
    print(text_table(_figures(study)))
    for note in _cautions(study):
        print(f"note: {note}")


def wide_terminal(columns: int = 126) -> Terminal:
    """Of so many columns at least: a table that is cut off helps nobody in a log file."""
    return Terminal(width=max(Terminal().width, columns))


def _cautions(study: Study) -> list[str]:
    """What is too few to rely on."""
    scored, fitted = study.frames
    notes = [study.left_out] if study.left_out else []
    if scored < _FEW:
        notes.append(f"{scored} frames are few: with others, of another --seed, figures move by points")
    if 0 < fitted < _FEW:
        notes.append(f"calibrators fitted on {fitted} frames are for a look: fit those in use on more")
    return notes


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]], *, caption: str = "") -> Table:
    """The first column to the left, the others to the right, none of them broken."""
    table = Table(title=title, caption=caption or None, box=SIMPLE)
    for index, name in enumerate(columns):
        table.add_column(name, justify="right" if index else "left", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    return table


def _cells_table(study: Study, level: int) -> Table:
    rows, (scored, fitted) = [], study.frames
    for cell in study.cells.values():
        if cell.level != level:
            continue
        found = cell.metrics
        by_distance = [fmean(own[metres] for own in found.ap.values()) for metres in DISTANCES_M]
        rows.append(
            (
                cell.name,
                *(_percent(value) for value in (found.map, *by_distance)),
                *(f"{value:.2f}" for value in (found.mean_ate, found.mean_ase, found.mean_aoe)),
                _percent(found.nds),
                *("-" if part is None else _percent(part.error) for part in (cell.before, cell.after)),
            )
        )
    distances = (f"{metres:g} m" for metres in DISTANCES_M)
    return table(
        f"level {level}",
        ("sensors", "mAP", *distances, "ATE m", "ASE", "AOE rad", "NDS*", "ECE raw", "ECE fit"),
        rows,
        caption=f"AP and ECE in per cent, of {scored} frames (fit: on {fitted} others); NDS*: of mAP to AOE",
    )


def _labels_table(study: Study, levels: Sequence[int]) -> Table:
    def texts(name: str, level: int) -> str:
        cell = study.cells.get((name, level))
        if cell is None:
            return "-"
        return " / ".join(_percent(fmean(own.values())) for own in cell.metrics.ap.values())

    labels = next(iter(study.cells.values())).metrics.ap
    names = dict.fromkeys(name for name, _ in study.cells)
    return table(
        f"AP in per cent: {' / '.join(labels)}",
        ("sensors", *(f"level {level}" for level in levels)),
        [(name, *(texts(name, level) for level in levels)) for name in names],
    )


def _contrast_table(title: str, names: tuple[str, str], contrasts: Sequence[Contrast]) -> Table:
    rows = []
    for one in contrasts:
        interval = f"{100 * one.gain.low:+.1f} to {100 * one.gain.high:+.1f}"
        counts = "/".join(map(str, dict.fromkeys(one.frames)))
        gain = f"{100 * (one.after - one.before):+.1f}"
        shares = _percent(one.before), _percent(one.after)
        rows.append((one.what, str(one.level), *shares, gain, interval, counts))
    return table(title, ("sensors", "level", *names, "gain", "95 %", "frames"), rows)


def _figures(study: Study) -> list[Figure]:
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
    ]
    return found


def write_report(folder: Path, study: Study, *, command: str, config: Mapping[str, Any]) -> list[Path]:
    """Write eval.json and dropout.png into `folder`; raises OutputError where that cannot be done."""
    raw = {
        "cells": [cell.to_mapping() for cell in study.cells.values()],
        "day_night": [asdict(one) for one in study.light],
        "imu_on_rough_ground": [asdict(one) for one in study.imu],
        "support_named": [one.to_mapping() for one in study.named],
        "support_number": [one.to_mapping() for one in study.supporters],
    }
    data = write("eval", _figures(study), raw=rounded(raw), config=config, folder=folder, command=command)
    picture = folder / "dropout.png"
    write_png(dropout_figure(study.cells), picture, dpi=150)
    return [data, picture]


def rounded(value: Any) -> Any:
    """The same with short numbers; null where nothing was measured."""
    return json_value(value, _DIGITS)


def _share(what: str, value: float) -> Figure:
    return Figure(what=what, measured=round(100 * value, _DIGITS), unit="%")


def _percent(value: float) -> str:
    return "-" if math.isnan(value) else f"{100 * value:.1f}"
