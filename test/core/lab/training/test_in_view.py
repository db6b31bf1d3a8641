"""What a camera alone is asked for: boxes within its view, and not more."""

from __future__ import annotations

import torch

from sentryfuse_core.lab.training.data import LabelledBatch
from sentryfuse_core.lab.training.in_view import classes_for
from sentryfuse_core.preprocess.tensors import ModelInput
from sentryfuse_core.types import Modality, ModalitySet

CAMERA = ModalitySet.of(Modality.CAMERA)


def batch(seen: torch.Tensor | None) -> LabelledBatch:
    """Boxes 10 m ahead, 5 m to the left and to the right of that, and 2 m behind the camera."""
    places = [[10.0, 0.0], [10.0, 5.0], [10.0, -5.0], [-2.0, 0.0]]
    boxes = torch.zeros(1, 4, 7)
    boxes[0, :, :2] = torch.tensor(places)
    inputs = ModelInput(
        camera=torch.zeros(1, 3, 128, 384), camera_position=torch.zeros(1, 3), camera_seen=seen
    )
    return LabelledBatch(inputs, boxes, torch.tensor([[0, 1, 2, 0]]))


def test_classes_are_those_in_view_when_the_camera_is_alone() -> None:
    right_half = torch.zeros(1, 1, 32, 96)
    right_half[..., 47:] = 1.0
    assert classes_for(batch(right_half), CAMERA).tolist() == [[0, -1, 2, -1]]
    assert classes_for(batch(None), CAMERA).tolist() == [[0, 1, 2, -1]]


def test_classes_are_all_when_another_sensor_perceives() -> None:
    with_lidar = CAMERA | ModalitySet.of(Modality.LIDAR)
    assert classes_for(batch(torch.zeros(1, 1, 32, 96)), with_lidar).tolist() == [[0, 1, 2, 0]]
