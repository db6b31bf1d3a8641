"""Builders of labelled batches with conditions, and of detections, for tests of the evaluation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from networks import labelled

from sentryfuse_core.boxes import FrameBoxes
from sentryfuse_core.lab.training.data import LabelledBatch
from sentryfuse_core.lab.world.batch import Conditions
from sentryfuse_core.types import Modality

LABELS = ("car", "pedestrian", "cyclist")


def conditioned(seed: int = 0, *, batch: int = 4) -> LabelledBatch:
    """A batch of `networks.labelled`: half by day on smooth ground, half by night on rough ground."""
    made = labelled(seed, batch=batch)
    half = (torch.arange(batch) % 2).float()
    nothing = torch.zeros(batch)
    seen = (made.classes >= 0) & (torch.arange(made.classes.shape[1]) == 0)
    return replace(
        made,
        conditions=Conditions(light=0.9 - 0.8 * half, rain_mm_h=nothing, fog=nothing, rough=0.8 * half),
        visible={Modality.CAMERA: seen, Modality.LIDAR: made.classes >= 0, Modality.AUDIO: made.classes >= 0},
        points=torch.full((batch, 8, 4), torch.nan),
    )


def random_frames(rng: np.random.Generator, *, frames: int, most: int) -> list[FrameBoxes]:
    """Frames of up to `most` boxes in a small place, so that many are near each other; scores all differ."""
    counts = rng.integers(0, most + 1, frames)
    scores = rng.permutation(counts.sum()) / (counts.sum() + 1) + 1e-3
    parts = np.split(scores, np.cumsum(counts)[:-1])
    return [
        FrameBoxes(
            np.column_stack(
                [rng.uniform(0, 8, (count, 3)), rng.uniform(0.5, 4, (count, 3)), rng.uniform(-4, 4, count)]
            ),
            rng.integers(0, len(LABELS), count),
            part,
        )
        for count, part in zip(counts, parts, strict=True)
    ]
