"""Frames with one sensor spoilt, by the faults and severities of `sentryfuse_core.faults`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import torch
from torch import Tensor

from sentryfuse_core.errors import EvaluationError
from sentryfuse_core.faults.severities import SEVERITIES
from sentryfuse_core.faults.tensors import RawSet, spoil
from sentryfuse_core.lab.training.data import LabelledBatch
from sentryfuse_core.preprocess.audio import bearing_features
from sentryfuse_core.preprocess.geometry import GEOMETRY
from sentryfuse_core.preprocess.lidar import pillars
from sentryfuse_core.preprocess.quality import quality
from sentryfuse_core.preprocess.tensors import SEEN_STRIDE, UNSEEN, ModelInput
from sentryfuse_core.types import Modality

__all__ = ["AGES_S", "spoilt", "spoilt_at_random"]

AGES_S = (0.1, 1.2)  # of what a late sensor shows, in training
_SIDES = ("left", "right", "top", "bottom")
_JITTER = (0.6, 1.4)  # what a severity's options are multiplied by in training

Choice = Callable[[torch.Generator], tuple[str, Mapping[str, float]]]


def spoilt(
    batch: LabelledBatch, sensor: Modality, fault: str, severity: int, generator: torch.Generator
) -> ModelInput:
    """The inputs of `batch` with `fault` at `sensor`, `severity` 1 to 3, each frame by itself."""
    options = SEVERITIES[sensor, fault][severity - 1]
    return _spoilt(batch, sensor, lambda _: (fault, options), generator)


def spoilt_at_random(batch: LabelledBatch, sensor: Modality, generator: torch.Generator) -> ModelInput:
    """The inputs of `batch` with a fault of any kind and severity at `sensor`, another one in each frame."""
    return _spoilt(batch, sensor, lambda draw: _drawn(sensor, draw), generator)


def _spoilt(batch: LabelledBatch, sensor: Modality, choose: Choice, generator: torch.Generator) -> ModelInput:
    if batch.raw is None:
        raise EvaluationError("these frames have no raw data to spoil; make them with ages_s")
    rows = []
    for index in range(len(batch.boxes)):
        fault, options = choose(generator)
        rows.append(spoil(batch.raw.rows(slice(index, index + 1)), sensor, fault, options, generator))
    return _rebuilt(batch.inputs, sensor, rows)


def _rebuilt(inputs: ModelInput, sensor: Modality, rows: list[RawSet]) -> ModelInput:
    """`inputs` with what preprocessing makes of the spoilt sensor, and all measures anew."""

    def joined(name: str) -> Tensor:
        return torch.cat([getattr(row, name) for row in rows])

    pcm = None if rows[0].pcm is None else joined("pcm")
    if sensor is Modality.CAMERA:
        inputs = replace(inputs, camera=_shown(joined("image"), inputs.camera_seen))
    elif sensor is Modality.LIDAR:
        inputs = replace(inputs, lidar=pillars(joined("points")))
    elif sensor is Modality.IMU:
        inputs = replace(inputs, imu=joined("motion"), tilt=joined("tilt"))
    elif pcm is not None:
        inputs = replace(inputs, audio=bearing_features(pcm, GEOMETRY.audio_spacing_m))
    return replace(inputs, quality=quality(inputs, pcm))


def _shown(image: Tensor, seen: Tensor | None) -> Tensor:
    """`image` [B, 3, H, W] as preprocessing leaves it where nothing is `seen` [B, 1, H / 4, W / 4]."""
    if seen is None:
        return image
    blocks = seen.repeat_interleave(SEEN_STRIDE, dim=2).repeat_interleave(SEEN_STRIDE, dim=3)
    return image.masked_fill(blocks == 0.0, UNSEEN)


def _drawn(sensor: Modality, generator: torch.Generator) -> tuple[str, Mapping[str, float]]:
    """A fault and options about those of one of its severities; covers and blocked sectors lie anywhere."""
    kinds = [fault for owner, fault in SEVERITIES if owner is sensor]
    fault = kinds[int(torch.randint(len(kinds), (), generator=generator))]
    severity = int(torch.randint(3, (), generator=generator))
    first, second, third = torch.rand(3, generator=generator).tolist()
    if fault == "covered":
        side = _SIDES[int(first * len(_SIDES))]
        sides = {} if severity == 2 else {side: min(0.95, 0.15 + 0.4 * severity + 0.4 * second)}
        return fault, {**sides, "level": 0.3 * third**2, "sigma": 0.02 * second}
    if fault == "blocked":
        middle, width = 75.0 * (2.0 * first - 1.0), 20.0 + 40.0 * (severity + second)
        return fault, {"from_deg": middle - width / 2, "to_deg": middle + width / 2}
    factor = _JITTER[0] + (_JITTER[1] - _JITTER[0]) * first
    options = {name: value * factor for name, value in SEVERITIES[sensor, fault][severity].items()}
    if "yaw_deg" in options and second < 0.5:
        options["yaw_deg"] *= -1.0
    for name in ("share", "keep"):
        if name in options:
            options[name] = min(options[name], 0.98)
    return fault, options
