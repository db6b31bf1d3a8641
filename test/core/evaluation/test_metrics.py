"""Detection metrics: equal to nuscenes-devkit's, and what must hold of any average precision."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from worlds import LABELS, random_frames

from sentryfuse_core.boxes import FrameBoxes
from sentryfuse_core.errors import EvaluationError
from sentryfuse_core.evaluation.matching import DISTANCES_M, match_frames
from sentryfuse_core.evaluation.metrics import DetectionMetrics, average_precision, evaluate_detections

GOLDEN = sorted((Path(__file__).parent / "golden").glob("*.json"))
SEEDS = st.integers(0, 10_000)


def pair(seed: int) -> tuple[list[FrameBoxes], list[FrameBoxes]]:
    rng = np.random.default_rng(seed)
    return random_frames(rng, frames=6, most=6), random_frames(rng, frames=6, most=12)


def frames_of(rows: list[dict[str, Any]]) -> list[FrameBoxes]:
    return [
        FrameBoxes(
            np.array(row["boxes"], float).reshape(-1, 7),
            np.array(row["classes"], int),
            np.array(row["scores"], float),
        )
        for row in rows
    ]


def every_ap(metrics: DetectionMetrics) -> list[float]:
    return [ap for own in metrics.ap.values() for ap in own.values()]


def numbers(metrics: DetectionMetrics) -> list[float]:
    return [
        *every_ap(metrics),
        *metrics.ate.values(),
        *metrics.ase.values(),
        *metrics.aoe.values(),
        metrics.nds,
    ]


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_metrics_equal_those_of_the_devkit_when_boxes_are_the_same(path: Path) -> None:
    content = json.loads(path.read_text(encoding="utf-8"))
    expected = content["expected"]
    found = evaluate_detections(
        frames_of(content["truth"]),
        frames_of(content["found"]),
        labels=content["labels"],
        half_turn=content["half_turn"],
    )
    assert found.map == pytest.approx(expected["map"], abs=1e-6)
    for label in content["labels"]:
        for metres in DISTANCES_M:
            assert found.ap[label][metres] == pytest.approx(expected["ap"][label][f"{metres:g}"], abs=1e-6)
        errors = expected["errors"][label]
        assert found.ate[label] == pytest.approx(errors["trans_err"], abs=1e-6)
        assert found.ase[label] == pytest.approx(errors["scale_err"], abs=1e-6)
        assert found.aoe[label] == pytest.approx(errors["orient_err"], abs=1e-6)


def test_golden_values_cover_zero_partial_and_tied_cases_when_all_are_read() -> None:
    found = {path.stem: json.loads(path.read_text(encoding="utf-8"))["expected"] for path in GOLDEN}
    assert set(found) == {"usual", "crowded", "ties", "poor", "gaps"}
    assert found["gaps"]["errors"]["bicycle"]["trans_err"] == 1.0
    assert all(0.05 < case["map"] < 0.9 for name, case in found.items() if name != "poor")
    assert found["poor"]["map"] < 0.05


@given(SEEDS)
def test_metrics_are_perfect_when_detections_are_the_truth(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth = random_frames(rng, frames=12, most=6)
    found = evaluate_detections(truth, truth, labels=LABELS)
    there = {
        label for index, label in enumerate(LABELS) if any((part.classes == index).any() for part in truth)
    }
    for label in there:
        assert list(found.ap[label].values()) == pytest.approx([1.0] * 4)
        assert (found.ate[label], found.aoe[label]) == (0.0, 0.0)
        assert found.ase[label] == pytest.approx(0.0, abs=1e-12)
    if there == set(LABELS):
        assert (found.map, found.nds) == pytest.approx((1.0, 1.0))


@given(SEEDS)
def test_metrics_stay_when_boxes_and_frames_change_places(seed: int) -> None:
    truth, found = pair(seed)
    rng = np.random.default_rng(seed)
    places = rng.permutation(len(truth))
    truth_moved = [truth[i].take(rng.permutation(len(truth[i]))) for i in places]
    found_moved = [found[i].take(rng.permutation(len(found[i]))) for i in places]
    before = evaluate_detections(truth, found, labels=LABELS)
    after = evaluate_detections(truth_moved, found_moved, labels=LABELS)
    assert numbers(after) == pytest.approx(numbers(before), abs=1e-12)


@given(SEEDS, st.integers(0, 5))
def test_precision_never_rises_when_low_false_alarms_are_added(seed: int, frame: int) -> None:
    truth, found = pair(seed)
    far = FrameBoxes(np.array([[99.0, 99.0, 0.0, 1.0, 1.0, 1.0, 0.0]]), np.array([1]), np.array([1e-6]))
    own = found[frame]
    more = list(found)
    more[frame] = FrameBoxes(
        np.concatenate([own.boxes, far.boxes]),
        np.concatenate([own.classes, far.classes]),
        np.concatenate([own.scores, far.scores]),
    )
    before, after = (evaluate_detections(truth, item, labels=LABELS) for item in (found, more))
    assert all(new <= old for new, old in zip(every_ap(after), every_ap(before), strict=True))


@given(SEEDS)
def test_precision_stays_when_scores_are_rescaled(seed: int) -> None:
    truth, found = pair(seed)
    scaled = [FrameBoxes(part.boxes, part.classes, part.scores**3) for part in found]
    before, after = (evaluate_detections(truth, item, labels=LABELS) for item in (found, scaled))
    assert every_ap(after) == every_ap(before)


@given(SEEDS)
def test_matches_use_each_box_at_most_once_when_boxes_are_crowded(seed: int) -> None:
    truth, found = pair(seed)
    matches = match_frames(truth, found, class_count=len(LABELS))
    for column in range(len(DISTANCES_M)):
        hits = matches.hit[:, column]
        for frame in range(matches.frames):
            for label in range(len(LABELS)):
                own = hits & (matches.frame == frame) & (matches.classes == label)
                assert own.sum() <= matches.truth_count[frame, label]
    assert (matches.translation[matches.right] < 2.0).all()
    assert np.isnan(matches.translation[~matches.right]).all()


@given(SEEDS)
def test_weighted_precision_equals_repeated_frames_when_weights_are_whole(seed: int) -> None:
    rng = np.random.default_rng(seed)
    hit, times = rng.random(30) < 0.5, rng.integers(0, 3, 30)
    boxes = float((hit * times).sum()) + 2
    again = np.repeat(hit, times)
    # Repeated rows walk up in steps where a weight jumps, so that only what lies between recalls may differ.
    assert average_precision(hit, boxes, times) == pytest.approx(average_precision(again, boxes), abs=0.06)
    assert average_precision(hit, boxes, np.ones(30)) == average_precision(hit, boxes)


def test_heading_error_is_small_when_half_a_turn_does_not_count() -> None:
    box = np.array([[5.0, 0.0, 0.5, 4.0, 2.0, 1.5, 0.1]])
    truth = [FrameBoxes(box, np.array([0]), np.ones(1))] * 5
    turned = [FrameBoxes(box + math.pi * np.eye(7)[6], np.array([0]), np.full(1, 0.9))] * 5
    assert evaluate_detections(truth, turned, labels=["wall"]).aoe["wall"] == pytest.approx(math.pi)
    half = evaluate_detections(truth, turned, labels=["wall"], half_turn=["wall"])
    assert half.aoe["wall"] == pytest.approx(0.0, abs=1e-9)


def test_metrics_are_zero_and_errors_one_when_nothing_is_found() -> None:
    truth, _ = pair(3)
    found = evaluate_detections(truth, [FrameBoxes.none()] * len(truth), labels=LABELS)
    assert (found.map, found.nds, found.mean_ate, found.mean_ase, found.mean_aoe) == (0.0, 0.0, 1.0, 1.0, 1.0)


def test_metrics_become_json_when_asked_for_plain_values() -> None:
    truth, found = pair(1)
    content = json.loads(json.dumps(evaluate_detections(truth, found, labels=LABELS).to_mapping()))
    assert set(content["ap"]["car"]) == {"0.5", "1", "2", "4"}
    assert content["nds_terms"] == ["map", "ate", "ase", "aoe"]
    assert content["frames"] == 6


def test_evaluation_refuses_when_frames_or_boxes_do_not_fit() -> None:
    truth, found = pair(1)
    with pytest.raises(EvaluationError, match="5 of detections"):
        evaluate_detections(truth, found[:5], labels=LABELS)
    with pytest.raises(EvaluationError, match="not below 2"):
        evaluate_detections(truth, found, labels=LABELS[:2])
    with pytest.raises(EvaluationError, match="not finite"):
        FrameBoxes(np.full((1, 7), np.nan), np.array([0]), np.ones(1))
    with pytest.raises(EvaluationError, match="0 m or less"):
        FrameBoxes(np.zeros((1, 7)), np.array([0]), np.ones(1))
    with pytest.raises(EvaluationError, match="shapes"):
        FrameBoxes(np.ones((2, 7)), np.array([0]), np.ones(1))


@pytest.mark.bench
def test_evaluation_takes_seconds_when_detections_are_75_000() -> None:
    rng = np.random.default_rng(0)
    truth = random_frames(rng, frames=1500, most=9)
    found = random_frames(rng, frames=1500, most=100)
    started_s = time.perf_counter()
    evaluate_detections(truth, found, labels=LABELS)
    assert time.perf_counter() - started_s < 5.0
