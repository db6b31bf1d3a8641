"""What an encoder hands on of its sensor: to trunk, canvas and head and, of the camera, to training."""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor

__all__ = ["CameraView", "SensorFeatures"]

_LEAST_TRUST = 1e-6  # whose logarithm is taken


@dataclass(frozen=True, eq=False)
class CameraView:
    """What the pixels of the camera's map [h, w] say, for training."""

    look: Tensor  # [B, depth_bins + classes, h, w] logits: its distance, the ground's say included; its class
    foot: Tensor  # [B, h, w] row, in pixels of the image, where the ground is as far away as their object
    horizon: Tensor  # [B, h, w] logarithms of the chance, over a column's rows, that the ground ends there
    tilt: Tensor  # [B, 2] roll and pitch in rad by the horizon and the IMU
    shown: Tensor | None = None  # [B, h, w] share 0..1 of each pixel that the camera sees; None: all of it


@dataclass(frozen=True, eq=False)
class SensorFeatures:
    """What one sensor contributes."""

    tokens: Tensor  # [B, T, D], joined to the trunk's sequence
    canvas: Tensor | None  # [B, cells, D], added to the canvas tokens; None: the sensor has no place in space
    stride: int  # tokens that share a key and a value
    fine: Tensor | None = None  # [B, fine_channels, 32, 32], added to the head's grid
    evidence: Tensor | None = None  # [B, 1, 32, 32] logits of a box centre by this sensor alone
    view: CameraView | None = None
    shown: Tensor | None = None  # [B, T] share 0..1 of what each token is of that was seen; None: all of it

    def trusted(self, trust: Tensor) -> SensorFeatures:
        """The same with `trust` [B], above 0: less is added to canvas and grid, and less is evident."""
        factor, fade = trust[:, None, None], trust.clamp_min(_LEAST_TRUST).log()
        return replace(
            self,
            canvas=None if self.canvas is None else self.canvas * factor,
            fine=None if self.fine is None else self.fine * factor[..., None],
            evidence=None if self.evidence is None else self.evidence + fade[:, None, None, None],
        )
