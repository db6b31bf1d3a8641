"""What a node says of itself, and what a person and a program read of it in `sentryfuse top` and the demo."""

from __future__ import annotations

import io
import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console, RenderableType

from sentryfuse_core.errors import OutputError
from sentryfuse_ros import demo_view
from sentryfuse_ros.demo_view import Scene
from sentryfuse_ros.node_state import PARTS, NodeState, Snapshot
from sentryfuse_ros.top_view import as_json, line, render, waiting

STAGES = (*PARTS, "e2e")
RANKS = ("p50", "p90", "p95", "p99", "max")


def sensor(name: str, state: int, **changed: Any) -> SimpleNamespace:
    fields = {"topic": f"/{name}", "rate_hz": 10.0, "age_ms": 12.0, "reason": "", "remedy": "", "absence": ""}
    return SimpleNamespace(name=name, state=state, in_mask=state == 1, **{**fields, **changed})


def status(sequence: int, **changed: Any) -> SimpleNamespace:
    """A FusionStatus by field name; stage n of PARTS takes n + 1 ms, and 1 ms has no name."""
    fields: dict[str, Any] = {
        "sequence": sequence, "epoch": 0, "anchor": "lidar", "skipped_sets": 3, "used": ["lidar", "imu"],
        "mask": 6, "sensors": [
            sensor("camera", 3, reason="no new message for 1.2 s", remedy="check its cable"),
            sensor("lidar", 1),
        ],
        "level": 1, "level_reason": "power: 6 W of the 15 W", "pruning": "nested", "ratio": 0.5,
        "gmacs": 0.1234, "backend": "eager", "backend_reason": "no CUDA device",
        "device": "cpu", "checkpoint": "world_v9 0123",
        "deadline_ms": math.nan, "power_w": 6.0, "severity": 2, "heads_kept": 8, "heads_total": 16,
        "channels_kept": 256, "channels_total": 512, "above_prior": False, "mask_recall_4m": 0.3,
        "prior_recall_4m": 0.2,
        "notes": ["nothing usable; check the sensors"],
        **{f"{part}_ms": float(index) for index, part in enumerate(PARTS, 1)}, "e2e_ms": 29.0,
    }  # fmt: skip
    return SimpleNamespace(**fields | changed)


def diagnostics(*, topic: str = "/camera", **latency: str) -> SimpleNamespace:
    """A DiagnosticArray in which every rank of every stage is 7 ms."""
    values = {f"{stage}_ms_{rank}": "7.000" for stage in STAGES for rank in RANKS}
    values |= {"n": "300", "window_s": "30.000", "deadline_miss": "0.020", **latency}
    made = {
        "sensor/camera": (topic, {}),
        "sensor/lidar": ("/lidar", {}),
        "inference": (
            "cpu",
            {"switches": "12", "switch_us_p99": "4.200", "widths": "head full width", "trust": "imu 0.98"},
        ),
        "latency": ("cpu", values),
    }
    return SimpleNamespace(
        status=[
            SimpleNamespace(
                name=f"sentryfuse: {name}",
                hardware_id=owner,
                values=[SimpleNamespace(key=key, value=value) for key, value in found.items()],
            )
            for name, (owner, found) in made.items()
        ]
    )


def state(*sequences: int, **changed: Any) -> NodeState:
    """The state after one set every 0.1 s."""
    made = NodeState("/sentryfuse", window_s=30.0)
    for index, sequence in enumerate(sequences):
        made.take_status(status(sequence, **changed), index / 10)
    return made


def shown(made: NodeState, now_s: float = 1.0) -> Snapshot:
    found = made.snapshot(now_s)
    assert found is not None
    return found


def page(picture: RenderableType, width: int = 110) -> str:
    console = Console(width=width, file=io.StringIO(), color_system=None)
    console.print(picture)
    drawn: str = console.file.getvalue()  # type: ignore[attr-defined]
    assert max(map(len, drawn.splitlines())) <= width
    return drawn


def text(found: Snapshot) -> str:
    return page(render(found))


def test_snapshot_is_none_when_no_status_came() -> None:
    made = NodeState("/sentryfuse", window_s=30.0)
    made.take_diagnostics(diagnostics())
    assert made.snapshot(1.0) is None
    assert not made.diagnosed


