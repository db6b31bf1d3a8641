"""`sentryfuse top` on the terminal: the picture, one plain line, the hint while nothing comes, and JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields

from rich import box
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from sentryfuse_core.json_values import json_value
from sentryfuse_core.types import SensorState
from sentryfuse_ros.drawing import figure, limit, sensor_table, share, used
from sentryfuse_ros.node_state import PARTS, Latency, Snapshot

__all__ = ["as_json", "line", "render", "waiting"]

_STALE_S = 1.0  # without a status for longer, what is shown is history
# Fields of a FusionStatus in the JSON, by the name that they have there.
_TOLD = (
    "sequence", "epoch", "anchor", "mask", "level", "level_reason", "pruning", "ratio", "gmacs", "backend",
    "backend_reason", "device", "checkpoint", "severity",
)  # fmt: skip
_RENAMED = {"skipped": "skipped_sets", "budget_latency_ms": "deadline_ms", "budget_power_w": "power_w"}
_BAR_CELLS = 60
_PART_STYLES = {
    "age": "blue",
    "wait": "cyan",
    "queue": "magenta",
    "pre": "yellow",
    "infer": "green",
    "post": "red",
    "track": "bright_blue",
}
_MEANINGS = {
    "age": "stamp to arrival",
    "wait": "for the other sensors",
    "queue": "for the worker",
    "pre": "preprocessing",
    "infer": "network",
    "post": "boxes",
    "track": "tracks",
    "e2e": "stamp to publication",
}
_SEVERITY_STYLES = {0: "dim", 1: "yellow", 2: "bold red"}


def render(shown: Snapshot) -> RenderableType:
    """The whole view, for 100 columns or more."""
    sensors = sensor_table(
        shown.status, why="why, and what to do", remedies=True, digits=1, frame=box.SIMPLE_HEAD
    )
    return Group(_headline(shown), sensors, _network(shown), _latency(shown), _notes(shown))


def waiting(lines: Sequence[str]) -> RenderableType:
    """What to look at while no status has come yet."""
    text = Text("\n").join([Text(lines[0], "bold yellow"), *(Text(item) for item in lines[1:])])
    return Panel(text, box=box.ROUNDED, title="sentryfuse top", title_align="left")


def line(shown: Snapshot) -> str:
    """The same in one line, for logs and pipes."""
    status, e2e, infer = shown.status, shown.latency_ms["e2e"], shown.latency_ms["infer"]
    return (
        f"{shown.node}  {_freshness(shown)}  used {used(status)}  level {status.level}  "
        f"{figure(shown.sets_per_s)} sets/s  e2e p50 {figure(e2e.p50)} p95 {figure(e2e.p95)} ms  "
        f"infer p95 {figure(infer.p95)} ms  {_boxes(shown)}"
    )


def as_json(shown: Snapshot) -> str:
    """Everything for a program; null where the view has a dash."""
    status = shown.status
    told = {item.name: getattr(shown, item.name) for item in fields(shown) if item.name != "status"}
    told |= {name: getattr(status, name) for name in _TOLD}
    told |= {name: getattr(status, source) for name, source in _RENAMED.items()}
    told |= {name: list(getattr(status, name)) for name in ("used", "notes")}
    told["detections"] = None if shown.detections is None else len(shown.detections)
    told["latency_ms"] = {stage: asdict(found) for stage, found in shown.latency_ms.items()}
    same = ("name", "topic", "in_mask", "remedy", "rate_hz", "age_ms")
    told["sensors"] = [
        {
            **{name: getattr(item, name) for name in same},
            "state": SensorState(item.state).name,
            "reason": item.reason or item.absence,
        }
        for item in status.sensors
    ]
    return json.dumps(json_value(told), indent=2)


def _headline(shown: Snapshot) -> RenderableType:
    status, stale = shown.status, shown.since_status_s > _STALE_S
    text = Text.assemble(
        (f"{shown.node}  ", "bold"),
        (f"{_freshness(shown)}  ", "bold red" if stale else "green"),
        f"set {status.sequence}, epoch {status.epoch}, anchor {status.anchor}, "
        f"{figure(shown.sets_per_s)} sets/s, {status.skipped_sets} skipped, {_boxes(shown)}",
    )
    for event in shown.events:
        text.append(f"\n{event}", "yellow")
    return Panel(text, box=box.ROUNDED, title="sentryfuse top", title_align="left")


def _network(shown: Snapshot) -> RenderableType:
    status = shown.status
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(ratio=1)
    grid.add_row("mask", Text(f"{used(status)} ({status.mask})", "bold"))
    level = Text(f"{status.level}", "bold yellow" if status.level else "bold")
    level.append(f"  {status.level_reason}", "not bold default")
    grid.add_row("level", level)
    cut = f"{status.ratio:.0%} of the units' work removed, {figure(status.gmacs, 3)} GMACs"
    grid.add_row("network", f"{status.pruning}, {cut}" if status.used else "nothing runs")
    grid.add_row("parts", Text(shown.widths or "-"))
    grid.add_row("trust", Text(shown.trust or "-"))
    grid.add_row("runs on", Text(f"{status.backend} on {status.device}, {status.checkpoint}"))
    grid.add_row("", Text(status.backend_reason, "dim"))
    limits = f"{limit(status.deadline_ms, 'ms')}, {limit(status.power_w, 'W')}"
    grid.add_row("budget", f"{limits}; deadlines missed {share(shown.deadline_miss, 1)}")
    grid.add_row("switches", f"{_count(shown.switches)}, p99 {figure(shown.switch_us_p99)} us")
    return grid


def _latency(shown: Snapshot) -> RenderableType:
    table = Table(box=box.SIMPLE_HEAD, expand=False, pad_edge=False)
    table.add_column("latency ms", no_wrap=True)
    for name in ("p50", "p95", "max", "last"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("", style="dim", no_wrap=True)
    for stage, found in shown.latency_ms.items():
        style = _PART_STYLES.get(stage, "bold")
        figures = (found.p50, found.p95, found.max, found.last)
        table.add_row(Text(stage, style), *(figure(value) for value in figures), _MEANINGS[stage])
    heading = Text(f"over {shown.window}, {shown.window_sets} sets; the last set:", "dim")
    return Group(table, heading, _bar(shown.latency_ms))


def _bar(latency_ms: Mapping[str, Latency]) -> Text:
    """The last set from stamp to publication, a stage as wide as it took; dots are in none of them."""
    parts = {stage: max(0.0, _zero(latency_ms[stage].last)) for stage in PARTS}
    whole = max(sum(parts.values()), _zero(latency_ms["e2e"].last))
    bar = Text()
    if whole <= 0.0:
        return bar
    passed, drawn = 0.0, 0
    for stage, value in parts.items():
        passed += value
        until = round(_BAR_CELLS * passed / whole)
        bar.append("█" * (until - drawn), _PART_STYLES[stage])
        drawn = until
    bar.append("·" * (_BAR_CELLS - drawn), "dim")
    return bar.append(f" {figure(latency_ms['e2e'].last)} ms", "bold")


def _notes(shown: Snapshot) -> RenderableType:
    style = _SEVERITY_STYLES.get(shown.status.severity, "dim")
    return Text("\n".join(f"• {note}" for note in shown.status.notes), style)


def _freshness(shown: Snapshot) -> str:
    return f"no status for {shown.since_status_s:.1f} s" if shown.since_status_s > _STALE_S else "live"


def _boxes(shown: Snapshot) -> str:
    return f"{_count(None if shown.detections is None else len(shown.detections))} boxes"


def _count(value: int | None) -> str:
    return "-" if value is None else str(value)


def _zero(value: float) -> float:
    return 0.0 if math.isnan(value) else value
