"""Accuracy of a run: by sensors and level, against the clean run's sets of the same moments."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import results
from builders import MS, S
from results import CAR

from sentryfuse_core.replay.accuracy import accuracy
from sentryfuse_core.replay.records import SetRecord
from sentryfuse_core.replay.truth import NEAR_NS, Truth
from sentryfuse_core.types import Detection, Modality, ModalitySet

CAMERA, LIDAR, IMU, AUDIO = Modality
STAMPS = [100 * S + index * 100 * MS for index in range(10)]


def record(stamp_ns: int, *detections: Detection, used: ModalitySet = results.CAMERA_AND_LIDAR) -> SetRecord:
    return results.record_of(results.result(stamp_ns, used=used, detections=detections))


TRUTH = Truth(STAMPS, [(CAR,)] * len(STAMPS))


def test_accuracy_is_whole_when_every_box_is_found() -> None:
    found = accuracy([record(stamp, CAR) for stamp in STAMPS], TRUTH)
    json.dumps(found, allow_nan=False)
    assert found["sets_scored"] == 10
    assert found["overall"]["map"] == pytest.approx(1.0)
    assert found["overall"]["ate_m"]["mean"] == pytest.approx(0.0)
    assert list(found["masks"]) == ["camera+lidar"]
    assert list(found["levels"]) == ["1"]
    assert "relative_map" not in found["overall"]


def test_accuracy_tells_masks_apart_when_one_of_them_finds_nothing() -> None:
    camera = ModalitySet.of(CAMERA)
    records = [record(stamp, CAR) for stamp in STAMPS[:5]] + [
        record(stamp, used=camera) for stamp in STAMPS[5:]
    ]
    found = accuracy(records, TRUTH, clean=[record(stamp, CAR) for stamp in STAMPS])
    assert found["masks"]["camera"]["map"] == 0.0
    assert found["masks"]["camera"]["relative_map"] == 0.0
    assert found["masks"]["camera+lidar"]["relative_map"] == pytest.approx(1.0)
    assert 0.3 < found["overall"]["relative_map"] < 0.6


def test_accuracy_compares_with_the_clean_sets_of_the_same_moments() -> None:
    clean = [record(stamp, *([CAR] if index < 5 else [])) for index, stamp in enumerate(STAMPS)]
    late = [record(stamp + 30 * MS) for stamp in STAMPS[5:]]
    found = accuracy(late, TRUTH, clean=clean)
    assert found["overall"]["clean_map"] == 0.0
    assert found["overall"]["relative_map"] is None


def test_accuracy_leaves_out_sets_that_no_label_is_near() -> None:
    far = STAMPS[-1] + NEAR_NS + 1
    found = accuracy([record(STAMPS[0], CAR), record(far)], TRUTH)
    assert (found["sets_scored"], found["overall"]["map"]) == (1, pytest.approx(1.0))


def test_accuracy_does_not_count_classes_that_no_label_names() -> None:
    bus = replace(CAR, label="bus", score=1.0)
    assert accuracy([record(stamp, bus, CAR) for stamp in STAMPS], TRUTH)["overall"]["map"] == pytest.approx(
        1.0
    )


def test_accuracy_is_null_when_there_was_nothing_to_find() -> None:
    empty = accuracy([record(STAMPS[0], CAR)], Truth(STAMPS, [()] * len(STAMPS)))
    assert empty["overall"] is None
    assert accuracy([], TRUTH)["overall"] is None
