"""Cells and what is missing of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from prune_records import records_of

from sentryfuse_core.lab.bench.records import RecordError, Run
from sentryfuse_core.lab.bench.study import arrange, masks_of, settings_of


@pytest.mark.parametrize(("count", "settings", "masks"), [(4, 10, 15), (3, 8, 7), (2, 4, 3), (1, 1, 1)])
def test_settings_are_all_of_the_benchmarks_and_none_twice(count: int, settings: int, masks: int) -> None:
    sensors = tuple("abcd"[:count])
    found = settings_of(sensors)
    assert len(found) == len({one.name for one in found}) == settings
    assert len(masks_of(sensors)) == masks
    partly = {one.name for one in found if one.is_missing}  # sensors are missing in every mask
    assert partly == {one.name for one in found if one.name.startswith(("without", "only"))}


def test_two_data_sets_on_three_backbones_make_216_cells() -> None:
    four = ("accel", "gyro", "audio", "baro")
    where = ("trunk", "branches", "bottleneck")
    har = records_of(methods=("dense", "ours"), groups={"har": where}, sensors=four)
    digits = records_of(methods=("dense", "ours"), groups={"digits": where})
    study = arrange([*har, *digits])
    assert sum(len(group.cells()) for group in study.groups) == 216
    assert study.missing == ()
    dense = study.groups[0].scores(
        "dense", 0.9, [("accel",)], "test"
    )  # at ratio 0, whatever the cell's ratio
    assert dense == {Run(seed, seed): 90.0 for seed in range(3)}


def test_mean_over_masks_leaves_a_run_out_and_tells_it_when_it_lacks_rows() -> None:
    records = records_of(methods=("dense", "ours"))
    broken = replace(records[1], rows=tuple(row for row in records[1].rows if row.present != ("gyro",)))
    study = arrange([records[0], broken, *records[2:]])
    runs = study.groups[0].scores("ours", 0.5, masks_of(study.groups[0].modalities), "test")
    assert list(runs) == [Run(1, 1), Run(2, 2)]
    (text,) = study.missing
    assert text.startswith("har/trunk/s0/ours: 8 of 56 rows are missing, first val at r = 0.25 with gyro")


@pytest.mark.parametrize(
    ("options", "missing"),
    [
        ({"without": ("taylor", 1)}, ["har/trunk/s1/taylor: no record"]),
        (
            {"methods": ("taylor",), "seeds": (0, 1)},
            [
                *(f"har/trunk/s{seed}/{name}: no record" for seed in (0, 1) for name in ("dense", "ours")),
                "har/trunk: 2 runs of the 3 that intervals need",
            ],
        ),
    ],
    ids=["a seed", "dense and ours, and a run"],
)
def test_what_is_missing_is_told_by_name(options: dict[str, Any], missing: list[str]) -> None:
    assert list(arrange(records_of(**options)).missing) == missing


def test_method_is_missed_when_another_backbone_has_it() -> None:
    records = records_of(groups={"har": ("trunk", "branches")}, methods=("dense", "ours", "taylor"))
    kept = [one for one in records if (one.backbone, one.method) != ("branches", "taylor")]
    assert arrange(kept).missing == tuple(f"har/branches/s{seed}/taylor: no record" for seed in range(3))


def test_records_are_refused_when_they_contradict_each_other() -> None:
    first, second = records_of(methods=("ours",), seeds=(0, 1))
    with pytest.raises(RecordError, match="modalities"):
        arrange([first, replace(second, modalities=("accel", "gyro"))])
    with pytest.raises(RecordError, match="kind"):
        arrange([first, replace(second, kind="trained")])
    with pytest.raises(RecordError, match="two records"):
        arrange([first, first])
