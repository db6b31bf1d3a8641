"""Inputs of zeros, for warming up, measuring and tracing."""

from __future__ import annotations

import torch

from sentryfuse_core.preprocess.geometry import GEOMETRY, Geometry
from sentryfuse_core.preprocess.tensors import ModelInput

__all__ = ["blank_input"]


def blank_input(geometry: Geometry = GEOMETRY, *, batch: int = 1) -> ModelInput:
    """Zeros of every sensor's shape, for warming up and measuring."""
    return ModelInput(
        camera=torch.zeros(batch, 3, geometry.image_height, geometry.image_width),
        camera_position=torch.zeros(batch, 3),
        lidar=torch.zeros(batch, geometry.pillar_channels, geometry.pillar_cells, geometry.pillar_cells),
        imu=torch.zeros(batch, geometry.imu_steps, 6),
        tilt=torch.zeros(batch, 2),
        audio=torch.zeros(batch, geometry.audio_bearings, geometry.audio_features),
    )
