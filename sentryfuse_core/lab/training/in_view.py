"""What of the truth is in the camera's view: more is not to be asked of a camera that is alone."""

from __future__ import annotations

import torch
from torch import Tensor

from sentryfuse_core.lab.training.data import LabelledBatch
from sentryfuse_core.preprocess.geometry import GEOMETRY
from sentryfuse_core.preprocess.tensors import SEEN_STRIDE, all_seen
from sentryfuse_core.types import Modality, ModalitySet

__all__ = ["classes_for"]

_ELSEWHERE = ModalitySet.of(Modality.LIDAR, Modality.AUDIO)  # these have something of what lies beside a view
_NEAR_M = 0.5  # a centre closer than this to the image plane is not in view


def classes_for(batch: LabelledBatch, mask: ModalitySet) -> Tensor:
    """The classes [B, M] to learn with the sensors of `mask`; -1: out of the view of a camera alone."""
    inputs = batch.inputs
    if inputs.camera is None or inputs.camera_position is None or Modality.CAMERA not in mask:
        return batch.classes
    if mask & _ELSEWHERE:
        return batch.classes
    seen = all_seen(inputs.camera) if inputs.camera_seen is None else inputs.camera_seen
    columns = (seen > 0.0).any(dim=2).flatten(1)  # [B, W / 4]
    ahead, left = (batch.boxes[..., :2] - inputs.camera_position[:, None, :2]).unbind(-1)
    u = GEOMETRY.image_cx - GEOMETRY.image_fx * left / ahead.clamp_min(_NEAR_M)
    column = (u / SEEN_STRIDE).floor().long()
    inside = (ahead > _NEAR_M) & (column >= 0) & (column < columns.shape[1])
    inside &= columns.gather(1, column.clamp(0, columns.shape[1] - 1))
    return torch.where(inside, batch.classes, -1)
