"""The dropout matrix: which sets are averaged, calibration on other frames, conditions."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from worlds import LABELS, random_frames

from sentryfuse_core.boxes import FrameBoxes
from sentryfuse_core.lab.scoring.calibration import Reliability
from sentryfuse_core.lab.scoring.conditions import day_and_night, imu_gains
from sentryfuse_core.lab.scoring.matrix import SEEING, Cell, judge_cell, summarise
from sentryfuse_core.types import Modality, ModalitySet

FRAMES = 40
TRUTH = random_frames(np.random.default_rng(0), frames=FRAMES, most=6)


def found_by(mask: ModalitySet) -> list[FrameBoxes]:
    """The truth, of which more frames are found the more sensors there are; an IMU finds the last ten."""
    known = 8 * len(mask) + 2
    imu = Modality.IMU in mask
    return [
        frame if index < known or (imu and index >= FRAMES - 10) else FrameBoxes.none()
        for index, frame in enumerate(TRUTH)
    ]


def cell(mask: ModalitySet, level: int = 0) -> Cell:
    return judge_cell(str(mask), level, truth=TRUTH, found=found_by(mask), labels=LABELS)


FAIR = Reliability(np.array([0.5]), np.array([0.6]), np.array([10]))
CELLS = {(str(mask), 0): cell(mask) for mask in ModalitySet.subsets()}


def test_twelve_sets_see_when_camera_or_lidar_is_needed() -> None:
    assert len(SEEING) == 12
    assert {str(mask) for mask in ModalitySet.subsets() if mask not in SEEING} == {
        "imu",
        "audio",
        "imu+audio",
    }


def test_summary_averages_the_right_sets_when_all_are_there() -> None:
    found = summarise(CELLS, 0)
    maps = {mask: CELLS[str(mask), 0].metrics.map for mask in ModalitySet.subsets()}
    three = [value for mask, value in maps.items() if len(mask) == 3]
    assert found.all_sensors == maps[ModalitySet.all()]
    assert found.seeing == pytest.approx(np.mean([maps[mask] for mask in SEEING]))
    assert (found.lost_one, found.lost_worst) == (pytest.approx(np.mean(three)), min(three))
    assert found.relative == pytest.approx(found.seeing / found.all_sensors)
    assert math.isnan(found.ece_before)


def test_summary_has_no_mean_when_a_set_is_missing() -> None:
    judged = {key: replace(value, before=FAIR, after=FAIR) for key, value in CELLS.items()}
    assert summarise(judged, 0).ece_before == summarise(judged, 0).ece_after == pytest.approx(0.1)
    some = summarise({key: value for key, value in judged.items() if key[0] != "lidar"}, 0)
    assert all(map(math.isnan, (some.seeing, some.relative, some.ece_before, some.ece_after)))
    assert some.all_sensors == CELLS["camera+lidar+imu+audio", 0].metrics.map


def test_cell_is_calibrated_on_other_frames_when_they_are_given() -> None:
    rng = np.random.default_rng(1)

    def noisy() -> tuple[list[FrameBoxes], list[FrameBoxes]]:
        truth = random_frames(rng, frames=200, most=5)
        wrong = [FrameBoxes(one.boxes + 50.0, one.classes, one.scores) for one in truth]
        found = [right if rng.random() < 0.3 else other for right, other in zip(truth, wrong, strict=True)]
        return truth, found

    truth, found = noisy()
    made = judge_cell("lidar", 0, truth=truth, found=found, labels=LABELS, fitting=noisy())
    assert made.before is not None
    assert made.after is not None
    assert made.after.error < 0.5 * made.before.error
    assert made.to_mapping()["calibrator"].keys() == {"slope", "offset"}


def test_cell_has_no_calibration_when_nothing_claims_to_be_there() -> None:
    faint = [FrameBoxes(one.boxes, one.classes, one.scores * 0.01) for one in TRUTH]
    made = judge_cell("none", 0, truth=TRUTH, found=faint, labels=LABELS, fitting=(TRUTH, faint))
    assert made.before is made.after is made.calibrator is None


def test_day_and_night_differ_when_only_the_first_frames_are_found() -> None:
    day = np.arange(FRAMES) < 10
    found = day_and_night(CELLS, day=day, night=~day, draws=50, seed=0)
    assert {one.what for one in found} == {str(m) for m in ModalitySet.subsets() if Modality.CAMERA in m}
    assert found[0].what == "camera"
    assert found[0].before > found[0].after
    assert found[0].frames == (10, 30)
    two = next(one for one in found if one.what == "camera+lidar")
    assert two.gain.low < two.gain.value < two.gain.high
    assert two.gain.value == pytest.approx(two.after - two.before)


def test_conditions_are_not_compared_when_too_few_frames_show_them() -> None:
    day, few = np.arange(FRAMES) < 10, np.arange(FRAMES) < 9
    assert day_and_night(CELLS, day=~day, night=few, draws=5, seed=0) == []
    assert day_and_night(CELLS, day=few, night=~day, draws=5, seed=0) == []
    assert imu_gains(CELLS, level=0, rough=few, draws=5, seed=0) == []


def test_imu_gains_are_above_zero_when_the_imu_finds_more() -> None:
    rough = np.arange(FRAMES) >= FRAMES - 12
    found = imu_gains(CELLS, level=0, rough=rough, draws=50, seed=0)
    assert found[0].what == "mean of 6"
    assert len(found) == 7
    for one in found:
        assert 0.0 < one.gain.low <= one.gain.value == pytest.approx(one.after - one.before)
    assert imu_gains({}, level=0, rough=rough, draws=50, seed=0) == []
