"""The plan table: every plan that was timed, with what it is worth where that is known."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from sentryfuse_core.lab.bench.runtime.plans import cost_model, plan_table


def arm(name: str, mask: int, level: int, ms: float) -> dict[str, Any]:
    return {"name": name, "mask": mask, "level": level, "ms": {"p50": ms}}


def test_plan_table_has_a_line_for_each_plan_and_a_column_for_each_backend() -> None:
    arms = [
        arm("dense", 15, 0, 30.0),
        arm("dense, camera zero-filled", 15, 0, 29.0),
        arm("eager", 15, 0, 20.0),
        arm("eager", 15, 1, 15.0),
        arm("openvino", 15, 0, 10.0),
    ]
    head, wide, narrow = plan_table({"arms": arms}, {(15, 0): 0.927})
    assert head.split() == ["sensors", "level", "mAP", "eager", "openvino"]
    everything = "camera+lidar+imu+audio"
    assert wide.split() == [everything, "0", "92.7", "20.0", "ms", "(1.50x)", "10.0", "ms", "(3.00x)"]
    assert narrow.split() == [everything, "1", "-", "15.0", "ms", "(2.00x)", "-"]


def test_cost_model_gives_back_what_parts_take_when_they_add_up() -> None:
    true_ms = {"fixed": 2.0, "camera0": 20.0, "camera1": 8.0, "lidar0": 5.0, "lidar1": 3.0}
    rows = []
    for parts in product(("camera0", "camera1", ""), ("lidar0", "lidar1", "")):
        there = [part for part in parts if part]
        if there:
            took = {"p50": true_ms["fixed"] + sum(true_ms[part] for part in there)}
            rows.append({"name": "eager", "parts": there, "ms": took})
    found, error = cost_model({"arms": [*rows, {"name": "dense", "ms": {"p50": 99.0}}]}, "eager")
    assert found == pytest.approx(true_ms, abs=2e-3)
    assert error < 0.1
