"""What detections say of their sensors, held against what the sensors had."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from networks import TINY, labelled

from sentryfuse_core.errors import EvaluationError
from sentryfuse_core.lab.training.data import LabelledBatch
from sentryfuse_core.lab.training.support import LEAST_SCORE, SupportCounter
from sentryfuse_core.model.heads import Peaks
from sentryfuse_core.model.network import SentryFuseNet
from sentryfuse_core.types import Modality

CAMERA, LIDAR = Modality.CAMERA.bit, Modality.LIDAR.bit


def three_boxes() -> LabelledBatch:
    """One frame: the camera has the first two boxes, the lidar the last two."""
    boxes = torch.tensor([[[x, 0.0, 1.0, 4.0, 2.0, 1.5, 0.0] for x in (5.0, 15.0, 25.0)]])
    classes = torch.zeros((1, 3), dtype=torch.long)
    visible = {
        Modality.CAMERA: torch.tensor([[True, True, False]]),
        Modality.LIDAR: torch.tensor([[False, True, True]]),
    }
    return LabelledBatch(labelled(batch=1).inputs, boxes, classes, None, visible)


def peaks(*rows: tuple[float, float, int]) -> Peaks:
    """Cars at x (m) with a score and the bits of their supporters."""
    boxes = torch.tensor([[[x, 0.5, 1.0, 4.0, 2.0, 1.5, 0.0] for x, _, _ in rows]])
    scores = torch.tensor([[score for _, score, _ in rows]])
    support = torch.tensor([[bits for _, _, bits in rows]])
    return Peaks(scores, torch.zeros_like(support), boxes, support)


def counted(found: Peaks, batch: LabelledBatch) -> SupportCounter:
    counter = SupportCounter(SentryFuseNet(TINY))
    counter.count(found, batch)
    return counter


def test_support_counts_what_was_named_when_sensors_had_it_or_not() -> None:
    counter = counted(peaks((5, 0.9, CAMERA | LIDAR), (15, 0.8, LIDAR), (25, 0.7, LIDAR)), three_boxes())
    camera, lidar = counter.sensors
    assert (camera.named_had, camera.named_only, camera.had_only) == (1, 0, 1)
    assert (lidar.named_had, lidar.named_only, lidar.had_only) == (2, 1, 0)
    assert (camera.precision, camera.recall) == (1.0, 0.5)
    assert lidar.precision == pytest.approx(2 / 3)


def test_support_takes_the_best_within_two_metres_when_several_are_near() -> None:
    counter = counted(peaks((5.1, 0.4, LIDAR), (6.5, 0.9, CAMERA), (7.5, 0.95, LIDAR)), three_boxes())
    camera, lidar = counter.sensors
    assert (camera.named_had, lidar.named_only) == (1, 0)


def test_support_tells_right_from_wrong_when_supporters_differ() -> None:
    found = peaks((5, 0.9, CAMERA | LIDAR), (15, 0.9, CAMERA), (30, 0.9, CAMERA), (10, 0.9, 0))
    rows = {row.sensors: (row.detections, row.right) for row in counted(found, three_boxes()).supporters}
    assert rows == {0: (1, 0), 1: (2, 1), 2: (1, 1)}


def test_support_leaves_out_what_no_robot_would_hear_of_when_scores_are_low() -> None:
    counter = counted(peaks((5, LEAST_SCORE / 2, CAMERA)), three_boxes())
    assert counter.supporters == ()
    assert [one.recall for one in counter.sensors] == pytest.approx([float("nan")] * 2, nan_ok=True)


def test_support_raises_when_frames_do_not_say_what_sensors_saw() -> None:
    with pytest.raises(EvaluationError, match="synthetic world"):
        counted(peaks((5, 0.9, CAMERA)), replace(three_boxes(), visible=None))
