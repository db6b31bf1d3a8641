"""Figures of a report as SVG text: what happened over time, and the surroundings from above."""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Polygon, Wedge
from matplotlib.ticker import MaxNLocator

from sentryfuse_core.clock import NS_PER_S
from sentryfuse_core.faults.scenario import Event
from sentryfuse_core.replay.records import SetRecord
from sentryfuse_core.replay.report_data import CLASS_COLOURS, ReportData, ReportFrame, box_corners
from sentryfuse_core.track import Track, TrackState
from sentryfuse_core.types import Detection, Modality, SensorState

__all__ = ["STATE_COLOURS", "STATE_NAMES", "STYLE", "surroundings_svg", "timeline_svg"]

STATE_COLOURS = {
    SensorState.INIT: "#d8dde4",
    SensorState.OK: "#3aa76d",
    SensorState.DEGRADED: "#e9b44c",
    SensorState.LOST: "#d1495b",
    SensorState.RECOVERING: "#5b8fd9",
}
STATE_NAMES = {
    state: "never received" if state is SensorState.INIT else state.name.lower() for state in SensorState
}
_INK, _FAINT, _BAND = "#2b3440", "#e6e9ee", "#f4f6f9"
_EDGE, _DIM = "#b5bcc6", "#5b6675"
_FAULT = "#d1495b"
_FOUND, _COASTING = "#4c9f9a", "#b9dcd8"  # tracks
_WHO = (  # by identity; each is seen on a light and on a dark page
    *("#1098ad", "#d6336c", "#2f9e44", "#e8590c", "#7950f2"),
    *("#b08900", "#4263eb", "#ae3ec9", "#74a816", "#e03131"),
)
_ARROW_S = 1.0  # an arrow ends where a track will be then
_SLOW_M_S = 0.5  # arrows of what hardly moves point anywhere
# The page's style sheet knows the reader's light or dark screen, the figure does not.
_THEMED = {_INK: "--ink", _FAINT: "--line", _BAND: "--band", _EDGE: "--faint", _DIM: "--faint"}
_AHEAD_M, _AROUND_M = (0.0, 32.0, -16.0, 16.0), (-32.0, 32.0, -32.0, 32.0)  # what is shown: x, then y
_COLUMNS = 1000  # of the timeline; what differs within one cannot be told apart
_RING_M = 1.6  # width of the ring that tells what watches each direction
_BLIND, _WATCHED = "#d1495b", {1: "#e9b44c", 2: "#5b8fd9", 3: "#3aa76d"}  # by bits of camera and lidar
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "text.parse_math": False,  # a name may have dollars in it
    "svg.hashsalt": "sentryfuse",  # element ids must not differ from run to run
    "font.family": "sans-serif",
    "font.size": 9,
    "text.color": _INK,
    "axes.labelcolor": _INK,
    "axes.edgecolor": _EDGE,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": _FAINT,
    "axes.axisbelow": True,
}


def timeline_svg(data: ReportData) -> str:
    """Sensor states, pruning level, detections, tracks and latency over the run's time."""
    with mpl.rc_context(STYLE):
        followed = any(record.tracks is not None for record in data.records)
        heights = (2.4, 0.8, 1.3, *([1.3] if followed else []), 1.5)
        figure = Figure(figsize=(11.0, 1.6 + sum(heights)), layout="constrained")
        axes = figure.subplots(len(heights), 1, sharex=True, height_ratios=heights)
        times_s = [(record.released_ns - data.start_ns) / NS_PER_S for record in data.records]
        _states(axes[0], data, times_s)
        _level(axes[1], data.records, times_s)
        _detections(axes[2], data.records, times_s)
        if followed:
            _tracks(axes[3], data, times_s)
        _latency(axes[-1], data.records, times_s)
        # Nothing is drawn beyond the end: it would squeeze all that is.
        stretches = [stretch for stretch in data.stretches if stretch.at_s < data.seconds]
        for axis in axes:
            for stretch in stretches[::2]:
                axis.axvspan(stretch.at_s, min(stretch.until_s, data.seconds), color=_BAND, zorder=0)
        for stretch in stretches:
            middle_s = (stretch.at_s + min(stretch.until_s, data.seconds)) / 2
            axes[0].text(middle_s, -0.72, stretch.name, ha="center", va="bottom", fontsize=8, color=_DIM)
        for fault in data.faults:
            if fault.at_s >= data.seconds:
                continue
            _fault(axes[0], fault, data)
            for axis in axes[1:]:
                axis.axvline(fault.at_s, color=_FAULT, linewidth=0.8, linestyle=(0, (3, 2)), zorder=1)
        axes[-1].set_xlabel("time since the start (s)")
        axes[-1].set_xlim(0.0, max(data.seconds, 1e-3))
        return _svg(figure)