def test_percentiles_are_those_seen_here_when_the_node_told_none() -> None:
    found = shown(state(*range(11)))
    assert found.sets_per_s == pytest.approx(10.0)
    assert [found.latency_ms[part].last for part in PARTS] == [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]
    assert found.latency_ms["infer"].p50 == 5.0
    assert (found.window_sets, found.switches, math.isnan(found.deadline_miss)) == (11, None, True)
    assert "seen here" in found.window


def test_percentiles_are_the_nodes_own_when_its_diagnostics_came() -> None:
    made = state(0, 1)
    made.take_diagnostics(diagnostics())
    found = shown(made)
    assert {value.p95 for value in found.latency_ms.values()} == {7.0}
    assert found.latency_ms["infer"].last == 5.0
    assert (found.window_sets, found.switches, found.switch_us_p99) == (300, 12, 4.2)
    assert (found.widths, found.trust) == ("head full width", "imu 0.98")
    assert found.deadline_miss == 0.02


def test_diagnostics_of_another_node_are_ignored_when_its_sensors_have_other_topics() -> None:
    made = state(0)
    made.take_diagnostics(diagnostics(topic="/robot_2/camera"))
    assert not made.diagnosed


def test_figures_begin_anew_when_the_node_was_restarted() -> None:
    made = state(500, 501)
    made.take_diagnostics(diagnostics())
    made.take_status(status(0), 5.0)
    found = shown(made, 6.0)
    assert (found.window_sets, found.switches, found.status.sequence) == (1, None, 0)
    assert found.events == ("the node began anew after set 501, 1 s ago",)
    assert shown(made, 60.0).events == ()


def test_time_jump_is_told_when_the_epoch_changes() -> None:
    made = state(0, 1)
    made.take_status(status(2, epoch=1), 0.5)
    assert "epoch 0 -> 1" in shown(made).events[0]


def test_repeated_set_counts_as_life_and_not_as_a_set_when_no_sensor_sends() -> None:
    made = state(0, 1, 1, 1, 1)
    found = shown(made, 0.5)
    assert found.sets_seen == 2
    assert found.since_status_s == pytest.approx(0.1)


def test_view_says_that_nothing_runs_when_no_sensor_sends() -> None:
    """Widths, trust, boxes and rate of the last set are history, though nothing newer is told of them."""
    made = state(*range(11))
    made.take_detections(SimpleNamespace(detections=[0, 0, 0]))
    made.take_diagnostics(diagnostics())
    assert "full width" in text(shown(made, 1.1))
    made.take_status(status(10, used=[], mask=0, level_reason="nothing runs: no sensor sends"), 1.2)
    for now_s in (1.3, 10.0):
        found = shown(made, now_s)
        assert (found.widths, found.trust, found.sets_per_s, found.detections) == ("", "", 0.0, ())
    assert "nothing runs: no sensor sends" in text(found)
    assert "GMACs" not in text(found)
    assert "0 boxes" in line(found)


def test_sets_skipped_by_the_network_are_no_sets_lost_here_when_counted() -> None:
    assert shown(state(0, 2, 4, 6)).sets_per_s == pytest.approx(20.0)


def test_view_says_what_the_messages_say_when_drawn() -> None:
    made = state(*range(11))
    made.take_detections(SimpleNamespace(detections=[0, 0, 0]))
    made.take_diagnostics(diagnostics())
    said = ["/sentryfuse", "live", "LOST", "no new message for 1.2 s", "check its cable", "lidar+imu (6)"]
    said += ["power: 6 W", "50%", "eager on cpu", "no CUDA device", "world_v9 0123", "no time limit, 6 W"]
    said += [
        "missed 2.0%",
        "12, p99 4.2 us",
        "10.0 sets/s",
        "3 skipped",
        "3 boxes",
        "nothing usable",
        *STAGES,
    ]
    drawn = text(shown(made))
    assert not [word for word in said if word not in drawn], drawn


def test_bar_gives_each_stage_its_share_when_drawn() -> None:
    bar = next(row for row in text(shown(state(0))).splitlines() if "██" in row)
    assert bar.count("█") == round(60 * 28 / 29)
    assert bar.count("·") == 60 - bar.count("█")
    assert bar.endswith("29.0 ms")


def test_view_says_for_how_long_nothing_came_when_the_node_is_gone() -> None:
    found = shown(state(0, 1), 3.3)
    assert "no status for 3.2 s" in text(found)
    assert "no status for 3.2 s" in line(found)


