"""The common form of driving sets: drives of labelled frames, as the robot's own preprocessing makes them."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import astuple, dataclass, field, replace
from functools import partial
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor

from sentryfuse_core.errors import DatasetError
from sentryfuse_core.lab.datasets.view import EVERYWHERE, View
from sentryfuse_core.lab.datasets.vocabulary import LABELS
from sentryfuse_core.planar import EgoStep
from sentryfuse_core.preprocess.tensors import ModelInput
from sentryfuse_core.tracking.tracker import STANDING
from sentryfuse_core.types import ModalitySet

__all__ = [
    "CUT",
    "LABELS",
    "VAL_SHARE",
    "Box",
    "Drive",
    "DrivingSet",
    "LabelledFrame",
    "Span",
    "labelled",
    "only_frames",
    "split_drives",
    "within",
]

Span = tuple[int, int]  # the first moment of each drive and the last, both counted from 0
CUT = "cut"  # a split: of a single drive, the end validates
VAL_SHARE = 0.2


@dataclass(frozen=True)
class Box:
    """One labelled object in the base frame: centre and size in m, yaw in rad about z (up).

    Raises ValueError for what is no box, as a set has where it knows nothing of a region.
    """

    label: str
    x: float
    y: float
    z: float
    length: float
    width: float
    height: float
    yaw: float

    def __post_init__(self) -> None:
        numbers = astuple(self)[1:]
        if not all(map(math.isfinite, numbers)) or min(self.length, self.width, self.height) <= 0.0:
            raise ValueError(f"a box of {', '.join(f'{number:g}' for number in numbers)} is none")


@dataclass(frozen=True, eq=False)
class LabelledFrame:
    """One moment of a drive, ahead or to one side: inputs of batch 1, and its M boxes."""

    inputs: ModelInput
    boxes: Tensor  # [1, M, 7] x, y, z, l, w, h in m, yaw in rad; base frame, or that of the side looked to
    classes: Tensor  # [1, M] int64, index into the set's labels
    stamp_ns: int = 0
    points: Tensor | None = None  # [1, N, 4] of the lidar at the stamp, where the boxes are; intensity 0..1
    pcm: Tensor | None = None  # [1, C, S] what was heard
    way: EgoStep = STANDING  # of the base since the moment before, in the axes of the boxes
    over_ground: bool = False  # whether `way` tells more than the turn


@dataclass(frozen=True, eq=False)
class Drive:
    """Consecutive frames of one recording; `frames` makes them anew, in the order of time, at every call.

    In order, because roll and pitch are added up from the gyroscope over the frames, as on the robot.
    """

    name: str
    split: str  # train, val or CUT where it is known, else empty
    files: Sequence[Path]  # what the frames are made of
    length: int  # frames, as far as is known before they are made
    frames: Callable[[], Iterator[LabelledFrame]]
    view: View = EVERYWHERE  # where everything is labelled
    labelled: bool = True
    sensors: ModalitySet = field(default_factory=ModalitySet.all)  # some frame has at most, others have less
    sides: int = 1  # frames of each moment, next to each other: it is never parted
    part: range | None = None  # numbers of its moments in what it is a part of; None: it is whole


@dataclass(frozen=True, eq=False)
class DrivingSet:
    """What was found in a folder; `notes` say what was left out and assumed."""

    layout: str
    root: Path
    drives: tuple[Drive, ...]
    notes: tuple[str, ...] = ()
    labels: tuple[str, ...] = LABELS  # of the classes, by number


def labelled(
    inputs: ModelInput,
    boxes: Sequence[Box],
    *,
    labels: Sequence[str] = LABELS,
    stamp_ns: int = 0,
    points: Tensor | None = None,
    pcm: Tensor | None = None,
) -> LabelledFrame:
    """A frame with these boxes, and what its inputs were made of."""
    rows = [astuple(box)[1:] for box in boxes]
    return LabelledFrame(
        inputs,
        torch.tensor(rows, dtype=torch.float32).view(1, -1, 7),
        torch.tensor([[labels.index(box.label) for box in boxes]], dtype=torch.int64),
        stamp_ns,
        points,
        pcm,
    )


def split_drives(drives: tuple[Drive, ...]) -> list[str]:
    """train, val or CUT (its last fifth validates) for every drive.

    What the set says is kept. Else whole drives validate, a fifth of them by the hash of their names.
    """
    if any(drive.split for drive in drives):
        return [drive.split or "train" for drive in drives]
    if len(drives) == 1:
        return [CUT]
    order = sorted(drives, key=lambda drive: hashlib.sha256(drive.name.encode()).hexdigest())
    chosen = {drive.name for drive in order[: max(1, round(VAL_SHARE * len(drives)))]}
    return ["val" if drive.name in chosen else "train" for drive in drives]


def within(drive: Drive, span: Span | None) -> slice:
    """Which of a drive's frames, by number, are of the moments of `span`; None: all that come."""
    if span is None:
        return slice(0, None)
    first, stop = span[0], span[1] + 1
    if (part := drive.part) is not None:
        first, stop = max(first, part.start) - part.start, min(stop, part.stop) - part.start
    return slice(first * drive.sides, stop * drive.sides) if first < stop else slice(0, 0)


def only_frames(found: DrivingSet, span: Span) -> DrivingSet:
    """The same drives, of each the frames of `span` alone; those before it are made too, for the attitude.

    A part of a drive that has none of them is left out. Raises DatasetError where none is left.
    """

    def some(drive: Drive) -> Iterator[LabelledFrame]:
        numbers = within(drive, span)
        return islice(drive.frames(), numbers.start, numbers.stop)

    drives = (
        replace(drive, length=len(range(drive.length)[within(drive, span)]), frames=partial(some, drive))
        for drive in found.drives
        if within(drive, span) != slice(0, 0)
    )
    if not (chosen := tuple(drives)):
        raise DatasetError(f"no frame of {found.root} is among {span[0]} to {span[1]}; give others")
    return replace(found, drives=chosen)