def _states(axis: Axes, data: ReportData, times_s: Sequence[float]) -> None:
    """One band a sensor: colour is its state, the dark line below means its data was used."""
    end_s = max(data.seconds, times_s[-1] if times_s else 0.0)
    names = _sensors(data)
    for row, name in enumerate(names):
        states = [record.states.get(name, SensorState.INIT) for record in data.records]
        runs = [*_runs(states, times_s, end_s)]
        for state, colour in STATE_COLOURS.items():
            bars = [(from_s, to_s - from_s) for own, from_s, to_s in runs if own is state]
            axis.broken_barh(bars, (row - 0.34, 0.56), color=colour, linewidth=0)
        used = [name in record.sensors for record in data.records]
        spans = [(from_s, to_s) for there, from_s, to_s in _runs(used, times_s, end_s) if there]
        bars = [(from_s, to_s - from_s) for from_s, to_s in _joined(spans, end_s / _COLUMNS)]
        axis.broken_barh(bars, (row + 0.27, 0.09), color=_INK, linewidth=0)
    axis.set_yticks(range(len(names)), names)
    axis.set_ylim(len(names) - 0.45, -0.8 if data.stretches else -0.5)
    axis.grid(visible=False)
    axis.tick_params(left=False)


def _sensors(data: ReportData) -> Sequence[str]:
    """Names of the sensors."""
    return list(data.records[0].states) if data.records else [kind.value for kind in Modality]


def _fault(axis: Axes, fault: Event, data: ReportData) -> None:
    """Mark what a fault covers: the bands of its sensor or kind, or all where the stream is neither."""
    names = _sensors(data)
    rows = [row for row, name in enumerate(names) if fault.stream in (name, data.kinds.get(name))]
    rows = rows or list(range(len(names)))
    seconds = max(min(fault.until_s, data.seconds) - fault.at_s, 0.0)
    for row in rows:
        axis.broken_barh([(fault.at_s, seconds)], (row - 0.42, 0.08), facecolor=_FAULT, linewidth=0)
    axis.text(fault.at_s, rows[0] - 0.44, fault.fault, ha="left", va="bottom", fontsize=7.5, color=_FAULT)


def _runs(
    values: Sequence[Any], times_s: Sequence[float], end_s: float
) -> Iterator[tuple[Any, float, float]]:
    """Stretches of equal values; each value holds until the next record."""
    start = 0
    for index in range(1, len(values) + 1):
        if index == len(values) or values[index] != values[start]:
            yield values[start], times_s[start], times_s[index] if index < len(values) else end_s
            start = index


def _joined(spans: Sequence[tuple[float, float]], gap_s: float) -> Iterator[tuple[float, float]]:
    """The spans, those less than `gap_s` apart as one: a slow sensor is part of every other set only."""
    begin_s = until_s = -math.inf
    for from_s, to_s in spans:
        if from_s - until_s >= gap_s:
            if until_s > begin_s:
                yield begin_s, until_s
            begin_s = from_s
        until_s = to_s
    if until_s > begin_s:
        yield begin_s, until_s


def _extremes(values: Sequence[float]) -> Sequence[int]:
    """Which of the values to draw: of a long run the lowest and the highest in each column, in their order.

    All of them would look the same, and an hour's report would be too large to be opened.
    """
    if len(values) <= 2 * _COLUMNS:
        return range(len(values))
    parts = np.array_split(np.asarray(values), _COLUMNS)
    begins = np.cumsum([0, *map(len, parts)])
    found = {
        begin + at
        for begin, part in zip(begins, parts, strict=False)
        for at in (part.argmin(), part.argmax())
    }
    return sorted({0, *map(int, found), len(values) - 1})


