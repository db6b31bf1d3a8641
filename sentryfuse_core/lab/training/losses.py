"""Losses: focal for centres, L1 for boxes, and a light pull of the narrow network to the wide one."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from sentryfuse_core.lab.training.targets import Targets
from sentryfuse_core.lab.training.view_targets import ViewTargets
from sentryfuse_core.model.features import CameraView
from sentryfuse_core.model.heads import HeadOutput

__all__ = [
    "detection_loss",
    "distillation_loss",
    "evidence_loss",
    "frame_losses",
    "horizon_loss",
    "view_loss",
]

_BOX_WEIGHT = 0.5
_FOOT_WEIGHT = 0.04  # of a row
_COLUMN_WEIGHT = 0.1
_TILT_WEIGHT = 20.0  # of a rad


def detection_loss(output: HeadOutput, targets: Targets) -> Tensor:
    """Penalty-reduced focal loss (CenterNet, arXiv 1904.07850) plus L1 of the boxes, for each box: []."""
    focal = (_focal_terms(output.heatmap, targets.heatmap) * targets.known).sum()
    error = (output.boxes - targets.boxes).abs().sum(dim=1)
    boxes = (error * targets.weight).sum() / targets.weight.sum().clamp_min(1.0)
    return focal / targets.count + _BOX_WEIGHT * boxes


def frame_losses(output: HeadOutput, targets: Targets) -> Tensor:
    """What each frame adds to `detection_loss`, so that their mean is it: [B]."""
    chance = (_focal_terms(output.heatmap, targets.heatmap) * targets.known).flatten(1).sum(dim=1)
    error = (output.boxes - targets.boxes).abs().sum(dim=1)
    boxes = (error * targets.weight).flatten(1).sum(dim=1)
    size = len(chance)
    total: Tensor = size * (
        chance / targets.count + _BOX_WEIGHT * boxes / targets.weight.sum().clamp_min(1.0)
    )
    return total


def evidence_loss(output: HeadOutput, targets: Targets) -> Tensor:
    """The focal loss of each sensor's own map of centres of any class, for each box: []."""
    aim = targets.heatmap.amax(dim=1, keepdim=True)
    losses = [(_focal_terms(logits, aim) * targets.known).sum() for logits in output.evidence.values()]
    return torch.stack(losses).sum() / targets.count if losses else output.heatmap.new_zeros(())


def view_loss(view: CameraView, targets: ViewTargets) -> Tensor:
    """What the camera's pixels say of boxes, for each box: [].

    Focal loss of the boxes' middles in the image, cross-entropy of their distance, L1 of their feet's rows.
    """
    bins = targets.distance.shape[1]
    cross = -(functional.log_softmax(view.look[:, :bins], dim=1) * targets.distance).sum(dim=1)
    placed = (cross + _FOOT_WEIGHT * (view.foot - targets.foot).abs()) * targets.weight
    middles = _focal_terms(view.look[:, bins:], targets.heatmap) * targets.known
    if view.shown is not None:  # nobody can tell what stands where nothing is seen
        placed, middles = placed * view.shown, middles * view.shown[:, None]
    return (middles.sum() + placed.sum()) / targets.count


def horizon_loss(view: CameraView, rows: Tensor, attitude: Tensor) -> Tensor:
    """Cross-entropy of the columns to the true `rows` [B, h, w] of the horizon, plus L1 of the tilt: [].

    `attitude` [B, 2] is the true roll and pitch in rad.
    """
    aim = rows if view.shown is None else rows * view.shown
    cross = -(aim * view.horizon).sum(dim=1).mean()
    return _COLUMN_WEIGHT * cross + _TILT_WEIGHT * (view.tilt - attitude).abs().sum(dim=1).mean()


def _focal_terms(logits: Tensor, aim: Tensor) -> Tensor:
    chance = logits.sigmoid()
    positive = functional.logsigmoid(logits) * (1 - chance) ** 2
    negative = functional.logsigmoid(-logits) * chance**2 * (1 - aim) ** 4
    return -torch.where(aim >= 1.0, positive, negative)


def distillation_loss(student: HeadOutput, teacher: HeadOutput, targets: Targets) -> Tensor:
    """Cross-entropy of the student's heat map to the teacher's, above its minimum, for each box: []."""
    aim = teacher.heatmap.detach()
    cross = functional.binary_cross_entropy_with_logits(student.heatmap, aim.sigmoid(), reduction="sum")
    least = functional.binary_cross_entropy_with_logits(aim, aim.sigmoid(), reduction="sum")
    return (cross - least) / targets.count
