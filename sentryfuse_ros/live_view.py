"""The demo in a terminal: a rich picture of the live state, or plain lines where there is no terminal."""

from __future__ import annotations

import io
import math
import re
from pathlib import Path

from rich import box
from rich.console import Console, Group, JustifyMethod, RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from sentryfuse_core.errors import OutputError
from sentryfuse_core.types import SensorState
from sentryfuse_ros.live_state import LiveState

__all__ = ["STATE_STYLES", "line", "render", "save_svg"]

_WIDTH = 100
_MAP_COLUMNS, _MAP_ROWS = 32, 18
_MAP_WIDTH = _MAP_COLUMNS + 4
_LEFT_WIDTH = _WIDTH - _MAP_WIDTH
_REGION_M = 32.0  # the map shows x 0 .. 32 m upwards, y 16 .. -16 m to the right
STATE_STYLES = {
    SensorState.INIT: "dim",
    SensorState.OK: "green",
    SensorState.DEGRADED: "yellow",
    SensorState.LOST: "bold red",
    SensorState.RECOVERING: "cyan",
}
_BOX_MARKS = {
    "car": ("C", "bold blue"),
    "pedestrian": ("P", "bold dark_orange"),
    "cyclist": ("B", "bold green"),
}
_OTHER_MARK = ("X", "bold magenta")
_TRUTH_GROUND = "on grey35"  # a box on this ground stands where a real one is
_TRUTH_MARK = ("·", f"white {_TRUTH_GROUND}")


def render(state: LiveState) -> RenderableType:
    """The whole view, 100 columns by about 30 rows."""
    body = Table.grid()
    body.add_row(Group(_sensors(state), _network(state)), _map(state))
    return Group(_headline(state), body, _notes(state))


def line(state: LiveState) -> str:
    """The same in one line."""
    latency = state.latency_ms("e2e")
    return (
        f"{state.at_s:5.1f} s  {state.story or 'waiting':<18} used {state.used:<24} level {state.level} "
        f"{_number(state.rate_hz, '.1f')} Hz  e2e p50 {_number(latency['p50'], '.0f')} "
        f"p95 {_number(latency['p95'], '.0f')} ms  {len(state.boxes)} boxes"
    )


def save_svg(state: LiveState, path: Path) -> None:
    """Write the view as a picture; raises OutputError where it cannot."""
    console = Console(record=True, width=_WIDTH, file=io.StringIO(), force_terminal=True)
    console.print(render(state))
    # rich has its font fetched from the network; a picture in a README stands on its own
    drawing = re.sub(r"@font-face \{.*?\}", "", console.export_svg(title="sentryfuse demo"), flags=re.DOTALL)
    try:
        path.write_text(drawing, encoding="utf-8")
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}; choose another place") from error


def _headline(state: LiveState) -> RenderableType:
    text = Text.assemble(
        (f"{state.title}  ", "bold"),
        (f"{state.at_s:4.1f} / {state.seconds:.0f} s  ", "dim"),
        (state.story or "waiting for the first set", "bold yellow" if state.faults else "bold green"),
        (f"   {state.faults}" if state.faults else "", "red"),
    )
    done = min(state.at_s, state.seconds)
    return Panel(
        Group(
            text,
            ProgressBar(
                state.seconds or 1.0, done, width=_WIDTH - 4, complete_style="cyan", finished_style="cyan"
            ),
        ),
        box=box.ROUNDED,
        width=_WIDTH,
    )


def _sensors(state: LiveState) -> RenderableType:
    table = Table(box=box.SIMPLE, expand=True, pad_edge=False, padding=(0, 1, 0, 0))
    for name, width in (("sensor", 6), ("state", 10), ("used", 4), ("Hz", 3), ("age ms", 6)):
        justify: JustifyMethod = "right" if name in ("Hz", "age ms") else "left"
        table.add_column(name, width=width, justify=justify, no_wrap=True)
    table.add_column("why", no_wrap=True, ratio=1)
    for item in state.sensors:
        table.add_row(
            item.name,
            Text(item.state.name, STATE_STYLES[item.state]),
            Text("yes", "green") if item.in_mask else Text("no", "red"),
            _number(item.rate_hz, ".0f"),
            _number(item.age_ms, ".0f") if item.age_ms < 10_000 else "-",
            Text(item.reason, "dim"),
        )
    return Panel(
        table, box=box.ROUNDED, width=_LEFT_WIDTH, title="sensors", title_align="left", padding=(0, 1)
    )