def _level(axis: Axes, records: Sequence[SetRecord], times_s: Sequence[float]) -> None:
    levels = [record.level for record in records]
    axis.step(times_s, levels, where="post", color="#6b7686", linewidth=1.6)
    axis.set_ylabel("pruning level")
    top = max([1, *levels])
    axis.set_yticks(range(top + 1))
    axis.set_ylim(top + 0.4, -0.4)  # full width, level 0, on top


def _detections(axis: Axes, records: Sequence[SetRecord], times_s: Sequence[float]) -> None:
    labels = {item.class_id: item.label for record in records for item in record.detections}
    top = 0
    for class_id, label in sorted(labels.items()):
        counts = [sum(item.class_id == class_id for item in record.detections) for record in records]
        colour = CLASS_COLOURS[class_id % len(CLASS_COLOURS)]
        shown = _extremes(counts)
        axis.step(
            [times_s[index] for index in shown],
            [counts[index] for index in shown],
            where="post",
            color=colour,
            linewidth=1.2,
            label=label,
        )
        top = max(top, *counts)
    if labels:
        axis.legend(loc="upper right", ncols=len(labels), frameon=False, fontsize=8)
    axis.set_ylabel("detections")
    axis.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=5))
    axis.set_ylim(0.0, 1.35 * top or 1.0)


def _tracks(axis: Axes, data: ReportData, times_s: Sequence[float]) -> None:
    """How many are found and how many coast, one on the other; a cross where an object changed its track."""
    confirmed, every = (
        [sum(track.state in states for track in record.tracks or ()) for record in data.records]
        for states in ((TrackState.CONFIRMED,), (TrackState.CONFIRMED, TrackState.COASTING))
    )
    shown = _extremes(every)
    times_s = [times_s[index] for index in shown]
    for counts, colour, label in ((every, _COASTING, "coasting"), (confirmed, _FOUND, "confirmed")):
        heights = [counts[index] for index in shown]
        axis.fill_between(times_s, heights, step="post", color=colour, linewidth=0, label=label)
    top = max([1, *every])
    scores = (data.metrics.get("tracks") or {}).get("scores") or {}
    switches = [item["t"] for item in scores.get("switches", ())]
    if switches:
        axis.plot(
            switches,
            [1.12 * top] * len(switches),
            linestyle="none",
            marker="x",
            markersize=4.5,
            color=_FAULT,
            label="identity switch",
            zorder=3,
        )
    axis.legend(loc="upper right", ncols=3, frameon=False, fontsize=8)
    axis.set_ylabel("tracks")
    axis.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=5))
    axis.set_ylim(0.0, 1.5 * top)


def _latency(axis: Axes, records: Sequence[SetRecord], times_s: Sequence[float]) -> None:
    colours = {"pre": "#9cc3e6", "infer": "#3b7dc4", "post": "#1d3f66"}
    whole = [sum(record.latency_ms[stage] for stage in colours) for record in records]
    shown = _extremes(whole)
    times_s = [times_s[index] for index in shown]
    below = [0.0] * len(shown)
    for stage, colour in colours.items():
        stages_ms = (records[index].latency_ms[stage] for index in shown)
        above = [base + stage_ms for base, stage_ms in zip(below, stages_ms, strict=True)]
        axis.fill_between(times_s, below, above, color=colour, linewidth=0, label=stage)
        below = above
    axis.set_ylabel("latency (ms)")
    if records:
        axis.legend(loc="upper right", ncols=3, frameon=False, fontsize=8)
        ordered = sorted(whole)
        usual = ordered[int(0.99 * (len(ordered) - 1))]  # one outlier must not flatten all the rest
        axis.set_ylim(0.0, 1.4 * usual or 1.0)


