"""What narrowing each part was measured to cost, beside what first-order saliency foretells of it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from sentryfuse_core.lab.training.data import LabelledBatch
from sentryfuse_core.lab.training.part_saliency import part_saliency
from sentryfuse_core.lab.training.targets import make_targets
from sentryfuse_core.model.network import SentryFuseNet
from sentryfuse_core.pruning.part_gate import Worths
from sentryfuse_core.types import Modality, ModalitySet

__all__ = ["Narrowing", "foretold", "rank_agreement"]


@dataclass(frozen=True)
class Narrowing:
    """One part at one level by itself, all sensors good."""

    part: str
    level: int
    points: float  # of mAP lost, measured: what the gate plans with
    saliency: float  # see `part_saliency`; NaN: it leaves out no unit


def foretold(net: SentryFuseNet, worths: Worths, batches: Iterable[LabelledBatch]) -> list[Narrowing]:
    """Every part at every narrower level, for the most good sensors that `worths` tells of, and the IMU.

    Saliency is the mean over `batches`.
    """
    cell = max((one for one in worths.cells if not one.poor.bits), key=lambda one: len(one.present))
    mask = cell.present | ModalitySet.of(Modality.IMU)
    found = [
        part_saliency(
            net,
            batch.inputs.only(mask),
            make_targets(batch.boxes, batch.classes, class_count=net.shape.classes),
        )
        for batch in batches
    ]
    return [
        Narrowing(part, level, points, float(np.mean([one[part][level] for one in found])))
        for part, row in worths.cells[cell].items()
        for level, points in enumerate(row)
        if level and all(part in one for one in found)
    ]


def rank_agreement(rows: Sequence[Narrowing]) -> float:
    """Spearman's correlation of both over the rows that saliency tells of; NaN for fewer than three.

    Equal values rank in the order they come.
    """
    pairs = np.array([(row.points, row.saliency) for row in rows if not math.isnan(row.saliency)])
    if len(pairs) < 3:
        return math.nan
    ranks = pairs.argsort(axis=0, kind="stable").argsort(axis=0)
    return float(np.corrcoef(ranks.T)[0, 1])
