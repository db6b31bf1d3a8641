"""The judged figures: right at the ends of their scales, and frank about what is missing."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prune_records import At, content_of, plain, records_of

from sentryfuse_core.lab.bench.records import parse_record
from sentryfuse_core.lab.bench.results import Figure
from sentryfuse_core.lab.bench.study import arrange
from sentryfuse_core.lab.bench.summary import raw_of, summarise, text_of

CLOSED = "gap between dense and the strongest untrained rival that is closed, all cells"
SIZE = "MACs of ours within 1 point of dense, over the smallest trained network's, har/trunk"
AHEAD = "ahead of the best of refit, DynaBERT, MatFormer"
FEW = ("dense", "ours", "taylor")


def judged(records: Sequence[Any]) -> dict[str, Figure]:
    found = summarise(arrange(records)).figures
    assert len({one.what + one.unit for one in found}) == len(found)
    return {f"{one.what} [{one.unit}]" if one.unit == "points" else one.what: one for one in found}


def figures(**options: Any) -> dict[str, Figure]:
    return judged(records_of(**options))


@pytest.mark.parametrize(("like", "closed"), [("dense", 100.0), ("taylor", 0.0)])
def test_gap_closed_is_all_or_nothing_when_ours_equals_dense_or_the_rival(like: str, closed: float) -> None:
    def rule(at: At) -> float:  # levels differ from cell to cell and run to run
        name = like if at.method == "ours" else at.method
        return (90.0 if name == "dense" else 80.0 - 40.0 * at.ratio) + at.seed * 0.7 + len(at.mask)

    found = figures(methods=FEW, rule=rule)
    for what in (CLOSED, CLOSED.replace("all cells", "cells with sensors missing")):
        one = found[what]
        assert (one.measured, one.low, one.high) == pytest.approx((closed,) * 3, abs=1e-9)
        assert one.met is (like == "dense")


@settings(max_examples=10, deadline=None)
@given(share=st.floats(0.0, 1.2))
def test_gap_closed_is_the_share_when_ours_lies_between(share: float) -> None:
    def rule(at: At) -> float:
        dense, rival = 80.0 + at.seed, 60.0 - 30.0 * at.ratio + len(at.mask)
        return {"dense": dense, "taylor": rival, "ours": rival + share * (dense - rival)}[at.method]

    found = figures(methods=FEW, rule=rule, sensors=("accel", "gyro"))
    assert found[CLOSED].measured == pytest.approx(100 * share, abs=1e-6)


def test_gap_closed_is_sum_over_sum_and_leaves_small_gaps_out() -> None:
    gaps = {0.25: 2.9, 0.5: 3.0, 0.75: 10.0, 0.9: 40.0}

    def rule(at: At) -> float:
        return 90.0 - {"dense": 0.0, "ours": 1.0, "taylor": gaps.get(at.ratio, 0.0)}[at.method]

    found = figures(methods=FEW, rule=rule)
    assert found["cells whose gap is at least 3 points, all cells"].measured == 24  # 3 ratios of 8 settings
    assert found[CLOSED].measured == pytest.approx(100 * (2 + 9 + 39) / 53)


def test_ahead_of_the_rival_is_told_both_ways_and_in_points() -> None:
    def rule(at: At) -> float:
        return {"dense": 90.0, "ours": 80.0}.get(at.method, 40.0 if at.ratio == 0.9 else 80.0)

    found = figures(methods=FEW, rule=rule)
    what = "ahead of the strongest untrained rival, all cells, every cell"
    assert found[f"{what}, sum over sum"].measured == pytest.approx(100 * 40 / 280)
    assert found[f"{what}, mean of the cells' per cent"].measured == pytest.approx(25.0)
    assert found[f"{what} [points]"].measured == pytest.approx(10.0)
    assert found[f"{what}, sum over sum"].target == 30.0


def test_drop_from_dense_is_judged_at_each_ratio() -> None:
    drops = {0.25: 0.0, 0.5: 0.5, 0.75: 1.1, 0.9: -1.0}

    def rule(at: At) -> float:
        return 90.0 + at.seed - {"dense": 0.0, "ours": drops.get(at.ratio, 0.0), "taylor": 20.0}[at.method]

    found = figures(methods=FEW, rule=rule, items=1000)
    what = "mean drop over all masks from dense"
    met = {ratio: found[f"{what}, r = {ratio:g} [points]"].met for ratio in (0.5, 0.75, 0.9)}
    assert met == {0.5: True, 0.75: False, 0.9: True}
    assert not math.isnan(found[f"{what}, r = 0.9, har/trunk [points]"].items_low)


def test_mean_drop_is_of_the_mean_cell_alone_when_single_sensors_drop_more() -> None:
    found = figures(methods=FEW, rule=lambda at: 60.0 if at.method == "ours" and len(at.mask) == 1 else 90.0)
    drop = found["mean drop over all masks from dense, r = 0.5 [points]"].measured
    assert drop == pytest.approx(30.0 * 3 / 7)  # three of the seven masks


def test_refits_and_nested_rivals_are_judged_with_their_interval() -> None:
    found = figures(rule=lambda at: 80.0 + (0.8 + 0.4 * (at.seed - 1)) * (at.method == "ours"))
    total, low = (found[f"{AHEAD}, r = 0.75{end} [points]"] for end in ("", ": lower end of the interval"))
    assert total.measured == pytest.approx(0.8)
    assert total.met
    assert low.measured == pytest.approx(0.8 - 4.302653 * 0.4 / math.sqrt(3), rel=1e-5)
    assert low.met is False


def test_refits_and_nested_rivals_that_are_absent_are_named() -> None:
    found = figures(methods=("dense", "ours", "taylor", "lsq_flap"))
    notes = found[f"{AHEAD}, r = 0.5 [points]"].notes
    assert "har/trunk has no record of dynabert, matformer" in notes


def test_size_is_the_smallest_within_a_point_and_never_interpolated() -> None:
    levels = {"small_0.25": 88.9, "small_0.5": 89.1, "dense": 90.0}
    one = figures(rule=lambda at: levels.get(at.method, 89.2 if at.ratio <= 0.75 else 85.0))[SIZE]
    sensors = 12 / 7  # mean number present over the masks of three
    ours, small = 1000 * 0.25 * sensors + 100, 1000 * 0.5 * sensors + 100
    assert one.measured == pytest.approx(ours / small)
    assert one.met
    assert "ours at r = 0.75" in one.notes[0]
    assert "small_0.5" in one.notes[0]


@pytest.mark.parametrize(
    ("options", "met", "note"),
    [
        ({"ratios": (0.0, 0.25, 0.5, 0.75, 0.9, 0.95)}, True, "ours at r = 0.95"),
        ({"rule": lambda _: 90.0}, True, "a smaller one might"),
        ({"methods": FEW}, False, "no small network"),
    ],
    ids=["other ratios were run", "the smallest does already", "there is no small network"],
)
def test_size_says_what_to_know_about_it(options: dict[str, Any], met: bool, note: str) -> None:
    one = figures(**options)[SIZE]
    assert any(note in text for text in one.notes)
    assert one.met is met
    assert math.isnan(one.measured) is not met


def test_worst_mask_is_found_among_all_groups() -> None:
    def rule(at: At) -> float:
        return 90.0 - 4.0 * (at.method == "ours" and at.mask == ("gyro", "audio") and at.ratio == 0.75)

    found = figures(rule=rule, methods=FEW, groups={"har": ("trunk", "branches")})
    worst = found["worst mask's drop from dense, r = 0.75, all groups [points]"]
    assert worst.measured == pytest.approx(4.0)
    assert worst.met is False
    assert "with only gyro + audio" in worst.notes[0]


def test_missing_seed_and_cells_are_told_with_every_figure_they_touch() -> None:
    assert "32 of 32 cells lack runs" in figures(without=("ours", 1))[CLOSED].notes
    records = records_of(groups={"har": ("trunk", "branches")}, methods=FEW)
    found = judged([one for one in records if (one.backbone, one.method) != ("branches", "ours")])
    (gone,) = [note for note in found[CLOSED].notes if "not measured" in note]
    assert gone.startswith("32 cells not measured: har/branches, r = 0.25, all sensors")
    assert found["cells with ours, dense and an untrained rival"].measured == 32
    drop = found["mean drop over all masks from dense, r = 0.5, har/branches [points]"]
    assert (drop.met, math.isnan(drop.measured)) == (False, True)


def test_unequal_costs_are_told() -> None:
    contents = [content_of(method, seed=seed) for method in FEW for seed in range(3)]
    for content in contents:
        if content["method"] == "ours":
            content["train"]["macs"] *= 1.5
            for row in content["rows"]:
                row["unit_macs"] *= 1.2
    found = judged([parse_record(content) for content in contents])
    units = found["most unit MACs by which ours exceed a chosen rival's in a cell"]
    spent = found["most training MACs by which ours exceed those of dense or a trained rival"]
    assert (units.measured, spent.measured) == pytest.approx((20.0, 50.0))
    assert any("exceed by more than 5%" in note for note in spent.notes)


def test_summary_is_json_without_nan_and_counts_every_cell() -> None:
    summary = summarise(arrange(records_of(rule=plain, seeds=(0,))))
    text = json.dumps([raw_of(summary), [one.to_mapping() for one in summary.figures]], allow_nan=False)
    assert len(json.loads(text)[0]["cells"]) == 32


def test_text_has_accuracies_and_no_targets_when_few_seeds_were_run() -> None:
    def rule(at: At) -> float:
        return plain(at) - 10.0 * at.ratio - (len(at.mask) < 3)

    text = text_of(summarise(arrange(records_of(rule=rule, methods=(*FEW, "small_0.5"), seeds=(0,)))))
    title, masks, ratios, *rows, _, note = text.splitlines()
    assert title.startswith("har/trunk, test: balanced accuracy in %")
    assert title.endswith("mean of 1 run")
    assert masks.split("  ")[-1].strip() == "mean over all masks"
    assert ratios.split() == ["25", "%", "50", "%", "75", "%", "90", "%"] * 2
    assert [row.split()[0] for row in rows] == ["dense,", "ours", "small_0.5,", "taylor"]
    assert rows[1].split()[1:] == ["86.5", "84.0", "81.5", "80.0", "85.6", "83.1", "80.6", "79.1"]
    assert "har/trunk: 1 runs of the 3 that intervals need" in note


def test_text_has_no_figure_about_something_that_was_not_run() -> None:
    text = text_of(summarise(arrange(records_of(methods=FEW))))
    assert "mean drop over all masks from dense, r = 0.5" in text  # needs dense and ours alone
    assert not any(what in text for what in (CLOSED, AHEAD, SIZE, "cells with ours, dense"))
    everything = text_of(summarise(arrange(records_of())))
    assert all(what in everything for what in (CLOSED, AHEAD, SIZE))
    uneven = text_of(
        summarise(arrange(records_of(methods=("dense", "ours", "taylor", "magnitude", "lsq_flap"))))
    )
    assert CLOSED in uneven
    assert AHEAD not in uneven  # DynaBERT and MatFormer were not run
