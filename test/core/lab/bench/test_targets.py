"""The judged figures: right at the ends of their scales, and frank about what is missing."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sentryfuse_core.lab.bench.records import parse_record
from sentryfuse_core.lab.bench.results import Figure
from sentryfuse_core.lab.bench.study import arrange
from sentryfuse_core.lab.bench.summary import raw_of, summarise

CLOSED = "gap between dense and the strongest untrained rival that is closed, all cells"
FEW = ("dense", "ours", "taylor")


def figures(records: Sequence[Any]) -> dict[str, Figure]:
    found = summarise(arrange(records)).figures
    assert len({one.what + one.unit for one in found}) == len(found)
    return {f"{one.what} [{one.unit}]" if one.unit == "points" else one.what: one for one in found}


def like_another(like: str) -> Any:
    """Ours equals `like` in every cell; levels differ from cell to cell and run to run."""

    def rule(method: str, seed: int, mask: Any, ratio: float, _split: str) -> float:
        name = like if method == "ours" else method
        return (90.0 if name == "dense" else 80.0 - 40.0 * ratio) + seed * 0.7 + len(mask)

    return rule


@pytest.mark.parametrize(("like", "closed"), [("dense", 100.0), ("taylor", 0.0)])
def test_gap_closed_is_all_or_nothing_when_ours_equals_dense_or_the_rival(
    like: str, closed: float, build: Any
) -> None:
    found = figures(build.records(methods=FEW, rule=like_another(like)))
    for what in (CLOSED, CLOSED.replace("all cells", "cells with sensors missing")):
        assert found[what].measured == pytest.approx(closed, abs=1e-9)
        assert (found[what].low, found[what].high) == pytest.approx((closed, closed), abs=1e-9)
        assert found[what].met is (like == "dense")


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(share=st.floats(0.0, 1.2))
def test_gap_closed_is_the_share_when_ours_lies_between(share: float, build: Any) -> None:
    def rule(method: str, seed: int, mask: Any, ratio: float, _split: str) -> float:
        dense, rival = 80.0 + seed, 60.0 - 30.0 * ratio + len(mask)
        return {"dense": dense, "taylor": rival, "ours": rival + share * (dense - rival)}[method]

    records = build.records(methods=FEW, rule=rule, sensors=("accel", "gyro"), seeds=(0, 1, 2))
    assert figures(records)[CLOSED].measured == pytest.approx(100 * share, abs=1e-6)


def test_gap_closed_is_sum_over_sum_and_leaves_small_gaps_out(build: Any) -> None:
    gaps = {0.25: 2.9, 0.5: 3.0, 0.75: 10.0, 0.9: 40.0}

    def rule(method: str, _seed: int, _mask: Any, ratio: float, _split: str) -> float:
        lost = {"dense": 0.0, "ours": 1.0}.get(method)
        return 90.0 - (gaps[ratio] if lost is None else lost)

    found = figures(build.records(methods=FEW, rule=rule))
    assert found["cells whose gap is at least 3 points, all cells"].measured == 24  # 3 ratios of 8 settings
    assert found[CLOSED].measured == pytest.approx(100 * (2 + 9 + 39) / 53)


def test_ahead_of_the_rival_is_told_both_ways_and_in_points(build: Any) -> None:
    def rule(method: str, _seed: int, _mask: Any, ratio: float, _split: str) -> float:
        return {"dense": 90.0, "ours": 80.0}.get(method, 40.0 if ratio == 0.9 else 80.0)

    found = figures(build.records(methods=FEW, rule=rule))
    what = "ahead of the strongest untrained rival, all cells, every cell"
    assert found[f"{what}, sum over sum"].measured == pytest.approx(100 * 40 / 280)
    assert found[f"{what}, mean of the cells' per cent"].measured == pytest.approx(25.0)
    assert found[f"{what} [points]"].measured == pytest.approx(10.0)
    assert found[f"{what}, sum over sum"].target == 30.0


def test_drop_from_dense_is_judged_at_each_ratio(build: Any) -> None:
    drops = {0.25: 0.0, 0.5: 0.5, 0.75: 1.1, 0.9: -1.0}

    def rule(method: str, seed: int, _mask: Any, ratio: float, _split: str) -> float:
        return 90.0 + seed - (drops[ratio] if method == "ours" else 0.0 if method == "dense" else 20.0)

    found = figures(build.records(methods=FEW, rule=rule, items=1000))
    met = {
        ratio: found[f"mean drop over all masks from dense, r = {ratio:g} [points]"].met
        for ratio in (0.5, 0.75, 0.9)
    }
    assert met == {0.5: True, 0.75: False, 0.9: True}
    assert not math.isnan(found["mean drop over all masks from dense, r = 0.9, har/trunk [points]"].items_low)


def test_refits_and_nested_rivals_are_judged_with_their_interval(build: Any) -> None:
    def rule(method: str, seed: int, _mask: Any, _ratio: float, _split: str) -> float:
        return 80.0 + (0.8 + 0.4 * (seed - 1) if method == "ours" else 0.0)

    found = figures(build.records(rule=rule))
    what = "ahead of the best of refit, DynaBERT, MatFormer, r = 0.75"
    assert found[f"{what} [points]"].measured == pytest.approx(0.8)
    assert found[f"{what} [points]"].met
    low = found[f"{what}: lower end of the interval [points]"]
    assert low.measured == pytest.approx(0.8 - 4.302653 * 0.4 / math.sqrt(3), rel=1e-5)
    assert low.met is False


def test_refits_and_nested_rivals_that_are_absent_are_named(build: Any) -> None:
    found = figures(build.records(methods=("dense", "ours", "taylor", "lsq_flap")))
    notes = found["ahead of the best of refit, DynaBERT, MatFormer, r = 0.5 [points]"].notes
    assert "har/trunk has no record of dynabert, matformer" in notes


def test_size_is_the_smallest_within_a_point_and_never_interpolated(build: Any) -> None:
    levels = {"small_0.25": 88.9, "small_0.5": 89.1, "dense": 90.0}

    def rule(method: str, _seed: int, _mask: Any, ratio: float, _split: str) -> float:
        return levels.get(method, 89.2 if ratio <= 0.75 else 85.0)

    found = figures(build.records(rule=rule))
    what = "MACs of ours within 1 point of dense, over the smallest trained network's, har/trunk"
    sensors = 12 / 7  # mean number present over the masks of three
    ours, small = 1000 * 0.25 * sensors + 100, 1000 * 0.5 * sensors + 100
    assert found[what].measured == pytest.approx(ours / small)
    assert found[what].met
    assert "ours at r = 0.75" in found[what].notes[0]
    assert "small_0.5" in found[what].notes[0]


def test_size_takes_extra_ratios_when_they_were_run(build: Any) -> None:
    records = build.records(ratios=(0.0, 0.25, 0.5, 0.75, 0.9, 0.95))
    what = "MACs of ours within 1 point of dense, over the smallest trained network's, har/trunk"
    assert "ours at r = 0.95" in figures(records)[what].notes[0]


def test_size_says_so_when_the_smallest_network_does_already(build: Any) -> None:
    def rule(_method: str, _seed: int, _mask: Any, _ratio: float, _split: str) -> float:
        return 90.0

    what = "MACs of ours within 1 point of dense, over the smallest trained network's, har/trunk"
    assert any("a smaller one might" in note for note in figures(build.records(rule=rule))[what].notes)


def test_size_is_missed_when_there_is_no_small_network(build: Any) -> None:
    found = figures(build.records(methods=FEW))
    what = "MACs of ours within 1 point of dense, over the smallest trained network's, har/trunk"
    assert math.isnan(found[what].measured)
    assert found[what].met is False
    assert "no small network" in found[what].notes[0]


def test_worst_mask_is_found_among_all_groups(build: Any) -> None:
    def rule(method: str, _seed: int, mask: Any, ratio: float, _split: str) -> float:
        bad = method == "ours" and mask == ("gyro", "audio") and ratio == 0.75
        return 90.0 - (4.0 if bad else 0.0)

    found = figures(build.records(rule=rule, methods=FEW, groups={"har": ("trunk", "branches")}))
    worst = found["worst mask's drop from dense, r = 0.75, all groups [points]"]
    assert worst.measured == pytest.approx(4.0)
    assert worst.met is False
    assert "with only gyro + audio" in worst.notes[0]


def test_missing_seed_is_told_with_every_figure_it_touches(build: Any) -> None:
    records = [one for one in build.records() if (one.method, one.seed) != ("ours", 1)]
    summary = summarise(arrange(records))
    assert summary.study.missing == ("har/trunk/s1/ours: no record",)
    found = {one.what: one for one in summary.figures}
    assert "32 of 32 cells lack runs" in found[CLOSED].notes


def test_cells_that_were_not_measured_are_counted_and_named(build: Any) -> None:
    records = build.records(groups={"har": ("trunk", "branches")}, methods=FEW)
    kept = [one for one in records if (one.backbone, one.method) != ("branches", "ours")]
    found = figures(kept)
    assert found[CLOSED].notes[0].startswith("32 cells not measured: har/branches, r = 0.25, all sensors")
    assert found["cells with ours, dense and an untrained rival"].measured == 32
    drop = found["mean drop over all masks from dense, r = 0.5, har/branches [points]"]
    assert drop.met is False
    assert math.isnan(drop.measured)


def test_unequal_costs_are_told(build: Any) -> None:
    contents = [
        build.content(method, seed=seed) for method in ("dense", "ours", "taylor") for seed in range(3)
    ]
    for content in contents:
        if content["method"] == "ours":
            content["train"]["macs"] *= 1.5
            for row in content["rows"]:
                row["unit_macs"] *= 1.2
    found = figures([parse_record(content) for content in contents])
    assert found["most unit MACs by which ours exceed a chosen rival's in a cell"].measured == pytest.approx(
        20.0
    )
    spent = found["most training MACs by which ours exceed those of dense or a trained rival"]
    assert spent.measured == pytest.approx(50.0)
    assert any("exceed by more than 5%" in note for note in spent.notes)


def test_summary_is_json_without_nan_and_counts_every_cell(build: Any) -> None:
    text = json.dumps(raw_of(summarise(arrange(build.records(seeds=(0,))))), allow_nan=False)
    assert len(json.loads(text)["cells"]) == 32


def test_mean_drop_is_of_the_mean_cell_alone_when_single_sensors_drop_more(build: Any) -> None:
    def rule(method: str, _seed: int, mask: Any, _ratio: float, _split: str) -> float:
        return 60.0 if method == "ours" and len(mask) == 1 else 90.0

    records = build.records(rule=rule, methods=FEW)
    masks = len({row.present for row in records[0].rows})
    singles = len(records[0].modalities)
    drop = figures(records)["mean drop over all masks from dense, r = 0.5 [points]"].measured
    assert drop == pytest.approx(30.0 * singles / masks)
