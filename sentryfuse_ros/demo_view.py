"""The demo in a terminal: a rich picture of story and node, or plain lines where there is no terminal."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich import box
from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from sentryfuse_core.errors import OutputError
from sentryfuse_core.types import Detection, Modality, ModalitySet
from sentryfuse_ros.drawing import figure, limit, sensor_table, share, used
from sentryfuse_ros.node_state import Latency, Snapshot

__all__ = ["Scene", "line", "render", "save_svg", "watched"]

_WIDTH = 100
_MAP_COLUMNS, _MAP_ROWS = 32, 18
_MAP_WIDTH = _MAP_COLUMNS + 4
_LEFT_WIDTH = _WIDTH - _MAP_WIDTH
_REGION_M = 32.0  # the map shows x 0 .. 32 m upwards, y 16 .. -16 m to the right; all around as far each way
_CIRCLE_DEG = 360
_BOX_MARKS = {
    "car": ("C", "bold blue"),
    "pedestrian": ("P", "bold dark_orange"),
    "cyclist": ("B", "bold green"),
}
_OTHER_MARK = ("X", "bold magenta")
_TRUTH_GROUND = "on grey35"  # a box on this ground stands where a real one is
_TRUTH_MARK = ("·", f"white {_TRUTH_GROUND}")


@dataclass
class Scene:
    """How far the story is, and what the node says meanwhile."""

    seconds: float  # of the whole story
    at_s: float = 0.0
    story: str = ""
    faults: str = ""
    node: Snapshot | None = None  # None before its first set
    truth: Sequence[Detection] = ()
    around: bool = False  # whether the network looks elsewhere than ahead
    watched: Sequence[tuple[int, int, int]] = ()  # as of a SetRecord


def render(scene: Scene) -> RenderableType:
    """The whole view, 100 columns by about 30 rows."""
    if scene.node is None:
        return _headline(scene)
    body = Table.grid()
    body.add_row(Group(_sensors(scene.node), _network(scene.node, scene)), _map(scene.node, scene))
    notes = "\n".join(f"• {note}" for note in scene.node.status.notes[:3])
    return Group(_headline(scene), body, Text(notes, "dim", no_wrap=True, overflow="ellipsis"))


def line(scene: Scene) -> str:
    """The same in one line."""
    head = f"{scene.at_s:5.1f} s  {scene.story or 'waiting':<18}"
    if scene.node is None:
        return head.rstrip()
    status, e2e = scene.node.status, scene.node.latency_ms["e2e"]
    if scene.around:  # names of eight sensors would fill the line
        return (
            f"{head} {sum(item.in_mask for item in status.sensors)} of {len(status.sensors)} sensors  "
            f"watched by {watched(scene.watched)}  level {status.level} {figure(scene.node.sets_per_s)} Hz  "
            f"{len(scene.node.detections or ())} boxes"
        )
    return (
        f"{head} used {used(status):<24} level {status.level} {figure(scene.node.sets_per_s)} Hz  "
        f"e2e p50 {figure(e2e.p50, 0)} p95 {figure(e2e.p95, 0)} ms  {len(scene.node.detections or ())} boxes"
    )


def save_svg(scene: Scene, path: Path) -> None:
    """Write the view as a picture; raises OutputError where it cannot."""
    console = Console(record=True, width=_WIDTH, file=io.StringIO(), force_terminal=True)
    console.print(render(scene))
    # rich has its font fetched from the network; a picture in a README stands on its own
    drawing = re.sub(r"@font-face \{.*?\}", "", console.export_svg(title="sentryfuse demo"), flags=re.DOTALL)
    try:
        path.write_text(drawing, encoding="utf-8")
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}; choose another place") from error


def _headline(scene: Scene) -> RenderableType:
    text = Text.assemble(
        ("SentryFuse  ", "bold"),
        (f"{scene.at_s:4.1f} / {scene.seconds:.0f} s  ", "dim"),
        (scene.story or "waiting for the first set", "bold yellow" if scene.faults else "bold green"),
        (f"   {scene.faults}" if scene.faults else "", "red"),
    )
    done = ProgressBar(
        scene.seconds or 1.0,
        min(scene.at_s, scene.seconds),
        width=_WIDTH - 4,
        complete_style="cyan",
        finished_style="cyan",
    )
    return Panel(Group(text, done), box=box.ROUNDED, width=_WIDTH)


def _sensors(node: Snapshot) -> RenderableType:
    table = sensor_table(node.status, why="why", remedies=False, digits=0, frame=box.SIMPLE)
    return Panel(
        table, box=box.ROUNDED, width=_LEFT_WIDTH, title="sensors", title_align="left", padding=(0, 1)
    )


def watched(parts: Sequence[tuple[int, int, int]]) -> str:
    """How many degrees of the surroundings cameras and lidars watch, and where no camera does."""
    if not parts:
        return "-"
    told = []
    for kind in (Modality.CAMERA, Modality.LIDAR):
        bit = ModalitySet.of(kind).bits
        degrees = sum(last - first for first, last, bits in parts if bits & bit)
        gaps = [f"{first} to {last}" for first, last, bits in parts if not bits & bit]
        missing = f" (not {', '.join(gaps)})" if 0 < degrees < _CIRCLE_DEG and len(gaps) == 1 else ""
        told.append(f"{kind.value} {degrees}°{missing}")
    return ", ".join(told)


def _network(node: Snapshot, scene: Scene) -> RenderableType:
    status = node.status
    grid = Table.grid(padding=(0, 1))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(width=_LEFT_WIDTH - 13)
    grid.add_row("mask", Text(str(ModalitySet(status.mask)) if scene.around else used(status), "bold"))
    grid.add_row("watched", watched(scene.watched))
    sets = f"{figure(node.sets_per_s)} sets/s, {node.sets_seen} sets, {status.skipped_sets} skipped"
    grid.add_row("anchor", f"{status.anchor}, {sets}")
    level = Text(f"level {status.level} ({status.pruning})", "bold yellow" if status.level else "bold")
    grid.add_row("pruning", level.append(f" {figure(status.gmacs, 3)} GMACs", "not bold white"))
    heads = f"{status.heads_kept}/{status.heads_total} heads"
    channels = f"{status.channels_kept}/{status.channels_total} channels"
    grid.add_row("", Text(node.widths or f"{heads}, {channels}"))
    if node.trust not in ("", "-"):
        grid.add_row("trust", Text(node.trust))
    grid.add_row("because", Text(status.level_reason))  # has the name of who sent the budget
    grid.add_row("budget", f"{limit(status.power_w, 'W')}, {limit(status.deadline_ms, 'ms')}")
    grid.add_row("latency", _latency("end to end", node.latency_ms["e2e"]))
    grid.add_row("", _latency("network", node.latency_ms["infer"]))
    recall, prior = (share(value) for value in (status.mask_recall_4m, status.prior_recall_4m))
    verdict = Text(f"{recall} within 4 m, canvas alone {prior}")
    grid.add_row("recall", verdict if status.above_prior else verdict.append("  not twice", "bold red"))
    grid.add_row("runs", Text(f"{status.backend} on {status.device}, {status.checkpoint}", "dim"))
    return Panel(grid, box=box.ROUNDED, width=_LEFT_WIDTH, title="network", title_align="left")


def _map(node: Snapshot, scene: Scene) -> RenderableType:
    """A top-down map, the robot at the bottom in the middle or, all around, in the middle."""
    truth, around = scene.truth, scene.around
    cells = {_cell(item.x, item.y, around=around): _TRUTH_MARK for item in truth}
    boxes = node.detections or ()
    for item in boxes:
        cell = _cell(item.pose.position.x, item.pose.position.y, around=around)
        mark, style = _BOX_MARKS.get(item.label, _OTHER_MARK)
        cells[cell] = (mark, f"{style} {_TRUTH_GROUND}" if cell in cells else style)
    robot = ("▲", "bold")
    if around:
        cells[_cell(0.0, 0.0, around=around)] = robot
    text = Text()
    for row in range(_MAP_ROWS):
        for column in range(_MAP_COLUMNS):
            mark, style = cells.get((row, column), (" ", ""))
            text.append(mark, style)
        text.append("\n")
    if not around:
        text.append(robot[0].center(_MAP_COLUMNS), robot[1])
    legend = Text(justify="center")
    for name, (mark, style) in _BOX_MARKS.items():
        legend.append(mark, style).append(f" {name}  ")
    return Panel(
        Group(text, legend),
        box=box.ROUNDED,
        width=_MAP_WIDTH,
        title=f"boxes: {len(boxes)}, {'64 x 64' if around else '32 x 32'} m",
        title_align="left",
        subtitle=Text.assemble(_TRUTH_MARK, " ground truth") if truth else None,
    )


def _cell(x: float, y: float, *, around: bool) -> tuple[int, int]:
    side_m = 2 * _REGION_M if around else _REGION_M
    row = int((_REGION_M - x) / side_m * _MAP_ROWS)
    column = int((side_m / 2 - y) / side_m * _MAP_COLUMNS)
    return min(max(row, 0), _MAP_ROWS - 1), min(max(column, 0), _MAP_COLUMNS - 1)


def _latency(name: str, found: Latency) -> str:
    return f"{name} p50 {figure(found.p50)}  p95 {figure(found.p95)}  p99 {figure(found.p99)} ms"
