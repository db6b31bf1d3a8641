"""ModelInput: the tensors of the sensors that are present, and nothing for those that are not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from sentryfuse_core.types import Modality, ModalitySet

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

__all__ = ["SEEN_STRIDE", "UNSEEN", "ModelInput", "all_seen", "stacked"]

SEEN_STRIDE = 4  # pixels of the image, each way, to one value of `camera_seen`
UNSEEN = 0.5  # of pixels that the camera does not see: the mid grey that the network takes for nothing

_SENSORS = {m.value: m for m in Modality} | {
    "camera_position": Modality.CAMERA,
    "camera_seen": Modality.CAMERA,
    "tilt": Modality.IMU,
}


@dataclass(frozen=True, eq=False)
class ModelInput:
    """What the network reads, batched; None means absent: its tokens are left out, never zero-filled."""

    camera: Tensor | None = None  # [B, 3, 128, 384] RGB 0..1 at the virtual camera
    camera_position: Tensor | None = None  # [B, 3] m, base frame; there exactly when `camera` is
    camera_seen: Tensor | None = None  # [B, 1, 32, 96] share 0..1 that the camera sees; None: it sees all
    lidar: Tensor | None = None  # [B, 6, 64, 64] pillars
    imu: Tensor | None = None  # [B, 32, 6] gyro rad/s and acceleration m/s^2, base axes
    tilt: Tensor | None = None  # [B, 2] roll and pitch (rad) by the IMU; only with `imu`
    audio: Tensor | None = None  # [B, 16, 16] bearings by features
    quality: Tensor | None = None  # [B, measures] as preprocess.quality declares them; None: not measured

    def __post_init__(self) -> None:
        if (self.camera is None) != (self.camera_position is None):
            raise ValueError("camera and camera_position must be given together")
        if self.camera_seen is not None and self.camera is None:
            raise ValueError("camera_seen is the camera's, and camera is absent")
        if self.tilt is not None and self.imu is None:
            raise ValueError("tilt is the IMU's, and imu is absent")
        sizes = {modality.value: tensor.shape[0] for modality, tensor in self._present()}
        if len(set(sizes.values())) > 1:
            raise ValueError(f"batch sizes differ: {sizes}")

    def _present(self) -> list[tuple[Modality, Tensor]]:
        found = ((modality, getattr(self, modality.value)) for modality in Modality)
        return [(modality, tensor) for modality, tensor in found if tensor is not None]

    @property
    def present(self) -> ModalitySet:
        """The sensors whose tensors are here."""
        return ModalitySet.of(*(modality for modality, _ in self._present()))

    def only(self, mask: ModalitySet) -> ModelInput:
        """The same input without the sensors outside `mask`."""
        if not self.present - mask:
            return self
        tensors = vars(self).items()
        return ModelInput(
            **{name: tensor for name, tensor in tensors if name == "quality" or _SENSORS[name] in mask}
        )

    def to(self, device: torch.device | str) -> ModelInput:
        """The same input on `device`."""
        tensors = ((name, tensor) for name, tensor in vars(self).items() if tensor is not None)
        return ModelInput(**{name: tensor.to(device, non_blocking=True) for name, tensor in tensors})


def all_seen(camera: Tensor) -> Tensor:
    """`camera_seen` [B, 1, H / 4, W / 4] of images [B, 3, H, W] that show something everywhere."""
    batch, _, height, width = camera.shape
    return camera.new_ones(batch, 1, height // SEEN_STRIDE, width // SEEN_STRIDE)


def stacked(inputs: Sequence[ModelInput]) -> ModelInput:
    """One batch of several inputs with the same sensors, in their order; one alone as it is."""
    if len(inputs) == 1:
        return inputs[0]
    columns = {name: [getattr(item, name) for item in inputs] for name in vars(inputs[0])}
    if any(seen is not None for seen in columns["camera_seen"]):
        columns["camera_seen"] = [
            all_seen(item.camera)
            if item.camera_seen is None and item.camera is not None
            else item.camera_seen
            for item in inputs
        ]
    return ModelInput(
        **{name: torch.cat(column) for name, column in columns.items() if column[0] is not None}
    )
