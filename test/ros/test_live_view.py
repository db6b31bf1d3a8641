"""The live view: what the messages say is what a person reads."""

from __future__ import annotations

import io
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from sentryfuse_core.errors import OutputError
from sentryfuse_core.types import SensorState
from sentryfuse_ros.live_state import Box, LiveState
from sentryfuse_ros.live_view import line, render, save_svg

S = 1_000_000_000


def status(index: int, **changed: Any) -> SimpleNamespace:
    """A FusionStatus by field name, one every 0.1 s."""
    states = (("camera", 3, "no message for 1.2 s"), ("lidar", 1, ""), ("imu", 4, "not yet trusted"))
    common = {"rate_hz": 10.0, "age_ms": 12.0, "absence": ""}
    sensors = [
        SimpleNamespace(name=name, state=state, in_mask=state == 1, reason=reason, **common)
        for name, state, reason in states
    ]
    at_ns = index * S // 10
    fields: dict[str, Any] = {
        "header": SimpleNamespace(stamp=SimpleNamespace(sec=at_ns // S, nanosec=at_ns % S)),
        "sensors": sensors, "used": ["lidar"], "anchor": "lidar", "level": 1, "pruning": "uniform",
        "heads_kept": 8, "heads_total": 16, "channels_kept": 256, "channels_total": 512, "gmacs": 0.1234,
        "level_reason": "power: 6 W", "power_w": 6.0, "deadline_ms": math.nan, "backend": "eager",
        "device": "cpu",
        "checkpoint": "world_v1 0123", "above_prior": False, "mask_recall_4m": 0.3, "prior_recall_4m": 0.2,
        "skipped_sets": 4, "notes": ["tf2 not installed"], "e2e_ms": 40.0 + index, "infer_ms": 20.0,
    }  # fmt: skip
    return SimpleNamespace(**fields | changed)


def state() -> LiveState:
    shown = LiveState(title="demo", story="camera dies", faults="camera: drop", at_s=7.0, seconds=42.0)
    for index in range(11):
        shown.take_status(status(index))
    return shown


def text(shown: LiveState) -> str:
    console = Console(width=100, file=io.StringIO(), color_system=None)
    console.print(render(shown))
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_state_has_rate_and_percentiles_when_sets_came() -> None:
    shown = state()
    assert shown.rate_hz == pytest.approx(10.0)
    assert shown.latency_ms("e2e")["p50"] == pytest.approx(45.0)
    assert shown.stamp_ns == S
    assert (shown.sets, shown.skipped, shown.used) == (11, 4, "lidar")
    assert [item.state for item in shown.sensors] == [
        SensorState.LOST,
        SensorState.OK,
        SensorState.RECOVERING,
    ]


def test_view_says_what_the_status_says_when_drawn() -> None:
    page = text(state())
    said = [
        "camera dies",
        "camera: drop",
        "LOST",
        "no message for",
        "level 1",
        "uniform",
        "8/16 heads",
        "6 W",
    ]
    said += ["power: 6 W", "p95", "world_v1 0123", "tf2 not installed", "30%", "not twice", "10.0 sets/s"]
    for word in said:
        assert word in page
    assert max(map(len, page.splitlines())) <= 100


def test_view_puts_boxes_where_they_are_when_drawn() -> None:
    shown = state()
    shown.boxes = (Box("car", 31.9, 15.9), Box("pedestrian", 0.1, -15.9), Box("tree", 16.0, 0.0))
    rows = [row for row in text(shown).splitlines() if row.count("│") >= 2]
    maps = [row.rsplit("│", 2)[1] for row in rows]
    cars, walkers, others = ([i for i, row in enumerate(maps) if mark in row[:33]] for mark in "CPX")
    assert cars[0] < others[0] < walkers[0]
    assert maps[cars[0]].index("C") < maps[others[0]].index("X") < maps[walkers[0]].index("P")


def test_view_is_drawn_when_nothing_came_yet() -> None:
    assert "waiting" in text(LiveState(title="demo"))
    assert "waiting" in line(LiveState())


def test_line_fits_one_row_when_printed() -> None:
    shown = line(state())
    assert "camera dies" in shown
    assert "level 1" in shown
    assert "\n" not in shown


def test_svg_is_written_when_asked_and_its_place_named_when_impossible(tmp_path: Path) -> None:
    save_svg(state(), tmp_path / "view.svg")
    drawing = (tmp_path / "view.svg").read_text(encoding="utf-8")
    assert "camera" in drawing
    assert "url(http" not in drawing
    with pytest.raises(OutputError, match="nowhere"):
        save_svg(state(), tmp_path / "nowhere" / "view.svg")
