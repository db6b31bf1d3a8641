"""Draws a soak over time: memory, threads and handles, levels, and the state of every sensor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.patches import Patch

from benchmarks.soak_judge import sensors_of
from sentryfuse_core.lab.bench.plot_style import write_png
from sentryfuse_core.types import SensorState

__all__ = ["draw"]

_COLOURS = {
    SensorState.INIT: "0.85",
    SensorState.OK: "#7fbf7b",
    SensorState.DEGRADED: "#e8c547",
    SensorState.LOST: "#c0392b",
    SensorState.RECOVERING: "#5aa9d6",
}
_MINUTE_S = 60.0


def draw(lines: Sequence[Mapping[str, Any]], target: Path) -> None:
    """One picture of four strips that share their time."""
    samples = [line for line in lines if line["kind"] == "sample"]
    statuses = [line for line in lines if line["kind"] == "status"]
    plan = next(line for line in lines if line["kind"] == "plan")
    sensors_height = 0.55 * len(sensors_of(plan))
    figure = Figure(figsize=(10, 5.3 + sensors_height), layout="constrained")
    axes = figure.subplots(4, 1, sharex=True, height_ratios=(2, 1.4, 1.4, sensors_height))
    times = [item["t"] / _MINUTE_S for item in samples]
    strips = {
        "memory, MB": {"rss_mb": "resident", "anonymous_mb": "anonymous"},
        "count": {"handles": "file handles", "threads": "threads"},
    }
    for axis, (what, names) in zip(axes, strips.items(), strict=False):
        for name, label in names.items():
            axis.plot(times, [item[name] for item in samples], label=label)
        axis.set(ylabel=what, ylim=(0, None))
        axis.legend(loc="lower right", fontsize=8, frameon=False)
        axis.grid(visible=True, alpha=0.3)
    _levels(axes[2], lines, statuses)
    _states(axes[3], plan, statuses)
    axes[3].set(xlabel="minutes")
    write_png(figure, target, dpi=110)


def _levels(axis: Any, lines: Sequence[Mapping[str, Any]], statuses: Sequence[Mapping[str, Any]]) -> None:
    axis.plot(
        [item["t"] / _MINUTE_S for item in statuses],
        [item["level"] for item in statuses],
        drawstyle="steps-post",
        linewidth=0.8,
        label="level run",
    )
    asked = [line for line in lines if line["kind"] == "wish" and line["what"] == "level"]
    axis.plot(
        [item["t"] / _MINUTE_S for item in asked],
        [item["value"] for item in asked],
        "k.",
        markersize=5,
        label="asked for by the operator",
    )
    axis.set(ylabel="pruning level")
    axis.yaxis.get_major_locator().set_params(integer=True)
    axis.legend(loc="upper right", fontsize=8, frameon=False)


def _states(axis: Any, plan: Mapping[str, Any], statuses: Sequence[Mapping[str, Any]]) -> None:
    """A strip for each sensor in the colour of its state, its faults as bars above."""
    end_s = statuses[-1]["t"] if statuses else 0.0
    names = list(sensors_of(plan))
    for row, name in enumerate(names):
        begin_s, state = None, None
        for item in [*statuses, {"t": end_s, "states": {}}]:
            if item["states"].get(name) == state:
                continue
            if state is not None:
                width = (item["t"] - begin_s) / _MINUTE_S
                axis.barh(
                    row, width, left=begin_s / _MINUTE_S, height=0.45, color=_COLOURS[SensorState(state)]
                )
            begin_s, state = item["t"], item["states"].get(name)
        for event in plan["events"]:
            if event["stream"] == name and event["at_s"] < end_s:
                width = (event["until_s"] - event["at_s"]) / _MINUTE_S
                axis.barh(row - 0.34, width, left=event["at_s"] / _MINUTE_S, height=0.14, color="0.2")
    axis.set_yticks(range(len(names)), names)
    axis.invert_yaxis()
    patches = [Patch(color=colour, label=state.name) for state, colour in _COLOURS.items()]
    patches.append(Patch(color="0.2", label="fault injected"))
    axis.legend(
        handles=patches, loc="upper center", bbox_to_anchor=(0.5, -0.18), ncols=6, fontsize=8, frameon=False
    )
