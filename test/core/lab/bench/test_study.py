"""Cells and what is missing of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sentryfuse_core.lab.bench.records import RecordError, Run
from sentryfuse_core.lab.bench.study import arrange, masks_of, settings_of


@pytest.mark.parametrize(("count", "settings", "masks"), [(4, 10, 15), (3, 8, 7), (2, 4, 3), (1, 1, 1)])
def test_settings_are_all_of_the_benchmarks_and_none_twice(count: int, settings: int, masks: int) -> None:
    sensors = tuple("abcd"[:count])
    found = settings_of(sensors)
    assert len(found) == settings
    assert len(masks_of(sensors)) == masks
    assert len({one.name for one in found}) == settings


def test_sensors_count_as_missing_only_when_every_mask_lacks_one() -> None:
    missing = {one.name: one.is_missing for one in settings_of(("a", "b", "c"))}
    assert missing["without a"]
    assert missing["only b"]
    assert not missing["all sensors"]
    assert not missing["mean over all masks"]


def test_two_data_sets_on_three_backbones_make_216_cells(build: Any) -> None:
    four = ("accel", "gyro", "audio", "baro")
    where = ("trunk", "branches", "bottleneck")
    few = {"methods": ("dense", "ours"), "seeds": (0, 1, 2)}
    har = build.records(**few, groups={"har": where}, sensors=four)
    digits = build.records(**few, groups={"digits": where})
    study = arrange([*har, *digits])
    assert sum(len(group.cells()) for group in study.groups) == 216
    assert study.missing == ()


def test_dense_is_read_at_ratio_0_whatever_the_cells_ratio(build: Any) -> None:
    group = arrange(build.records(methods=("dense", "ours"))).groups[0]
    assert group.scores("dense", 0.9, [("accel",)], "test") == {Run(seed, seed): 90.0 for seed in range(3)}


def test_mean_over_masks_leaves_a_run_out_when_it_lacks_a_mask(build: Any) -> None:
    records = build.records(methods=("dense", "ours"))
    broken = replace(records[1], rows=tuple(row for row in records[1].rows if row.present != ("gyro",)))
    group = arrange([records[0], broken, *records[2:]]).groups[0]
    runs = group.scores("ours", 0.5, masks_of(group.modalities), "test")
    assert list(runs) == [Run(1, 1), Run(2, 2)]


def test_missing_seed_is_reported_by_name(build: Any) -> None:
    records = [one for one in build.records() if (one.method, one.seed) != ("taylor", 1)]
    assert arrange(records).missing == ("har/trunk/s1/taylor: no record",)


def test_missing_method_is_reported_when_another_backbone_has_it(build: Any) -> None:
    records = build.records(groups={"har": ("trunk", "branches")}, methods=("dense", "ours", "taylor"))
    kept = [one for one in records if (one.backbone, one.method) != ("branches", "taylor")]
    assert arrange(kept).missing == tuple(f"har/branches/s{seed}/taylor: no record" for seed in range(3))


def test_missing_rows_are_counted_and_the_first_is_named(build: Any) -> None:
    records = build.records(methods=("dense", "ours"))
    cut = replace(records[1], rows=tuple(row for row in records[1].rows if row.ratio != 0.75))
    (text,) = arrange([records[0], cut, *records[2:]]).missing
    assert text.startswith("har/trunk/s0/ours: 14 of 56 rows are missing, first val at r = 0.75")


def test_dense_and_ours_are_missed_even_when_nobody_has_them(build: Any) -> None:
    missing = arrange(build.records(methods=("taylor",), seeds=(0, 1, 2))).missing
    assert "har/trunk/s0/dense: no record" in missing
    assert "har/trunk/s2/ours: no record" in missing


def test_too_few_runs_are_reported(build: Any) -> None:
    assert any("2 runs of the 3" in text for text in arrange(build.records(seeds=(0, 1))).missing)


def test_records_are_refused_when_they_contradict_each_other(build: Any) -> None:
    first, second = build.records(methods=("ours",), seeds=(0, 1))
    with pytest.raises(RecordError, match="modalities"):
        arrange([first, replace(second, modalities=("accel", "gyro"))])
    with pytest.raises(RecordError, match="kind"):
        arrange([first, replace(second, kind="trained")])
    with pytest.raises(RecordError, match="two records"):
        arrange([first, first])
