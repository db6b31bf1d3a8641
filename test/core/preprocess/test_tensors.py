"""ModelInput says by itself which sensors it holds."""

from __future__ import annotations

import pytest
import torch

from sentryfuse_core.preprocess.tensors import ModelInput
from sentryfuse_core.types import Modality, ModalitySet


def full(batch: int = 2) -> ModelInput:
    """All four sensors."""
    return ModelInput(
        camera=torch.zeros(batch, 3, 128, 384),
        camera_position=torch.zeros(batch, 3),
        camera_seen=torch.ones(batch, 1, 32, 96),
        lidar=torch.zeros(batch, 6, 64, 64),
        imu=torch.zeros(batch, 32, 6),
        audio=torch.zeros(batch, 16, 16),
    )


def test_model_input_keeps_only_the_mask_when_asked() -> None:
    for mask in ModalitySet.subsets():
        part = full().only(mask)
        assert part.present == mask
        assert (part.camera_position is not None) == (Modality.CAMERA in mask)
        assert (part.camera_seen is not None) == (Modality.CAMERA in mask)
    assert len(full().only(ModalitySet()).present) == 0
    assert full().to("cpu").present == ModalitySet.all()


def test_model_input_refuses_when_parts_do_not_fit() -> None:
    with pytest.raises(ValueError, match="camera_position"):
        ModelInput(camera=torch.zeros(1, 3, 128, 384))
    with pytest.raises(ValueError, match="camera_seen is the camera's"):
        ModelInput(camera_seen=torch.ones(1, 1, 32, 96))
    with pytest.raises(ValueError, match="batch sizes differ"):
        ModelInput(lidar=torch.zeros(1, 6, 64, 64), imu=torch.zeros(2, 32, 6))