def test_json_has_null_when_a_figure_is_not_known() -> None:
    told = json.loads(as_json(shown(state(0))))
    assert told["budget_latency_ms"] is None
    assert told["budget_power_w"] == 6.0
    assert told["latency_ms"]["e2e"]["last"] == 29.0
    assert told["sensors"][0]["reason"] == "no new message for 1.2 s"
    assert told["switches"] is None


def test_view_is_drawn_when_a_set_failed_and_has_no_times() -> None:
    nan = {f"{part}_ms": math.nan for part in STAGES}
    drawn = text(shown(state(0, 1, **nan)))
    assert "latency ms" in drawn
    assert "█" not in drawn


def test_hint_is_drawn_when_nothing_came() -> None:
    assert "[listening]" in page(waiting(["no fusion node", "[listening]"]))


def test_diagnostics_are_told_from_another_nodes_by_their_names_when_both_have_the_same_sensors() -> None:
    made = NodeState("/robot/sentryfuse", window_s=30.0)
    made.take_status(status(0), 0.0)
    for node, missed in (("/robot/sentryfuse", "0.250"), ("/other/sentryfuse", "0.750")):
        array = diagnostics(deadline_miss=missed)
        for item in array.status:
            item.name = item.name.replace("sentryfuse", node)
        made.take_diagnostics(array)
    assert shown(made).deadline_miss == 0.25


def scene(*boxes: tuple[str, float, float]) -> Scene:
    """The camera dies, and these are the boxes by then."""
    made = state(*range(11))
    found = [
        SimpleNamespace(label=label, pose=SimpleNamespace(position=SimpleNamespace(x=x, y=y)))
        for label, x, y in boxes
    ]
    made.take_detections(SimpleNamespace(detections=found))
    return Scene(seconds=42.0, at_s=7.0, story="camera dies", faults="camera: drop", node=shown(made))


def demo_page(found: Scene) -> str:
    return page(demo_view.render(found), width=100)


def test_demo_says_what_the_status_says_when_drawn() -> None:
    said = ["camera dies", "camera: drop", "LOST", "no new message", "level 1", "nested", "8/16 heads", "6 W"]
    said += ["power: 6 W", "p95", "world_v9 0123", "nothing usable", "30%", "not twice", "10.0 sets/s"]
    drawn = demo_page(scene())
    assert not [word for word in said if word not in drawn], drawn


def test_demo_shows_brackets_as_they_are_when_a_name_has_some() -> None:
    found = scene()
    assert found.node is not None
    found.node.status.level_reason = "operator: level 1 by Budget message from [/bold]"
    assert "from [/bold]" in demo_page(found)


def test_demo_puts_boxes_where_they_are_when_drawn() -> None:
    drawn = demo_page(scene(("car", 31.9, 15.9), ("pedestrian", 0.1, -15.9), ("tree", 16.0, 0.0)))
    maps = [row.rsplit("│", 2)[1] for row in drawn.splitlines() if row.count("│") >= 2]
    cars, walkers, others = ([i for i, row in enumerate(maps) if mark in row[:33]] for mark in "CPX")
    assert cars[0] < others[0] < walkers[0]
    assert maps[cars[0]].index("C") < maps[others[0]].index("X") < maps[walkers[0]].index("P")


def test_demo_waits_when_nothing_came_yet() -> None:
    assert "waiting" in demo_page(Scene(seconds=42.0))
    assert "waiting" in demo_view.line(Scene(seconds=42.0))


def test_demo_has_all_in_one_line_when_there_is_no_terminal() -> None:
    told = demo_view.line(scene())
    assert told.startswith("  7.0 s  camera dies        used lidar+imu")
    assert "level 1 10.0 Hz  e2e p50 29 p95 29 ms  0 boxes" in told


def test_svg_is_written_when_asked_and_its_place_named_when_impossible(tmp_path: Path) -> None:
    demo_view.save_svg(scene(), tmp_path / "view.svg")
    drawing = (tmp_path / "view.svg").read_text(encoding="utf-8")
    assert "camera" in drawing
    assert "url(http" not in drawing
    with pytest.raises(OutputError, match="nowhere"):
        demo_view.save_svg(scene(), tmp_path / "nowhere" / "view.svg")
