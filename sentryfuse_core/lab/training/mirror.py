"""Left and right exchanged in frames of any set of sensors: twice as many frames from one recording."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields

import torch
from torch import Tensor

from sentryfuse_core.faults.tensors import RawSet
from sentryfuse_core.lab.training.data import LabelledBatch
from sentryfuse_core.preprocess.tensors import ModelInput

__all__ = ["mirror"]

_SIGNS = {
    "camera_position": (1.0, -1.0, 1.0),
    "imu": (-1.0, 1.0, -1.0, 1.0, -1.0, 1.0),  # rotation about x and z and acceleration along y change sign
    "tilt": (-1.0, 1.0),  # roll does
}
_ACROSS = {"camera": 3, "camera_seen": 3, "lidar": 3, "audio": 1}  # the axis that runs from left to right
_RAW_ACROSS = {"image": 3, "late_image": 3, "pcm": 1}
_POINT = (1.0, -1.0, 1.0, 1.0)
_RAW_SIGNS = {"points": _POINT, "late_points": _POINT, "motion": _SIGNS["imu"], "tilt": _SIGNS["tilt"]}
_BOX = (1.0, -1.0, 1.0, 1.0, 1.0, 1.0, -1.0)


def mirror(batch: LabelledBatch, chosen: Tensor) -> LabelledBatch:
    """Exchange left and right in the rows where `chosen` [B] is true; absent sensors stay absent."""

    def pick(turned: Tensor, straight: Tensor) -> Tensor:
        return torch.where(chosen.view(-1, *[1] * (straight.ndim - 1)), turned, straight)

    def turn(name: str, item: Tensor) -> Tensor:
        if name == "quality":  # knows no side
            return item
        return item.flip(_ACROSS[name]) if name in _ACROSS else item * item.new_tensor(_SIGNS[name])

    given = ((field.name, getattr(batch.inputs, field.name)) for field in fields(ModelInput))
    inputs = {name: None if item is None else pick(turn(name, item), item) for name, item in given}
    boxes = pick(batch.boxes * batch.boxes.new_tensor(_BOX), batch.boxes)
    attitude = None if batch.attitude is None else pick(turn("tilt", batch.attitude), batch.attitude)
    raw = None if batch.raw is None else _mirrored(batch.raw, pick)
    known = None if batch.known is None else pick(batch.known.flip(2), batch.known)
    return LabelledBatch(ModelInput(**inputs), boxes, batch.classes, attitude=attitude, raw=raw, known=known)


def _mirrored(raw: RawSet, pick: Callable[[Tensor, Tensor], Tensor]) -> RawSet:
    given = {name: item for name, item in vars(raw).items() if item is not None}
    for name, item in given.items():
        if name in _RAW_ACROSS:
            given[name] = pick(item.flip(_RAW_ACROSS[name]), item)
        else:
            given[name] = pick(item * item.new_tensor(_RAW_SIGNS[name]), item)
    return RawSet(**given)
