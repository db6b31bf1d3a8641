"""Cells judged one by one: validation chooses, test reports."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from prune_records import At, Rule, content_of, plain, records_of

from sentryfuse_core.lab.bench.ablations import ablations
from sentryfuse_core.lab.bench.compare import (
    CellResult,
    Versus,
    compare,
    judge_cells,
    lost_cells,
    strongest,
    untrained,
)
from sentryfuse_core.lab.bench.records import Record, parse_record
from sentryfuse_core.lab.bench.study import arrange


def cells(rule: Rule = plain, **options: Any) -> tuple[CellResult, ...]:
    return judge_cells(arrange(records_of(rule=rule, **options)))


def versus_taylor(records: list[Record]) -> Versus:
    versus = compare(arrange(records).groups[0], "ours", "taylor", 0.5, [("accel",)])
    assert versus is not None
    return versus


def test_strongest_rival_is_the_one_of_validation_when_another_is_better_on_test() -> None:
    def rule(at: At) -> float:
        return {"val": 72.0, "test": 50.0}[at.split] if at.method == "magnitude" else plain(at)

    for result in cells(rule):
        assert result.rival == "magnitude"
        assert result.against_rival is not None
        assert result.against_rival.against_accuracy == pytest.approx(50.0)


def test_rivals_may_differ_from_cell_to_cell_and_layerdrop_is_no_strong_one() -> None:
    def rule(at: At) -> float:
        return {"layerdrop": 95.0, "taylor": 40.0 if at.ratio > 0.8 else 70.0}.get(at.method, plain(at))

    found = cells(rule)
    assert {one.ratio: one.rival for one in found} == {
        **dict.fromkeys((0.25, 0.5, 0.75), "taylor"),
        0.9: "magnitude",
    }
    assert {one.strong for one in found} == {"lsq_flap"}


@pytest.mark.parametrize(
    ("harder", "better", "seeds", "expected"),
    [(2, 0.0, {0, 1}, "taylor"), (-1, 20.0, {0}, "magnitude")],
    ids=["lacks the hard one", "is better in its few"],
)
def test_candidate_with_fewer_runs_is_judged_over_those_of_both(
    harder: int, better: float, seeds: set[int], expected: str
) -> None:
    def rule(at: At) -> float:
        return plain(at) - 30.0 * (at.seed == harder) + better * (at.method == "magnitude")

    records = [one for one in records_of(rule=rule) if one.method != "magnitude" or one.seed in seeds]
    group = arrange(records).groups[0]
    assert strongest(group, untrained(group), 0.5, [("accel",)]) == expected


def test_comparison_is_paired_over_the_runs_both_have_when_they_differ_in_difficulty() -> None:
    versus = versus_taylor(records_of(rule=lambda at: plain(at) - 20.0 * at.seed, without=("taylor", 0)))
    assert versus.difference.runs == 2
    assert versus.difference.mean == pytest.approx(19.0)
    assert versus.difference.high - versus.difference.low == pytest.approx(0.0, abs=1e-9)
    assert versus.items is None  # no hits were kept


def test_items_give_an_interval_when_hits_are_kept() -> None:
    versus = versus_taylor(records_of(items=400))
    assert versus.items is not None
    assert versus.items.mean == pytest.approx(versus.difference.mean)
    assert versus.items.low < 19.0 < versus.items.high
    assert versus.items.high - versus.items.low == pytest.approx(
        2 * 1.96 * 100 * np.sqrt(0.19 * 0.81 / 400), rel=0.1
    )


def test_items_give_none_when_hits_measure_something_else() -> None:
    balanced = content_of("ours", items=400)
    for row in balanced["rows"]:
        row["accuracy"] -= 1.0  # balanced accuracy is not the mean of the hits
    other = parse_record(content_of("taylor", items=400))
    assert versus_taylor([parse_record(balanced), other]).items is None


def test_lost_cells_name_every_rival_ahead_chosen_or_not() -> None:
    def rule(at: At) -> float:
        ahead = at.method in ("magnitude", "layerdrop") and at[2:] == (("gyro",), 0.9, "test")
        return 92.0 if ahead else plain(at)

    lost = lost_cells(cells(rule))
    assert [(one.cell.name, one.versus.against, one.chosen) for one in lost] == [
        ("har/trunk, r = 0.9, only gyro", "layerdrop", False),
        ("har/trunk, r = 0.9, only gyro", "magnitude", False),
    ]
    assert lost[0].versus.difference.mean == pytest.approx(-3.0)
    assert lost[0].versus.difference.below_zero


def test_ablations_are_pooled_over_groups_and_listed_one_by_one() -> None:
    def rule(at: At) -> float:
        return 86.0 + at.seed if at.method == "no_conditioning" else plain(at)

    found = ablations(arrange(records_of(rule=rule, groups={"har": ("trunk",), "digits": ("trunk",)})))
    own = [one for one in found if one.method == "no_conditioning" and one.ratio == 0.5]
    assert [one.scope for one in own] == ["digits/trunk", "har/trunk", "all"]
    assert [one.difference.mean for one in own] == pytest.approx([-2.0] * 3)
    widths = [one.difference.high - one.difference.low for one in own]
    assert widths[2] < widths[0]
    assert {one.method for one in found} == {"no_conditioning", "faithful"}
