"""SamplePool: world samples are dear to make, so each is used a few times, mirrored half of the time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from sentryfuse_core.preprocess.tensors import ModelInput
from sentryfuse_core.training.data import LabelledBatch
from sentryfuse_core.training.mirror import mirror

__all__ = ["SamplePool"]

_FIRST_BATCHES = 12  # made before the first step, so that it is not always the same few samples
_FIRST_NUMBER = 2**19  # their numbers, counted on from the step: beyond those of any step


@dataclass(frozen=True, eq=False)
class _Frame:
    """One sample in a compact form."""

    image: Tensor  # [3, H, W] uint8
    position: Tensor
    lidar: Tensor  # float16
    imu: Tensor
    tilt: Tensor
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
        if not self._frames:
            for index in range(_FIRST_BATCHES):
                self._add(_FIRST_NUMBER + step + index)
        if step % self._reuse == 0:
            self._add(step)
        generator = torch.Generator().manual_seed(step)
        chosen = torch.randint(len(self._frames), (self._size,), generator=generator).tolist()
        turned = torch.rand(self._size, generator=generator) < 0.5
        return mirror(_join([self._frames[index] for index in chosen]), turned)

    def _add(self, number: int) -> None:
        made = self._make(number)
        self._frames.extend(_split(made))
        self._size = len(made.boxes)


def _all_sensors(inputs: ModelInput) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Camera, its position, lidar, IMU, tilt and audio; training always renders all of them."""
    if inputs.camera is None or inputs.camera_position is None:
        raise ValueError("training needs all four sensors, the camera is absent")
    if inputs.lidar is None or inputs.imu is None or inputs.tilt is None or inputs.audio is None:
        raise ValueError(f"training needs all four sensors, not {inputs.present}")
    return inputs.camera, inputs.camera_position, inputs.lidar, inputs.imu, inputs.tilt, inputs.audio


def _split(batch: LabelledBatch) -> list[_Frame]:
    camera, position, lidar, imu, tilt, audio = _all_sensors(batch.inputs)
    image = camera.mul(255.0).round().clamp(0, 255).to(torch.uint8)
    columns = (image, position, lidar.half(), imu, tilt, audio.half())
    rows = zip(*columns, batch.boxes, batch.classes, strict=True)
    return [_Frame(*(item.clone() for item in row)) for row in rows]


def _join(frames: list[_Frame]) -> LabelledBatch:
    inputs = ModelInput(
        camera=torch.stack([frame.image for frame in frames]).float() / 255.0,
        camera_position=torch.stack([frame.position for frame in frames]),
        lidar=torch.stack([frame.lidar for frame in frames]).float(),
        imu=torch.stack([frame.imu for frame in frames]),
        tilt=torch.stack([frame.tilt for frame in frames]),
        audio=torch.stack([frame.audio for frame in frames]).float(),
    )
    boxes = torch.stack([frame.boxes for frame in frames])
    return LabelledBatch(inputs, boxes, torch.stack([frame.classes for frame in frames]))
