"""SamplePool: world samples are dear to make, so each is used a few times, mirrored half of the time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from sentryfuse_core.preprocess.tensors import ModelInput
from sentryfuse_core.training.data import LabelledBatch

__all__ = ["SamplePool", "mirror"]

_FIRST_BATCHES = 4
_MIRROR_IMU = (-1.0, 1.0, -1.0, 1.0, -1.0, 1.0)  # rotation about x and z and acceleration along y change sign


@dataclass(frozen=True, eq=False)
class _Frame:
    """One sample in a compact form."""

    image: Tensor  # [3, H, W] uint8
    position: Tensor
    lidar: Tensor  # float16
    imu: Tensor
    audio: Tensor  # float16
    boxes: Tensor
    classes: Tensor


class SamplePool:
    """Batches drawn from the newest samples; a new batch is made every `reuse` steps."""

    def __init__(self, make: Callable[[int], LabelledBatch], *, reuse: int, capacity: int = 4096) -> None:
        self._make = make
        self._reuse = reuse
        self._frames: deque[_Frame] = deque(maxlen=capacity)

    def __call__(self, step: int) -> LabelledBatch:
        """The batch of `step`; an interrupted run starts with a fresh pool."""
        fresh = range(step, step + _FIRST_BATCHES) if not self._frames else range(step, step + 1)
        if not self._frames or step % self._reuse == 0:
            for number in fresh:
                made = self._make(number)
                self._frames.extend(_split(made))
                self._size = len(made.boxes)
        generator = torch.Generator().manual_seed(step)
        chosen = torch.randint(len(self._frames), (self._size,), generator=generator).tolist()
        turned = torch.rand(self._size, generator=generator) < 0.5
        return mirror(_join([self._frames[index] for index in chosen]), turned)


def mirror(batch: LabelledBatch, chosen: Tensor) -> LabelledBatch:
    """Exchange left and right in the samples where `chosen` [B] is true; all four sensors must be present."""
    inputs = batch.inputs
    if inputs.camera is None or inputs.camera_position is None or inputs.lidar is None:
        raise ValueError("mirroring needs all four sensors")
    if inputs.imu is None or inputs.audio is None:
        raise ValueError("mirroring needs all four sensors")

    def pick(turned: Tensor, straight: Tensor) -> Tensor:
        return torch.where(chosen.view(-1, *[1] * (straight.ndim - 1)), turned, straight)

    across = inputs.camera_position.new_tensor([1.0, -1.0, 1.0])
    box = batch.boxes.new_tensor([1.0, -1.0, 1.0, 1.0, 1.0, 1.0, -1.0])
    mirrored = ModelInput(
        camera=pick(inputs.camera.flip(3), inputs.camera),
        camera_position=pick(inputs.camera_position * across, inputs.camera_position),
        lidar=pick(inputs.lidar.flip(3), inputs.lidar),
        imu=pick(inputs.imu * inputs.imu.new_tensor(_MIRROR_IMU), inputs.imu),
        audio=pick(inputs.audio.flip(1), inputs.audio),
    )
    return LabelledBatch(mirrored, pick(batch.boxes * box, batch.boxes), batch.classes)


def _split(batch: LabelledBatch) -> list[_Frame]:
    inputs = batch.inputs
    if inputs.camera is None or inputs.camera_position is None or inputs.lidar is None:
        raise ValueError("a pool holds samples of all four sensors")
    if inputs.imu is None or inputs.audio is None:
        raise ValueError("a pool holds samples of all four sensors")
    image = inputs.camera.mul(255.0).round().clamp(0, 255).to(torch.uint8)
    columns = (image, inputs.camera_position, inputs.lidar.half(), inputs.imu, inputs.audio.half())
    return [
        _Frame(*(item.clone() for item in row))
        for row in zip(*columns, batch.boxes, batch.classes, strict=True)
    ]


def _join(frames: list[_Frame]) -> LabelledBatch:
    inputs = ModelInput(
        camera=torch.stack([frame.image for frame in frames]).float() / 255.0,
        camera_position=torch.stack([frame.position for frame in frames]),
        lidar=torch.stack([frame.lidar for frame in frames]).float(),
        imu=torch.stack([frame.imu for frame in frames]),
        audio=torch.stack([frame.audio for frame in frames]).float(),
    )
    boxes = torch.stack([frame.boxes for frame in frames])
    return LabelledBatch(inputs, boxes, torch.stack([frame.classes for frame in frames]))
