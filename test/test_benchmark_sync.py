"""The benchmark of time and trust runs, visits what it says and judges by the truth."""

from __future__ import annotations

import math

import pytest

from benchmarks.sync import ROWS, measure, table
from benchmarks.sync_streams import NS, RIG, START_NS, Drive, samples
from sentryfuse_core.types import Modality, Sample

FAST = [name for name in ROWS if name not in {"memory", "one_lost", "any_subset"}]


@pytest.fixture(scope="module")
def streams() -> list[Sample]:
    return list(samples(RIG, 3.0, seed=1))


def test_streams_are_those_of_the_rig_when_simulated(streams: list[Sample]) -> None:
    arrivals_ns = [item.arrival_ns for item in streams]
    assert arrivals_ns == sorted(arrivals_ns)
    for modality, source in RIG.items():
        mine = [item for item in streams if item.modality is modality]
        assert len(mine) == pytest.approx(3.0 * source.rate_hz, abs=1)
        assert all(item.arrival_ns - item.stamp_ns >= source.lag_s * NS for item in mine)
        assert all(item.fingerprint == item.stamp_ns for item in mine)


def test_streams_repeat_when_the_seed_does(streams: list[Sample]) -> None:
    again = list(samples(RIG, 3.0, seed=1))
    other = list(samples(RIG, 3.0, seed=2))
    assert [item.stamp_ns for item in again] == [item.stamp_ns for item in streams]
    assert [item.stamp_ns for item in other] != [item.stamp_ns for item in streams]


def test_drive_releases_at_the_deadline_when_a_stream_falls_silent() -> None:
    drive = Drive().play(samples(RIG, 3.0, seed=1, alive={Modality.CAMERA: lambda at_s: at_s < 2.0}))
    dead = [item for item in drive.sets if item.stamp_ns > START_NS + round(2.05 * NS)]
    longest_ns = max(item.wait_ns for item in dead)
    assert longest_ns == round(drive.config.sync.max_wait_s * NS)
    assert drive.lost_at_ns(Modality.CAMERA) is not None


def test_every_row_says_a_number_when_measured_small() -> None:
    found = measure(FAST, None, quick=True)
    rows = [row for item in found.values() for row in item.figures]
    assert [row.what for row in rows if math.isnan(row.measured)] == []
    assert all(any(row.target is not None for row in item.figures) for item in found.values())
    assert all(f"{name}: " in table(found) for name in FAST)
    assert "message_filters: unbounded" in table(found)


def test_all_masks_are_visited_without_duplicates_when_subsets_are_lost() -> None:
    found = measure(["any_subset"], None, quick=True)["any_subset"]
    assert isinstance(found.raw, dict)
    assert found.raw["masks"] == 15
    by_name = {row.what.rpartition(": ")[2]: row for row in found.figures}
    assert by_name["duplicates"].measured == 0
    assert by_name["sets out of order"].measured == 0
