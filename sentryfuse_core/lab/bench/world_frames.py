"""Frames of the synthetic world as the shipped encoders see them, rendered and encoded once, kept small."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from sentryfuse_core.lab.training.batches import Batch
from sentryfuse_core.lab.training.data import LabelledBatch
from sentryfuse_core.model.features import SensorFeatures
from sentryfuse_core.model.network import SentryFuseNet

__all__ = ["Frames", "encode_frames", "pack", "unpack"]


@dataclass(frozen=True, eq=False)
class Frames:
    """n frames: packed features of every sensor, and the truth."""

    inputs: Mapping[str, Tensor]  # {sensor: [n, rows, D] float16}, see `pack`
    boxes: Tensor  # [n, M, 7] x, y, z, l, w, h in m, yaw in rad; base frame
    classes: Tensor  # [n, M] int64, -1: no box

    def __len__(self) -> int:
        return len(self.boxes)

    def batch(self) -> Batch:
        """All frames; they have no classes to balance, so that every label is 0."""
        count = len(self)
        return Batch(self.inputs, torch.zeros(count, dtype=torch.long), torch.arange(count))


def pack(features: SensorFeatures) -> Tensor:
    """What a sensor adds to the canvas and to the head's grid, if anything, and its tokens: [B, rows, D]."""
    dim = features.tokens.shape[-1]
    parts = [] if features.canvas is None else [features.canvas]
    if features.fine is not None:
        parts.append(torch.unflatten(features.fine.flatten(1), 1, (-1, dim)))
    return torch.cat((*parts, features.tokens), dim=1)


def unpack(
    packed: Tensor, *, cells: int, stride: int, fine: tuple[int, int, int] | None = None
) -> SensorFeatures:
    """The inverse of `pack` in float32; a sensor with no more rows than cells has no place in space.

    `fine` is the shape of what it adds to the head's grid: channels, rows, columns.
    """
    rows = packed.float()
    if rows.shape[1] <= cells:
        return SensorFeatures(rows, None, stride)
    canvas, rows = rows[:, :cells], rows[:, cells:]
    if fine is None:
        return SensorFeatures(rows, canvas, stride)
    count = math.prod(fine) // rows.shape[2]
    return SensorFeatures(
        rows[:, count:], canvas, stride, torch.unflatten(rows[:, :count].flatten(1), 1, fine)
    )


def encode_frames(
    network: SentryFuseNet,
    batches: Iterable[LabelledBatch],
    *,
    on_batch: Callable[[int], None] = lambda _: None,
) -> Frames:
    """Run the encoders of `network` over `batches`; `on_batch` hears how many frames each had."""
    packed: dict[str, list[Tensor]] = {}
    boxes, classes = [], []
    with torch.inference_mode():
        for batch in batches:
            for modality, features in network.encode(batch.inputs).items():
                packed.setdefault(modality.value, []).append(pack(features).half())
            boxes.append(batch.boxes)
            classes.append(batch.classes)
            on_batch(len(batch.boxes))
    most = max(item.shape[1] for item in boxes)
    return Frames(
        {name: torch.cat(parts).clone() for name, parts in packed.items()},
        torch.cat([_filled(item, most, 0.0) for item in boxes]).clone(),
        torch.cat([_filled(item, most, -1) for item in classes]).clone(),
    )


def _filled(rows: Tensor, count: int, value: float) -> Tensor:
    """[B, M, ...] with M made `count`."""
    filler = rows.new_full((rows.shape[0], count - rows.shape[1], *rows.shape[2:]), value)
    return torch.cat((rows, filler), dim=1)
