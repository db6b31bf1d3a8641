"""What the views in the terminal are drawn of: figures, limits and the table of sensors."""

from __future__ import annotations

import math
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from sentryfuse_core.types import SensorState

__all__ = ["figure", "limit", "sensor_table", "share", "used"]

_STATE_STYLES = {
    SensorState.INIT: "dim",
    SensorState.OK: "green",
    SensorState.DEGRADED: "yellow",
    SensorState.LOST: "bold red",
    SensorState.RECOVERING: "cyan",
}


def sensor_table(status: Any, *, why: str, remedies: bool, digits: int, frame: box.Box) -> Table:
    """A row for each sensor of a FusionStatus; `why` heads the reasons why it is not OK, or not used."""
    table = Table(box=frame, expand=True, pad_edge=False, padding=(0, 1, 0, 0))
    for name, width in (("sensor", 6), ("state", 10), ("used", 4)):
        table.add_column(name, width=width, no_wrap=True)
    for name in ("Hz", "age ms"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column(why, ratio=1, no_wrap=not remedies)
    for item in status.sensors:
        state = SensorState(item.state)
        told = (item.reason or item.absence, item.remedy if remedies else "")
        table.add_row(
            item.name,
            Text(state.name, _STATE_STYLES[state]),
            Text("yes", "green") if item.in_mask else Text("no", "red"),
            figure(item.rate_hz, digits),
            figure(item.age_ms, digits),
            Text("; ".join(filter(None, told)), "dim"),
        )
    return table


def used(status: Any) -> str:
    """The sensors that the network used."""
    return "+".join(status.used) or "none"


def figure(value: float, digits: int = 1) -> str:
    """A number, or a dash where it is not known."""
    return "-" if math.isnan(value) else f"{value:.{digits}f}"


def limit(value: float, unit: str) -> str:
    """A limit of the budget in ms or W, or that there is none."""
    if math.isnan(value):
        return f"no {'power' if unit == 'W' else 'time'} limit"
    return f"{value:g} {unit}"


def share(value: float, digits: int = 0) -> str:
    """0..1 in percent, or a dash."""
    return "-" if math.isnan(value) else f"{value:.{digits}%}"
