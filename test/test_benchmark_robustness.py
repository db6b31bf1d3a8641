"""Accuracy under moved stamps: sets are held against the boxes of the moment they are of."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from results import set_record

from benchmarks.robustness import at_true_times, compare, figures_of
from sentryfuse_core.clock import NS_PER_S
from sentryfuse_core.faults.scenario import Event, Scenario
from sentryfuse_core.replay.records import SetRecord
from sentryfuse_core.replay.truth import Truth
from sentryfuse_core.types import Detection

PERIOD_NS = NS_PER_S // 10
LAG_NS = 30_000_000  # of the anchor, from stamp to arrival


def record(index: int, *, wait_ms: float = 20.0) -> SetRecord:
    """The set of a car that is found a metre further on from set to set."""
    stamp_ns = (100 + index) * PERIOD_NS
    return set_record(
        stamp_ns,
        sequence=index,
        released_ns=stamp_ns + LAG_NS + round(wait_ms * 1e6),
        wait_ms=wait_ms,
        detections=(Detection("car", 0, 0.9, 5.0 + index, 0.0, 0.8, 4.0, 1.8, 1.5, 0.0),),
    )


CLEAN = [record(index) for index in range(20)]
TRUTH = Truth([item.stamp_ns for item in CLEAN], [item.detections for item in CLEAN])


def test_sets_get_their_true_times_when_stamps_were_moved_and_waits_differ() -> None:
    moved = [replace(record(index, wait_ms=3.0 * index), stamp_ns=index) for index in range(20)]
    found = [item.stamp_ns for item in at_true_times(moved, CLEAN)]
    assert found == [item.stamp_ns for item in CLEAN]


def test_accuracy_is_that_of_the_clean_sets_when_only_stamps_are_moved() -> None:
    story = Scenario("looped", 0, 2.0, events=(Event(0.2, 1.5, "all", "loop", {"length_s": 0.5}),))
    looped = [replace(item, stamp_ns=item.stamp_ns - NS_PER_S // 2) for item in CLEAN]
    values = compare(story, [(Path("drive"), TRUTH)], [looped], [CLEAN])
    assert values["clean_map"] > 0.9
    assert values["map"] == values["clean_map"]
    assert [row.measured for row in figures_of("looped", values)] == [100 * values["map"], 100.0]
