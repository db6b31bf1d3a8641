"""Who teaches: what finds the boxes of a frame that the recording's other frames then confirm or do not."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch

from sentryfuse_core.boxes import FrameBoxes
from sentryfuse_core.lab.datasets.driving import LabelledFrame
from sentryfuse_core.lab.training.data import LabelledBatch
from sentryfuse_core.lab.training.detections import frames_of
from sentryfuse_core.lab.training.references import clustered
from sentryfuse_core.model.network import FULL_WIDTH, SentryFuseNet
from sentryfuse_core.runtime.bank import Bank
from sentryfuse_core.tracking.follow import FAINT
from sentryfuse_core.types import Modality, ModalitySet

__all__ = ["TEACHERS", "Teacher", "teachers_of"]

TEACHERS = ("lidar", "all", "clustering")
_VOXEL_M = 0.2  # of which one point is clustered: dense clouds take minutes else

Teacher = Callable[[LabelledFrame], FrameBoxes]  # its scores: about the chance to be right


def teachers_of(bank: Bank, names: Sequence[str]) -> Mapping[str, Teacher]:
    """Teachers by their names, of TEACHERS; they take frames that have a lidar."""
    known = {
        "lidar": _network(bank, ModalitySet.of(Modality.LIDAR, Modality.IMU)),
        "all": _network(bank, ModalitySet.all()),
        "clustering": _clusters,
    }
    return {name: known[name] for name in names}


def _network(bank: Bank, mask: ModalitySet) -> Teacher:
    """The weights that are to be adapted, at full width, by the sensors of `mask`; scores calibrated."""
    net: SentryFuseNet = bank.network

    def find(frame: LabelledFrame) -> FrameBoxes:
        inputs = frame.inputs.only(mask)
        slope, offset = bank.calibration(inputs.present, 0)
        with torch.inference_mode():
            output = net(inputs, parts=FULL_WIDTH)
        found = frames_of(replace(output, heatmap=output.heatmap * slope + offset), bank.labels)[0]
        return found.take(found.scores >= FAINT)

    return find


def _clusters(frame: LabelledFrame) -> FrameBoxes:
    """Clusters of the lidar's points, levelled where the IMU knows how; nothing learned."""
    batch = LabelledBatch(frame.inputs, frame.boxes, frame.classes, points=frame.points)
    *_, found = clustered(batch, voxel_m=_VOXEL_M).values()
    return found[0].take(np.flatnonzero(found[0].scores >= FAINT))
