"""Batches of the synthetic world as the network's inputs, made reproducibly from a seed and a step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor
from torch.nn import functional

from sentryfuse_core.faults.tensors import RawSet
from sentryfuse_core.lab.datasets.view import EVERYWHERE, View
from sentryfuse_core.lab.world.batch import (
    SEEN_PIXELS,
    SEEN_RETURNS,
    Conditions,
    WorldBatch,
    training_batch,
)
from sentryfuse_core.lab.world.config import WorldConfig, held_out_world
from sentryfuse_core.preprocess.audio import bearing_features
from sentryfuse_core.preprocess.geometry import GEOMETRY
from sentryfuse_core.preprocess.lidar import pillars
from sentryfuse_core.preprocess.quality import quality
from sentryfuse_core.preprocess.tensors import ModelInput
from sentryfuse_core.types import Modality

__all__ = ["LabelledBatch", "as_inputs", "held_out", "make_batch", "with_room"]

_HELD_OUT_SEED = 2**40  # training seeds stay below: `seed * _STRIDE + step`
_STRIDE = 2**20


@dataclass(frozen=True, eq=False)
class LabelledBatch:
    """All four sensors of B frames, and the truth."""

    inputs: ModelInput
    boxes: Tensor  # [B, M, 7] x, y, z, l, w, h in m, yaw in rad; base frame, level
    classes: Tensor  # [B, M] int64, -1: no box
    conditions: Conditions | None = None  # of the synthetic world
    visible: Mapping[Modality, Tensor] | None = None  # [B, M] bool, what each sensor has of every box
    points: Tensor | None = None  # [B, R, 4] of the lidar, NaN: no return
    attitude: Tensor | None = None  # [B, 2] true roll and pitch (rad) of the vehicle; None: not known
    raw: RawSet | None = None  # what `inputs` were made from, to be spoilt; None: not kept
    known: Tensor | None = (
        None  # [B, 32, 32] bool, cells of the head's maps that the truth is told of; None: all
    )
    view: View = EVERYWHERE  # where the truth is told, exactly

    def rows(self, start: int, stop: int) -> LabelledBatch:
        """The frames `start` to `stop`."""
        given = ((field.name, getattr(self.inputs, field.name)) for field in fields(self.inputs))
        inputs = ModelInput(**{name: None if item is None else item[start:stop] for name, item in given})
        attitude = None if self.attitude is None else self.attitude[start:stop]
        raw = None if self.raw is None else self.raw.rows(slice(start, stop))
        known = None if self.known is None else self.known[start:stop]
        return LabelledBatch(
            inputs, self.boxes[start:stop], self.classes[start:stop], attitude=attitude, raw=raw, known=known
        )


def make_batch(
    world: WorldConfig,
    *,
    batch: int,
    seed: int,
    step: int,
    device: str = "cpu",
    ages_s: tuple[float, float] | None = None,
) -> LabelledBatch:
    """Frames that depend on `seed` and `step` alone; with `ages_s` their raw data is kept, see `held_out`."""
    return _from_world(world, batch=batch, seed=seed * _STRIDE + step, device=device, ages_s=ages_s)


def held_out(
    world: WorldConfig,
    *,
    batch: int,
    count: int,
    first: int = 0,
    device: str = "cpu",
    ages_s: tuple[float, float] | None = None,
) -> Iterator[LabelledBatch]:
    """`count` batches, from number `first` on, that no training seed below 2**20 can produce.

    Ground patterns and speeds are others than in training too, see `held_out_world`. With `ages_s` the raw
    data is kept, and beside it what camera and lidar saw so long before, at random between the two.
    """
    for index in range(first, first + count):
        yield _from_world(
            held_out_world(world), batch=batch, seed=_HELD_OUT_SEED + index, device=device, ages_s=ages_s
        )


def _from_world(
    world: WorldConfig, *, batch: int, seed: int, device: str, ages_s: tuple[float, float] | None
) -> LabelledBatch:
    with torch.no_grad():
        made = training_batch(world, batch=batch, seed=seed, device=device)
        raw = None if ages_s is None else _raw(world, made, seed=seed, ages_s=ages_s)
        labelled = replace(as_inputs(made), raw=raw)
        return labelled if world.variety is None else _seen(labelled)


def with_room(batch: LabelledBatch, world: WorldConfig) -> LabelledBatch:
    """The same with room for as many boxes and points as batches of `world`, a varied one, have."""
    variety = world.variety
    if variety is None:
        return batch
    rays, more = variety.rays, world.targets - batch.boxes.shape[1]

    def filled(points: Tensor | None) -> Tensor | None:
        if points is None:
            return None
        return functional.pad(points, (0, 0, 0, rays - points.shape[1]), value=torch.nan)

    raw = batch.raw
    if raw is not None:
        raw = replace(raw, points=filled(raw.points), late_points=filled(raw.late_points))
    return replace(
        batch,
        boxes=functional.pad(batch.boxes, (0, 0, 0, more), value=1.0),
        classes=functional.pad(batch.classes, (0, more), value=-1),
        visible=None,
        points=filled(batch.points),
        raw=raw,
    )


def _seen(batch: LabelledBatch) -> LabelledBatch:
    """Without the boxes that neither camera nor lidar has anything of: they would teach to guess."""
    if batch.visible is None:
        return batch
    seen = batch.visible[Modality.CAMERA] | batch.visible[Modality.LIDAR]
    return replace(batch, classes=torch.where(seen, batch.classes, -1))


def as_inputs(made: WorldBatch) -> LabelledBatch:
    """What the network reads of rendered moments, with their truth."""
    with torch.no_grad():
        inputs = ModelInput(
            camera=made.image,
            camera_position=made.camera_position,
            camera_seen=made.seen,
            lidar=pillars(made.points),
            imu=made.imu,
            tilt=made.tilt,
            audio=bearing_features(made.audio, GEOMETRY.audio_spacing_m),
        )
        inputs = replace(inputs, quality=quality(inputs, made.audio))
        visible = {
            Modality.CAMERA: made.pixels >= SEEN_PIXELS,
            Modality.LIDAR: made.returns >= SEEN_RETURNS,
            Modality.AUDIO: made.classes >= 0,
        }
        return LabelledBatch(
            inputs, made.boxes, made.classes, made.conditions, visible, made.points, made.attitude
        )


def _raw(world: WorldConfig, made: WorldBatch, *, seed: int, ages_s: tuple[float, float]) -> RawSet:
    device, (least, most) = made.image.device, ages_s
    generator = torch.Generator(device).manual_seed(seed)
    age_s = least + (most - least) * torch.rand(len(made.image), generator=generator, device=device)
    before = training_batch(world, batch=len(made.image), seed=seed, device=device, age_s=age_s)
    return RawSet(
        image=made.image,
        points=made.points,
        motion=made.imu,
        tilt=made.tilt,
        pcm=made.audio,
        late_image=before.image,
        late_points=before.points,
    )
