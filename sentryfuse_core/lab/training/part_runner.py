"""PartRunner: one batch through many combinations of sensors and widths; nothing is encoded twice."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from sentryfuse_core.model.features import SensorFeatures
from sentryfuse_core.model.heads import HeadOutput
from sentryfuse_core.model.network import SentryFuseNet
from sentryfuse_core.preprocess.tensors import ModelInput
from sentryfuse_core.types import Modality, ModalitySet, PartLevels

__all__ = ["PartRunner"]

_IMU = ModalitySet.of(Modality.IMU)


class PartRunner:
    """Answers for one batch; encoders differ only by the sensor's own level and whether the IMU is there."""

    def __init__(
        self, net: SentryFuseNet, inputs: ModelInput, *, batch: int, known: Tensor | None = None
    ) -> None:
        """Nothing is found where `known` [B, 32, 32] is false: nobody could judge it."""
        self._net, self._inputs, self._batch, self._known = net, inputs, batch, known
        self._features: dict[tuple[Modality, int, bool], SensorFeatures] = {}

    def __call__(self, mask: ModalitySet, parts: PartLevels) -> HeadOutput:
        """The maps with the sensors of `mask`, each part as narrow as `parts` says."""
        imu = Modality.IMU in mask
        chosen = {modality: self._encoded(modality, parts, imu=imu) for modality in mask}
        output = self._net.fuse(chosen, parts=parts, batch=self._batch, quality=self._inputs.quality)
        if self._known is None:
            return output
        return replace(output, heatmap=output.heatmap.masked_fill(~self._known[:, None], -torch.inf))

    def spoilt(self, inputs: ModelInput, sensor: Modality) -> PartRunner:
        """Answers for `inputs`, which differ by what `sensor` gives alone; what the others gave is kept."""
        other = PartRunner(self._net, inputs, batch=self._batch, known=self._known)
        if sensor is not Modality.IMU:  # whose tilt all encoders read
            other._features = {key: item for key, item in self._features.items() if key[0] is not sensor}
        return other

    def _encoded(self, modality: Modality, parts: PartLevels, *, imu: bool) -> SensorFeatures:
        key = (modality, getattr(parts, modality.value, 0), imu)
        if key not in self._features:
            mask = ModalitySet.of(modality) | (_IMU if imu else ModalitySet())
            encoded = self._net.encode(self._inputs.only(mask), parts=parts)
            self._features[key] = encoded[modality]
        return self._features[key]
