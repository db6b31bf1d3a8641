"""The runtime's figures: which plan is asked about, and of which backend."""

from __future__ import annotations

from pathlib import Path

from sentryfuse_core.lab.bench.runtime.arms import ALL
from sentryfuse_core.lab.bench.runtime.context import BFLOAT16, Setting
from sentryfuse_core.lab.bench.runtime.figures import level_within


def test_level_within_is_the_cheapest_that_costs_no_more_when_levels_do_not_rank_by_cost() -> None:
    costs = {0: 0.6, 1: 0.3, 2: 0.35, 3: 0.1}
    arms = [
        {"name": "eager", "mask": ALL.bits, "level": level, "gmacs": cost} for level, cost in costs.items()
    ]
    worth = {(ALL.bits, 0): 0.7, (ALL.bits, 1): 0.69, (ALL.bits, 2): 0.697, (ALL.bits, 3): 0.6}
    asked = {
        points: level_within({"latency": {"arms": arms}}, worth, ALL, points) for points in (0.2, 0.5, 1.5)
    }
    assert asked == {0.2: 0, 0.5: 2, 1.5: 1}
    assert level_within({"latency": {"arms": arms}}, {}, ALL, 0.5) == 0


def test_setting_tells_precisions_of_openvino_apart() -> None:
    setting = Setting(checkpoint=Path("weights.safetensors"))
    found = {name: setting.model(name) for name in ("eager", "openvino", BFLOAT16)}
    assert [(model.backend, model.precision) for model in found.values()] == [
        ("eager", "auto"),
        ("openvino", "float32"),
        ("openvino", "bfloat16"),
    ]
