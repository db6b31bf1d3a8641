"""Numbers over many sets: percentiles without what was not measured, coverage, shares."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import results
from builders import MS, S
from hypothesis import given
from hypothesis import strategies as st
from results import CAR

from sentryfuse_core.account.latency import PERCENTILES, LatencyWindow, percentiles
from sentryfuse_core.account.upkeep import Upkeep
from sentryfuse_core.config import Config
from sentryfuse_core.replay.metrics import output_mapping, totals
from sentryfuse_core.replay.truth import Truth
from sentryfuse_core.types import Absence, Modality, ModalitySet

CAMERA, LIDAR, IMU, AUDIO = Modality


@given(st.lists(st.floats(0.0, 1e6), min_size=1))
def test_percentiles_rise_and_end_at_the_maximum(values: list[float]) -> None:
    found = percentiles(values)
    assert list(found) == list(PERCENTILES)
    assert list(found.values()) == sorted(found.values())
    assert found["max"] == max(values)
    assert found["p50"] == pytest.approx(float(np.median(values)))


def test_percentiles_leave_out_what_is_not_a_number() -> None:
    assert percentiles([1.0, math.nan, 3.0])["max"] == 3.0
    assert all(math.isnan(value) for value in percentiles([math.nan]).values())


def test_window_counts_only_what_it_still_holds() -> None:
    window = LatencyWindow(1.0)
    window.add(0, {"e2e": 9.0}, missed=True)
    window.add(S, {"e2e": 1.0}, missed=False)
    assert (len(window), window.deadline_miss) == (2, 0.5)
    window.add(S + MS, {"e2e": 2.0}, missed=False)
    assert (len(window), window.deadline_miss, window.stage("e2e")["max"]) == (2, 0.0, 2.0)


def test_windows_hold_the_newest_alone_when_time_stands_still() -> None:
    """As with use_sim_time and a /clock that does not move: nothing is ever old enough to be forgotten."""
    window, upkeep = LatencyWindow(1.0), Upkeep(Config())
    for index in range(5_000):
        window.add(0, {"e2e": 5_000.0 - index}, missed=index < 4_000)
        upkeep.handled(0, skipped=1, published=True)
    assert (len(window), window.deadline_miss, window.stage("e2e")["max"]) == (100, 0.0, 100.0)
    assert upkeep.values(0)["skipped"] == 5_000
    assert upkeep.values(0)["sets_per_s"] == 2_000.0, "of the thousand newest, each after one skipped"


def test_totals_add_up_and_are_json() -> None:
    both, camera = ModalitySet.of(CAMERA, LIDAR), ModalitySet.of(CAMERA)
    stamps = [(100 + index) * S for index in range(4)]
    found = [
        results.record_of(results.result(stamp_ns, used=used))
        for stamp_ns, used in zip(stamps, (both, both, camera), strict=False)
    ]
    truth = Truth(stamps, [(CAR, replace(CAR, x=25.0))] * len(stamps))
    plain = totals(found, stamps={LIDAR: set(stamps)}, steps_ms=[15.0] * 3, truth=truth)
    json.dumps(plain, allow_nan=False)
    assert plain["latency_ms"]["e2e"]["p50"] == 40.0
    assert plain["latency_ms"]["step"]["max"] == 15.0
    assert plain["coverage"] == {"anchor": "lidar", "stamps": 4, "sets": 3, "share": 0.75}
    assert plain["masks"] == {"camera": 1, "camera+lidar": 2}
    assert plain["absences"]["lidar"] == {Absence.NEVER.value: 1}
    assert plain["recall_4m"]["camera+lidar"] == {"found": 2, "boxes": 4, "share": 0.5}
    assert plain["longest_gap_between_sets_s"] == 1.0
    assert plain["detections"] == 3


def test_totals_of_no_sets_are_json_too() -> None:
    plain = totals([], stamps={LIDAR: set()}, steps_ms=[], truth=None)
    json.dumps(plain, allow_nan=False)
    assert plain["coverage"] is None  # neither camera nor lidar came
    assert plain["latency_ms"]["infer"]["p50"] is None


def test_output_covers_the_time_that_each_set_holds() -> None:
    found = output_mapping([0, S, 2 * S, 5 * S], start_ns=0, end_ns=6 * S, holds_ns=S)
    assert found == {"share": pytest.approx(4 / 6, abs=1e-6), "longest_silence_s": 3.0}


def test_output_counts_silence_at_both_ends_when_sets_come_late_and_stop_early() -> None:
    assert output_mapping([4 * S], start_ns=0, end_ns=10 * S, holds_ns=S) == {
        "share": 0.1,
        "longest_silence_s": 6.0,
    }
    assert output_mapping([], start_ns=0, end_ns=S, holds_ns=S)["share"] == 0.0
    assert output_mapping([], start_ns=0, end_ns=0, holds_ns=S)["share"] is None
