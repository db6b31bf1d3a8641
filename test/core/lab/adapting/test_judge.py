"""Judging: agreement leaves out what is in doubt, and a gain has to be one for every set of sensors."""

from __future__ import annotations

import numpy as np
import pytest

from sentryfuse_core.boxes import FrameBoxes
from sentryfuse_core.lab.adapting.judge import Change, agrees, gained, judged_sets
from sentryfuse_core.lab.training.targets import UNSURE
from sentryfuse_core.types import Modality, ModalitySet

LABELS = ("car", "pedestrian", "cyclist")
CAMERA, LIDAR, IMU = (ModalitySet.of(one) for one in (Modality.CAMERA, Modality.LIDAR, Modality.IMU))


def frame(*rows: tuple[float, float, int, float]) -> FrameBoxes:
    """Boxes by x, y, class and score."""
    boxes = np.array([(x, y, 0.8, 4.0, 1.8, 1.5, 0.0) for x, y, _, _ in rows]).reshape(-1, 7)
    return FrameBoxes(boxes, np.array([row[2] for row in rows], int), np.array([row[3] for row in rows]))


def test_agreement_is_whole_when_only_a_doubtful_box_has_a_detection_too_much() -> None:
    lesson = frame((10.0, 0.0, 0, 0.9), (20.0, 5.0, UNSURE, 0.2))
    assert agrees([lesson], [frame((10.0, 0.0, 0, 0.8), (20.5, 5.0, 0, 0.9))], LABELS).map == pytest.approx(
        1.0
    )
    lesson = frame((10.0, 0.0, 0, 0.9))
    assert agrees([lesson], [frame((10.0, 0.0, 0, 0.8), (20.5, 5.0, 0, 0.9))], LABELS).map < 0.6


def test_agreement_counts_a_detection_by_the_sure_box_when_a_doubtful_one_is_further_off() -> None:
    lesson = frame((10.0, 0.0, 0, 0.9), (11.5, 0.0, UNSURE, 0.2))
    assert agrees([lesson], [frame((10.2, 0.0, 0, 0.8))], LABELS).map == pytest.approx(1.0)


def test_agreement_is_none_when_the_teacher_is_sure_of_nothing() -> None:
    assert agrees([frame((10.0, 0.0, UNSURE, 0.2))], [frame((10.0, 0.0, 0, 0.8))], LABELS).map == 0.0


def test_agreement_is_over_the_classes_that_are_taught() -> None:
    lesson = frame((10.0, 0.0, 2, 0.9))
    assert agrees([lesson], [frame((10.0, 0.0, 2, 0.8), (20.0, 0.0, 1, 0.9))], LABELS).map == pytest.approx(
        1.0
    )


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ([(CAMERA, 0.1, 0.3), (LIDAR, 0.5, 0.495)], True),
        ([(CAMERA, 0.1, 0.3), (LIDAR, 0.5, 0.48)], False),
        ([(CAMERA, 0.1, 0.1), (LIDAR, 0.5, 0.5)], False),
        ([(CAMERA, 0.1, 0.1), (LIDAR, 0.5, 0.499)], False),
    ],
)
def test_weights_have_gained_when_the_mean_rises_and_none_loses_a_point(
    changes: list[tuple[ModalitySet, float, float]], expected: bool
) -> None:
    assert gained([Change(*change) for change in changes]) is expected


def test_judged_are_camera_and_lidar_alone_and_all_that_is_there() -> None:
    everything = CAMERA | LIDAR | IMU
    assert judged_sets(everything) == (CAMERA, LIDAR, everything)
    assert judged_sets(LIDAR) == (LIDAR,)