def surroundings_svg(frame: ReportFrame) -> str:
    """Points and boxes from above; the robot looks up, from the bottom or, all around, from the middle.

    All around, a ring tells what watches each direction.
    """
    x_min, x_max, y_min, y_max = _AROUND_M if frame.around else _AHEAD_M
    side = 5.0 if frame.around else 3.5
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(side, side), layout="constrained")
        axis = figure.subplots()
        if frame.points is not None and len(frame.points):
            axis.scatter(
                -frame.points[:, 1], frame.points[:, 0], s=0.9, c="#6f7b8c", linewidths=0, rasterized=True
            )
        for item in frame.truth:
            _outline(axis, item, edgecolor=_INK, facecolor="none", linestyle=(0, (2, 2)), linewidth=1.0)
        for item in frame.record.detections:
            colour = CLASS_COLOURS[item.class_id % len(CLASS_COLOURS)]
            _outline(axis, item, edgecolor=colour, facecolor=f"{colour}33", linewidth=1.4)
            seen = " ".join(modality.value[0].upper() for modality in item.support)
            axis.annotate(
                seen, (-item.y, item.x), (6, 4), textcoords="offset points", fontsize=6.5, color=colour
            )
        for track in frame.record.tracks or ():
            if track.state is not TrackState.TENTATIVE:
                _way(axis, track)
        if frame.around:
            _ring(axis, frame.record.watched, x_max)
        axis.plot([0.0], [0.0], marker="^", markersize=9, color=_INK, clip_on=False)
        axis.set_xlim(-y_max, -y_min)
        axis.set_ylim(x_min, x_max)
        axis.set_aspect("equal")
        ticks = range(int(y_min), int(y_max) + 1, 16 if frame.around else 8)
        axis.set_xticks(list(ticks), [str(abs(tick)) for tick in ticks])
        axis.set_yticks(list(range(int(x_min), int(x_max) + 1, 16 if frame.around else 8)))
        axis.set_xlabel("left (m) right")
        axis.set_ylabel("ahead (m)")
        return _svg(figure, dpi=150)


def _ring(axis: Axes, watched: Sequence[tuple[int, int, int]], radius_m: float) -> None:
    """Green where camera and lidar watch, amber or blue where one of them does, red where neither."""
    for first, last, bits in watched:
        colour = _WATCHED.get(bits & 3, _BLIND)
        # From ahead to the left is counter-clockwise from the top.
        axis.add_patch(
            Wedge((0.0, 0.0), radius_m, 90 + first, 90 + last, width=_RING_M, color=colour, linewidth=0)
        )


def _way(axis: Axes, track: Track) -> None:
    """Where a track came from, where it goes, and its box where it was not found."""
    colour = _WHO[track.identity % len(_WHO)]
    coasting = track.state is TrackState.COASTING
    dashes: Any = (0, (2.5, 1.5)) if coasting else "solid"
    if coasting:
        _outline(axis, track, edgecolor=colour, facecolor="none", linestyle=dashes, linewidth=1.2)
    if len(track.trail) > 1:
        left, ahead = -track.trail[:, 1], track.trail[:, 0]
        axis.plot(left, ahead, color=colour, linewidth=1.6, linestyle=dashes, alpha=0.7)
    if math.hypot(track.vx, track.vy) > _SLOW_M_S:
        then = (-(track.y + _ARROW_S * track.vy), track.x + _ARROW_S * track.vx)
        arrow = {"arrowstyle": "-|>", "color": colour, "linewidth": 1.0, "shrinkA": 0, "shrinkB": 0}
        axis.annotate("", then, (-track.y, track.x), arrowprops=arrow)
    axis.annotate(
        str(track.identity),
        (-track.y, track.x),
        (-5, 4),
        textcoords="offset points",
        fontsize=7,
        fontweight="bold",
        color=colour,
        ha="right",
    )


def _outline(axis: Axes, item: Detection | Track, **style: Any) -> None:
    lower = box_corners(item)[:4]
    axis.add_patch(Polygon([(-y, x) for x, y, _ in lower], closed=True, **style))


def _svg(figure: Figure, *, dpi: int = 100) -> str:
    """The figure as an SVG element to put into HTML."""
    buffer = io.StringIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # the browser has what this machine's fonts lack
        figure.savefig(buffer, format="svg", dpi=dpi, metadata={"Date": None}, transparent=True)
    text = buffer.getvalue()
    for colour, variable in _THEMED.items():
        text = text.replace(colour, f"var({variable}, {colour})")
    return text[text.index("<svg") :]
