"""The common form of driving sets: drives of labelled frames, as the robot's own preprocessing makes them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

import torch
from torch import Tensor

from sentryfuse_core.preprocess.tensors import ModelInput

__all__ = ["LABELS", "Box", "Drive", "DrivingSet", "LabelledFrame", "labelled"]

LABELS = ("car", "pedestrian", "cyclist")  # the detector's classes, in the order of their numbers


@dataclass(frozen=True)
class Box:
    """One labelled object in the base frame: centre and size in m, yaw in rad about z (up)."""

    label: str
    x: float
    y: float
    z: float
    length: float
    width: float
    height: float
    yaw: float


@dataclass(frozen=True, eq=False)
class LabelledFrame:
    """One moment of a drive: inputs of batch 1, and its M boxes."""

    inputs: ModelInput
    boxes: Tensor  # [1, M, 7] x, y, z, l, w, h in m, yaw in rad; base frame
    classes: Tensor  # [1, M] int64, index into LABELS


@dataclass(frozen=True, eq=False)
class Drive:
    """Consecutive frames of one recording; `frames` makes them anew, in the order of time, at every call.

    In order, because roll and pitch are added up from the gyroscope over the frames, as on the robot.
    """

    name: str
    split: str  # train or val where the set says so, else empty
    files: Sequence[Path]  # what the frames are made of
    length: int  # frames, at most
    frames: Callable[[], Iterator[LabelledFrame]]


@dataclass(frozen=True, eq=False)
class DrivingSet:
    """What was found in a folder; `notes` say what was left out and assumed."""

    layout: str
    root: Path
    drives: tuple[Drive, ...]
    notes: tuple[str, ...] = ()


def labelled(inputs: ModelInput, boxes: Sequence[Box]) -> LabelledFrame:
    """A frame with these boxes."""
    rows = [astuple(box)[1:] for box in boxes]
    return LabelledFrame(
        inputs,
        torch.tensor(rows, dtype=torch.float32).view(1, -1, 7),
        torch.tensor([[LABELS.index(box.label) for box in boxes]], dtype=torch.int64),
    )
