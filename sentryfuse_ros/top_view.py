"""`sentryfuse top` on the terminal: the picture, one plain line, the hint while nothing comes, and JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rich import box
from rich.console import Group, JustifyMethod, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from sentryfuse_core.types import SensorState
from sentryfuse_ros.live_view import STATE_STYLES
from sentryfuse_ros.top_state import PARTS, Latency, Snapshot

__all__ = ["STALE_S", "as_json", "line", "render", "waiting"]

STALE_S = 1.0  # without a status for longer, what is shown is history
_BAR_CELLS = 60
_PART_STYLES = {
    "age": "blue",
    "wait": "cyan",
    "queue": "magenta",
    "pre": "yellow",
    "infer": "green",
    "post": "red",
}
_MEANINGS = {
    "age": "stamp to arrival",
    "wait": "for the other sensors",
    "queue": "for the worker",
    "pre": "preprocessing",
    "infer": "network",
    "post": "boxes",
    "e2e": "stamp to publication",
}
_SEVERITY_STYLES = {0: "dim", 1: "yellow", 2: "bold red"}


def render(shown: Snapshot) -> RenderableType:
    """The whole view, for 100 columns or more."""
    return Group(_headline(shown), _sensors(shown), _network(shown), _latency(shown), _notes(shown))


def waiting(lines: Sequence[str]) -> RenderableType:
    """What to look at while no status has come yet."""
    text = Text("\n").join([Text(lines[0], "bold yellow"), *(Text(item) for item in lines[1:])])
    return Panel(text, box=box.ROUNDED, title="sentryfuse top", title_align="left")


def line(shown: Snapshot) -> str:
    """The same in one line, for logs and pipes."""
    e2e, infer = shown.latency_ms["e2e"], shown.latency_ms["infer"]
    return (
        f"{shown.node}  {_freshness(shown)}  used {_used(shown)}  level {shown.level}  "
        f"{_figure(shown.sets_per_s)} sets/s  e2e p50 {_figure(e2e.p50)} p95 {_figure(e2e.p95)} ms  "
        f"infer p95 {_figure(infer.p95)} ms  {_count(shown.detections)} boxes"
    )


def as_json(shown: Snapshot) -> str:
    """Everything for a program; null where the view has a dash."""
    return json.dumps(_plain(asdict(shown)), indent=2)


def _headline(shown: Snapshot) -> RenderableType:
    stale = shown.since_status_s > STALE_S
    text = Text.assemble(
        (f"{shown.node}  ", "bold"),
        (f"{_freshness(shown)}  ", "bold red" if stale else "green"),
        f"set {shown.sequence}, epoch {shown.epoch}, anchor {shown.anchor}, "
        f"{_figure(shown.sets_per_s)} sets/s, {shown.skipped} skipped, {_count(shown.detections)} boxes",
    )
    for event in shown.events:
        text.append(f"\n{event}", "yellow")
    return Panel(text, box=box.ROUNDED, title="sentryfuse top", title_align="left")


def _sensors(shown: Snapshot) -> RenderableType:
    table = Table(box=box.SIMPLE_HEAD, expand=True, pad_edge=False)
    for name in ("sensor", "state", "used", "Hz", "age ms"):
        justify: JustifyMethod = "right" if name in ("Hz", "age ms") else "left"
        table.add_column(name, justify=justify, no_wrap=True)
    table.add_column("why, and what to do", ratio=1)
    for item in shown.sensors:
        why = "; ".join(part for part in (item.reason, item.remedy) if part)
        table.add_row(
            item.name,
            Text(item.state, STATE_STYLES[SensorState[item.state]]),
            Text("yes", "green") if item.in_mask else Text("no", "red"),
            _figure(item.rate_hz),
            _figure(item.age_ms),
            Text(why, "dim"),
        )
    return table


def _network(shown: Snapshot) -> RenderableType:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(ratio=1)
    grid.add_row("mask", Text(f"{_used(shown)} ({shown.mask})", "bold"))
    level = Text(f"{shown.level}", "bold yellow" if shown.level else "bold")
    level.append(f"  {shown.level_reason}", "not bold default")
    grid.add_row("level", level)
    grid.add_row("network", f"{shown.pruning}, {shown.ratio:.0%} of the units' work removed, {_gmacs(shown)}")
    grid.add_row("runs on", Text(f"{shown.backend} on {shown.device}, {shown.checkpoint}"))
    grid.add_row("", Text(shown.backend_reason, "dim"))
    limits = f"{_limit(shown.budget_latency_ms, 'ms')}, {_limit(shown.budget_power_w, 'W')}"
    missed = "-" if math.isnan(shown.deadline_miss) else f"{shown.deadline_miss:.1%}"
    grid.add_row("budget", f"{limits}; deadlines missed {missed}")
    grid.add_row("switches", f"{_count(shown.switches)}, p99 {_figure(shown.switch_us_p99)} us")
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
        table.add_row(Text(stage, style), *(_figure(value) for value in figures), _MEANINGS[stage])
    heading = Text(f"over {shown.window}, {shown.window_sets} sets; the last set:", "dim")
    return Group(table, heading, _bar(shown.latency_ms))


def _bar(latency_ms: Mapping[str, Latency]) -> Text:
    """The last set from stamp to publication, a stage as wide as it took; dots are in none of them."""
    last = {stage: latency_ms[stage].last for stage in PARTS}
    parts = {stage: 0.0 if math.isnan(value) else max(0.0, value) for stage, value in last.items()}
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
    return bar.append(f" {_figure(latency_ms['e2e'].last)} ms", "bold")


def _notes(shown: Snapshot) -> RenderableType:
    style = _SEVERITY_STYLES.get(shown.severity, "dim")
    return Text("\n".join(f"• {note}" for note in shown.notes), style)


def _freshness(shown: Snapshot) -> str:
    return f"no status for {shown.since_status_s:.1f} s" if shown.since_status_s > STALE_S else "live"


def _used(shown: Snapshot) -> str:
    return "+".join(shown.used) or "none"


def _gmacs(shown: Snapshot) -> str:
    return f"{_figure(shown.gmacs, '.3f')} GMACs"


def _limit(value: float, unit: str) -> str:
    if math.isnan(value):
        return f"no {'power' if unit == 'W' else 'time'} limit"
    return f"{value:g} {unit}"


def _figure(value: float, form: str = ".1f") -> str:
    return "-" if math.isnan(value) else format(value, form)


def _count(value: int | None) -> str:
    return "-" if value is None else str(value)


def _zero(value: float) -> float:
    return 0.0 if math.isnan(value) else value


def _plain(value: Any) -> Any:
    """JSON has no NaN."""
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value