def _network(state: LiveState) -> RenderableType:
    latency, infer = state.latency_ms("e2e"), state.latency_ms("infer")
    recall, prior = state.recall
    grid = Table.grid(padding=(0, 1))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(width=_LEFT_WIDTH - 13)
    grid.add_row("mask", Text(state.used, "bold"))
    sets = f"{_number(state.rate_hz, '.1f')} sets/s, {state.sets} sets, {state.skipped} skipped"
    grid.add_row("anchor", f"{state.anchor}, {sets}")
    level = Text(f"level {state.level} ({state.pruning})", "bold yellow" if state.level else "bold")
    grid.add_row("pruning", level.append(f" {_number(state.gmacs, '.3f')} GMACs", "not bold white"))
    grid.add_row("", state.kept)
    grid.add_row("because", state.level_reason)
    grid.add_row("budget", f"{_limit(state.power_w, 'W')}, {_limit(state.deadline_ms, 'ms')}")
    grid.add_row("latency", _latency("end to end", latency))
    grid.add_row("", _latency("network", infer))
    verdict = Text(f"{_share(recall)} within 4 m, canvas alone {_share(prior)}")
    grid.add_row("recall", verdict if state.above_prior else verdict.append("  not twice", "bold red"))
    grid.add_row("runs", Text(state.backend, "dim"))
    return Panel(grid, box=box.ROUNDED, width=_LEFT_WIDTH, title="network", title_align="left")


def _map(state: LiveState) -> RenderableType:
    """A top-down map, the robot at the bottom in the middle."""
    cells: dict[tuple[int, int], tuple[str, str]] = {}
    for item in state.truth:
        cells[_cell(item.x, item.y)] = _TRUTH_MARK
    for item in state.boxes:
        cell, (mark, style) = _cell(item.x, item.y), _BOX_MARKS.get(item.label, _OTHER_MARK)
        cells[cell] = (mark, f"{style} {_TRUTH_GROUND}" if cell in cells else style)
    text = Text()
    for row in range(_MAP_ROWS):
        for column in range(_MAP_COLUMNS):
            mark, style = cells.get((row, column), (" ", ""))
            text.append(mark, style)
        text.append("\n")
    text.append("▲".center(_MAP_COLUMNS), "bold")
    legend = Text(justify="center")
    for name, (mark, style) in _BOX_MARKS.items():
        legend.append(mark, style).append(f" {name}  ")
    return Panel(
        Group(text, legend),
        box=box.ROUNDED,
        width=_MAP_WIDTH,
        title=f"boxes: {len(state.boxes)}, 32 x 32 m",
        title_align="left",
        subtitle=Text.assemble(_TRUTH_MARK, " ground truth") if state.truth else None,
    )


def _cell(x: float, y: float) -> tuple[int, int]:
    row = int((_REGION_M - x) / _REGION_M * _MAP_ROWS)
    column = int((_REGION_M / 2 - y) / _REGION_M * _MAP_COLUMNS)
    return min(max(row, 0), _MAP_ROWS - 1), min(max(column, 0), _MAP_COLUMNS - 1)


def _notes(state: LiveState) -> RenderableType:
    return Text("\n".join(f"• {note}" for note in state.notes[:3]), "dim", no_wrap=True, overflow="ellipsis")


def _number(value: float, form: str) -> str:
    return "-" if math.isnan(value) else format(value, form)


def _share(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.0%}"


def _limit(value: float, unit: str) -> str:
    return f"no {'power' if unit == 'W' else 'time'} limit" if math.isnan(value) else f"{value:g} {unit}"


def _latency(name: str, values: dict[str, float]) -> str:
    shown = (f"{rank} {_number(values[rank], '.1f')}" for rank in ("p50", "p95", "p99"))
    return f"{name} {'  '.join(shown)} ms"
