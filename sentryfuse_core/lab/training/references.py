"""References to hold a network against: clustering, an oracle of what can be seen, zeros for the absent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from sentryfuse_core.boxes import FrameBoxes
from sentryfuse_core.config import Config
from sentryfuse_core.errors import EvaluationError
from sentryfuse_core.lab.scoring.clustering import cluster, thinned
from sentryfuse_core.lab.training.data import LabelledBatch
from sentryfuse_core.lab.training.detections import Key, frames_of, truth_of
from sentryfuse_core.lab.training.targets import in_region
from sentryfuse_core.lab.world.config import CLASSES
from sentryfuse_core.model.network import SentryFuseNet
from sentryfuse_core.preprocess.tensors import ModelInput
from sentryfuse_core.preprocess.tilt import to_level, upright
from sentryfuse_core.types import Modality, ModalitySet

__all__ = ["ZeroFilled", "clustered", "oracle", "zero_filled"]

_SIZES = np.array([traits.size for traits in CLASSES])
_OWNERS = {  # of fields not called as a sensor
    "camera_position": None,
    "camera_seen": None,
    "quality": None,
    "tilt": Modality.IMU,
}


def clustered(batch: LabelledBatch, *, voxel_m: float | None = None) -> dict[Key, list[FrameBoxes]]:
    """Clusters of the points as they come, and levelled by the IMU; with `voxel_m` they are thinned."""
    if batch.points is None:
        raise EvaluationError("frames without lidar points; evaluate on the synthetic world")
    raw = batch.points[..., :3]
    found = {("clustering lidar", 0): _clusters(raw, voxel_m)}
    if batch.inputs.tilt is not None:
        levelled = to_level(upright(batch.inputs.tilt)[:, None], raw)
        found["clustering lidar+imu", 0] = _clusters(levelled, voxel_m)
    return found


def oracle(batch: LabelledBatch) -> dict[Key, list[FrameBoxes]]:
    """The true boxes of what camera, lidar or either of them can see; sound goes round every corner."""
    if batch.visible is None:
        raise EvaluationError("frames without visibility; evaluate on the synthetic world")
    camera, lidar = batch.visible[Modality.CAMERA], batch.visible[Modality.LIDAR]
    seen = {"camera": camera, "lidar": lidar, "camera+lidar": camera | lidar}
    return {
        (f"oracle {name}", 0): truth_of(batch.boxes, batch.classes, chosen) for name, chosen in seen.items()
    }


@dataclass(frozen=True, eq=False)
class ZeroFilled:
    """The same network, full width, whose absent sensors are fed zeros instead of being left out."""

    net: SentryFuseNet
    masks: Sequence[ModalitySet]

    def __call__(self, batch: LabelledBatch) -> dict[Key, list[FrameBoxes]]:
        """Boxes under 'zeros <set>'."""
        outputs = {mask: self.net(zero_filled(batch.inputs, mask)) for mask in self.masks}
        return {(f"zeros {mask}", 0): frames_of(own, self.net.labels) for mask, own in outputs.items()}


def zero_filled(inputs: ModelInput, mask: ModalitySet) -> ModelInput:
    """`inputs` with zeros for the sensors outside `mask`; where the camera sits stays known."""
    given = {field.name: getattr(inputs, field.name) for field in fields(inputs)}
    for name, tensor in given.items():
        owner = _OWNERS[name] if name in _OWNERS else Modality(name)
        if tensor is not None and owner is not None and owner not in mask:
            given[name] = torch.zeros_like(tensor)
    return ModelInput(**given)


def _clusters(points: Tensor, voxel_m: float | None) -> list[FrameBoxes]:
    """Clusters in the region of every sweep [B, R, 3]."""
    x, y, _ = Config().lidar.translation_m
    sweeps = list(points.cpu().numpy())
    if voxel_m is not None:
        sweeps = [thinned(sweep, voxel_m) for sweep in sweeps]
    found = [cluster(sweep, _SIZES, origin=(x, y)) for sweep in sweeps]
    inside = [in_region(torch.from_numpy(one.boxes), torch.from_numpy(one.classes)).numpy() for one in found]
    return [one.take(keep) for one, keep in zip(found, inside, strict=True)]
