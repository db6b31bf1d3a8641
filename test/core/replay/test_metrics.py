"""Numbers over many sets: percentiles without what was not measured, coverage, shares."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import results
from builders import MS, S
from hypothesis import given
from hypothesis import strategies as st

from sentryfuse_core.account.latency import PERCENTILES, LatencyWindow, percentiles
from sentryfuse_core.replay.metrics import RunMetrics, output_mapping
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


def test_run_metrics_add_up_and_are_json() -> None:
    metrics = RunMetrics()
    both, camera = ModalitySet.of(CAMERA, LIDAR), ModalitySet.of(CAMERA)
    for index, used in enumerate((both, both, camera)):
        stamp_ns = (100 + index) * S
        metrics.add_stamp(LIDAR, stamp_ns)
        metrics.add(results.result(stamp_ns, used=used), e2e_ms=40.0, step_ms=15.0)
        metrics.add_truth(used, found=1, boxes=2)
    metrics.add_stamp(LIDAR, 103 * S)
    plain = metrics.to_mapping()
    json.dumps(plain, allow_nan=False)
    assert plain["coverage"] == {"anchor": "lidar", "stamps": 4, "sets": 3, "share": 0.75}
    assert plain["masks"] == {"camera": 1, "camera+lidar": 2}
    assert plain["absences"]["lidar"] == {Absence.NEVER.value: 1}
    assert plain["recall_4m"]["camera+lidar"] == {"found": 2, "boxes": 4, "share": 0.5}
    assert plain["longest_gap_between_sets_s"] == 1.0
    assert plain["detections"] == 3


def test_coverage_is_unknown_when_neither_camera_nor_lidar_came() -> None:
    metrics = RunMetrics()
    metrics.add_stamp(AUDIO, S)
    assert metrics.coverage() is None


def test_metrics_of_no_sets_are_json_too() -> None:
    plain = RunMetrics().to_mapping()
    json.dumps(plain, allow_nan=False)
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
