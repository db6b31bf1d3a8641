"""Cells judged one by one: validation chooses, test reports."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sentryfuse_core.lab.bench.ablations import ablations
from sentryfuse_core.lab.bench.compare import compare, judge_cells, lost_cells, strongest, untrained
from sentryfuse_core.lab.bench.records import parse_record
from sentryfuse_core.lab.bench.study import arrange


def test_strongest_rival_is_the_one_of_validation_when_another_is_better_on_test(build: Any) -> None:
    def rule(method: str, seed: int, mask: Any, ratio: float, split: str) -> float:
        if method == "magnitude":
            return 72.0 if split == "val" else 50.0
        return build.plain(method, seed, mask, ratio, split)

    study = arrange(build.records(rule=rule))
    for result in judge_cells(study):
        assert result.rival == "magnitude"
        assert result.against_rival is not None
        assert result.against_rival.against_accuracy == pytest.approx(50.0)


def test_strongest_rival_may_differ_from_cell_to_cell(build: Any) -> None:
    def rule(method: str, seed: int, mask: Any, ratio: float, split: str) -> float:
        low = method == "taylor" and ratio > 0.8
        return 40.0 if low else build.plain(method, seed, mask, ratio, split)

    results = judge_cells(arrange(build.records(rule=rule)))
    assert {one.cell.ratio: one.rival for one in results} == {
        0.25: "taylor", 0.5: "taylor", 0.75: "taylor", 0.9: "magnitude",
    }  # fmt: skip


def test_strongest_is_judged_over_shared_runs_when_a_candidate_lacks_the_hard_one(build: Any) -> None:
    def rule(method: str, seed: int, mask: Any, ratio: float, split: str) -> float:
        return build.plain(method, seed, mask, ratio, split) - (30.0 if seed == 2 else 0.0)

    records = [one for one in build.records(rule=rule) if (one.method, one.seed) != ("magnitude", 2)]
    group = arrange(records).groups[0]
    assert strongest(group, untrained(group), 0.5, [("accel",)]) == "taylor"  # 60 on average, as magnitude


def test_strongest_is_one_with_fewer_runs_when_it_is_better_in_those(build: Any) -> None:
    def rule(method: str, seed: int, mask: Any, ratio: float, split: str) -> float:
        return build.plain(method, seed, mask, ratio, split) + (20.0 if method == "magnitude" else 0.0)

    records = [one for one in build.records(rule=rule) if one.method != "magnitude" or one.seed == 0]
    group = arrange(records).groups[0]
    assert strongest(group, untrained(group), 0.5, [("accel",)]) == "magnitude"


def test_strong_rival_is_a_refit_or_nested_one_and_never_layerdrop(build: Any) -> None:
    def rule(method: str, seed: int, mask: Any, ratio: float, split: str) -> float:
        return 95.0 if method == "layerdrop" else build.plain(method, seed, mask, ratio, split)

    results = judge_cells(arrange(build.records(rule=rule)))
    assert {one.strong for one in results} == {"lsq_flap"}


def test_comparison_is_paired_when_runs_differ_in_difficulty(build: Any) -> None:
    def rule(method: str, seed: int, mask: Any, ratio: float, split: str) -> float:
        return build.plain(method, seed, mask, ratio, split) - 20.0 * seed

    versus = compare(arrange(build.records(rule=rule)).groups[0], "ours", "taylor", 0.5, [("accel",)])
    assert versus is not None
    assert versus.difference.mean == pytest.approx(19.0)
    assert versus.difference.high - versus.difference.low == pytest.approx(0.0, abs=1e-9)


def test_comparison_uses_the_runs_both_have(build: Any) -> None:
    records = [one for one in build.records() if (one.method, one.seed) != ("taylor", 0)]
    versus = compare(arrange(records).groups[0], "ours", "taylor", 0.5, [("accel",)])
    assert versus is not None
    assert versus.difference.runs == 2


def test_items_give_an_interval_when_hits_are_kept(build: Any) -> None:
    versus = compare(arrange(build.records(items=400)).groups[0], "ours", "taylor", 0.5, [("accel",)])
    assert versus is not None
    assert versus.items is not None
    assert versus.items.mean == pytest.approx(versus.difference.mean)
    assert versus.items.low < 19.0 < versus.items.high
    assert versus.items.high - versus.items.low == pytest.approx(
        2 * 1.96 * 100 * np.sqrt(0.19 * 0.81 / 400), rel=0.1
    )


def test_items_give_none_when_hits_are_missing_or_measure_something_else(build: Any) -> None:
    group = arrange(build.records()).groups[0]
    versus = compare(group, "ours", "taylor", 0.5, [("accel",)])
    assert versus is not None
    assert versus.items is None
    balanced = build.content("ours", items=400)
    for row in balanced["rows"]:
        row["accuracy"] -= 1.0  # balanced accuracy is not the mean of the hits
    records = [parse_record(balanced), parse_record(build.content("taylor", items=400))]
    versus = compare(arrange(records).groups[0], "ours", "taylor", 0.5, [("accel",)])
    assert versus is not None
    assert versus.items is None


def test_cells_are_kept_when_nothing_was_measured(build: Any) -> None:
    results = judge_cells(arrange(build.records(methods=("dense", "taylor"))))
    assert len(results) == 32
    assert all(one.against_rival is None and one.rival == "taylor" for one in results)


def test_lost_cells_name_every_rival_ahead_chosen_or_not(build: Any) -> None:
    def rule(method: str, seed: int, mask: Any, ratio: float, split: str) -> float:
        ahead = (
            method in ("magnitude", "layerdrop") and split == "test" and ratio == 0.9 and mask == ("gyro",)
        )
        return 92.0 if ahead else build.plain(method, seed, mask, ratio, split)

    study = arrange(build.records(rule=rule))
    lost = lost_cells(judge_cells(study))
    assert [(one.cell.name, one.versus.against, one.chosen) for one in lost] == [
        ("har/trunk, r = 0.9, only gyro", "layerdrop", False),
        ("har/trunk, r = 0.9, only gyro", "magnitude", False),
    ]
    assert lost[0].versus.difference.mean == pytest.approx(-3.0)
    assert lost[0].versus.difference.below_zero


def test_ablations_are_pooled_over_groups_and_listed_one_by_one(build: Any) -> None:
    def rule(method: str, seed: int, mask: Any, ratio: float, split: str) -> float:
        return 86.0 + seed if method == "no_conditioning" else build.plain(method, seed, mask, ratio, split)

    found = ablations(arrange(build.records(rule=rule, groups={"har": ("trunk",), "digits": ("trunk",)})))
    own = [one for one in found if one.method == "no_conditioning" and one.ratio == 0.5]
    assert [one.scope for one in own] == ["digits/trunk", "har/trunk", "all"]
    assert [one.difference.mean for one in own] == pytest.approx([-2.0] * 3)
    widths = [one.difference.high - one.difference.low for one in own]
    assert widths[2] < widths[0]
    assert {one.method for one in found} == {"no_conditioning", "faithful"}
