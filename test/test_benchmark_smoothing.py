"""The benchmark of smoothed boxes: what it smooths, and how it measures calibration."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.smoothing import figures, miscalibration, smoothed
from sentryfuse_core.boxes import FrameBoxes
from sentryfuse_core.evaluation.motion import Crowd
from sentryfuse_core.lab.scoring.track_drives import TrackDrive
from sentryfuse_core.planar import EgoStep
from sentryfuse_core.types import ModalitySet

ALL = ModalitySet.all()
SETS = 20


def frame(score: float, *, length: float = 4.4) -> FrameBoxes:
    """A car that stands 10 m ahead."""
    return FrameBoxes(
        np.array([[10.0, 2.0, 0.8, length, 1.8, 1.5, 0.0]]), np.zeros(1, np.int64), np.array([score])
    )


def drive() -> TrackDrive:
    """It is found in every set, once with doubts and too long."""
    found = [frame(0.9)] * SETS
    found[-1] = frame(0.2, length=8.0)
    nobody = Crowd(
        np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros((0, 2)), np.zeros((0, 2)), np.zeros(0)
    )
    return TrackDrive(
        truth=[nobody] * SETS, boxes=[frame(1.0)] * SETS, found={ALL: found}, steps=[EgoStep()] * SETS
    )


def test_doubtful_box_gets_the_score_and_size_of_its_track() -> None:
    last = smoothed(drive(), ALL, labels=("car",), recall=lambda _: (0.9,))[-1]
    assert 0.5 < last.scores[0] < 0.9
    assert 4.4 < last.boxes[0, 3] < 6.0
    assert last.boxes[0, :3].tolist() == [10.0, 2.0, 0.8]


def test_figures_have_both_kinds_of_boxes_beside_each_other() -> None:
    rows = figures([drive()], ALL, labels=("car",), recall=lambda _: (0.9,))
    own, smooth = rows[:3], rows[3:]
    assert [row.what for row in smooth] == [row.what.replace("of themselves", "smoothed") for row in own]
    assert own[0].measured == pytest.approx(100.0)
    assert smooth[1].measured < own[1].measured  # of scale


def test_miscalibration_is_how_far_scores_are_from_the_share_that_is_right() -> None:
    truth, found = [frame(1.0)] * 10, [frame(0.7)] * 10
    assert miscalibration(truth, found, class_count=1) == pytest.approx(0.3)
    nowhere = [FrameBoxes.none()] * 10
    assert miscalibration(nowhere, found, class_count=1) == pytest.approx(0.7)
