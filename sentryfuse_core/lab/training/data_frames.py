"""Frames of driving sets as batches of one, with the points and, where asked, the raw data to be spoilt."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from itertools import islice

import torch
from torch import Tensor

from sentryfuse_core.clock import NS_PER_S
from sentryfuse_core.faults.tensors import RawSet
from sentryfuse_core.lab.datasets.driving import Drive, DrivingSet, LabelledFrame, Span, within
from sentryfuse_core.lab.training.data import LabelledBatch
from sentryfuse_core.preprocess.geometry import GEOMETRY
from sentryfuse_core.types import Modality

__all__ = ["batches_of"]

_SEEN_RETURNS = 3  # of the lidar, for a box to be visible to it, as in the synthetic world
_MARGIN = 1.1  # on a labelled box, whose edges are often drawn within the object
_KEPT_S = 2.0  # of what sensors saw before, for those that are late


def batches_of(
    found: DrivingSet,
    *,
    span: Span | None = None,
    age_s: float | None = None,
) -> Iterator[LabelledBatch]:
    """Every frame of every drive, or those of `span`, as a batch of one.

    With `age_s` the raw data is kept, and beside it what camera and lidar saw so long before, or at the
    drive's beginning the oldest there is; where frames have no times there is none.
    """
    for drive in found.drives:
        yield from _of_drive(drive, span, age_s)


def _of_drive(drive: Drive, span: Span | None, age_s: float | None) -> Iterator[LabelledBatch]:
    numbers = within(drive, span)
    past: deque[LabelledFrame] = deque()
    frames = drive.frames()
    # From the first one: attitude is added up, and late sensors show what was before.
    for number, frame in enumerate(islice(frames, numbers.stop)):
        raw = None
        if age_s is not None:
            if not frame.stamp_ns:
                past.clear()  # what is older cannot be told, so that none of it is kept
            past.append(frame)
            while frame.stamp_ns - past[0].stamp_ns > _KEPT_S * NS_PER_S:
                past.popleft()
            of_this_side = [*past][(len(past) - 1) % drive.sides :: drive.sides]
            raw = _raw(frame, _late(of_this_side, frame.stamp_ns - round(age_s * NS_PER_S)))
        if number >= numbers.start:
            yield LabelledBatch(
                frame.inputs,
                frame.boxes,
                frame.classes,
                visible=_visible(frame),
                points=frame.points,
                raw=raw,
                view=drive.view,
            )


def _late(past: Sequence[LabelledFrame], stamp_ns: int) -> LabelledFrame | None:
    """The frame nearest to a moment; None where frames have no times, so that none is known to be older."""
    if not past[-1].stamp_ns:
        return None
    return min(past, key=lambda frame: abs(frame.stamp_ns - stamp_ns))


def _raw(frame: LabelledFrame, late: LabelledFrame | None) -> RawSet:
    return RawSet(
        image=frame.inputs.camera,
        points=frame.points,
        motion=frame.inputs.imu,
        tilt=frame.inputs.tilt,
        pcm=frame.pcm,
        late_image=None if late is None else late.inputs.camera,
        late_points=None if late is None else late.points,
    )


def _visible(frame: LabelledFrame) -> dict[Modality, Tensor]:
    """What each sensor has of every box [1, M]: the camera its bearing, the lidar some points within."""
    there = frame.classes >= 0
    none = torch.zeros_like(there)
    found = dict.fromkeys(Modality, none)
    if frame.inputs.camera is not None and frame.inputs.camera_position is not None:
        ahead, left = (
            frame.boxes[..., axis] - frame.inputs.camera_position[:, axis, None] for axis in (0, 1)
        )
        found[Modality.CAMERA] = there & (left.abs() * GEOMETRY.image_fx <= ahead * GEOMETRY.image_cx)
    if frame.points is not None:
        counts = [_inside(frame.points[0], box) for box in frame.boxes[0]]
        enough = torch.tensor([[count >= _SEEN_RETURNS for count in counts]], dtype=torch.bool)
        found[Modality.LIDAR] = there & enough.view_as(there)
    return found


def _inside(points: Tensor, box: Tensor) -> int:
    """How many of the points [N, 4] lie in a box [7]."""
    moved = points[:, :3] - box[:3]
    sine, cosine = box[6].sin(), box[6].cos()
    along, across = cosine * moved[:, 0] + sine * moved[:, 1], cosine * moved[:, 1] - sine * moved[:, 0]
    offsets = torch.stack((along, across, moved[:, 2]), dim=1).abs()
    return int((offsets <= 0.5 * _MARGIN * box[3:6]).all(dim=1).sum())
