"""What a manifest says of every sub-network beyond recall: mAP, and the numbers that calibrate its scores."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from sentryfuse_core.lab.scoring.matrix import Cell, judge_cell
from sentryfuse_core.lab.training.data import LabelledBatch
from sentryfuse_core.lab.training.detections import SubsetDetector, collect
from sentryfuse_core.model.network import SentryFuseNet
from sentryfuse_core.pruning.part_gate import Gate
from sentryfuse_core.types import ModalitySet

__all__ = ["Grade", "grade"]


@dataclass(frozen=True)
class Grade:
    """One sub-network."""

    map: float  # 0..1, nuScenes' rules, over the classes that the judged frames have
    calibration: tuple[float, float]  # slope and offset of a score's logit; 1 and 0: nothing to fit on


def grade(
    net: SentryFuseNet,
    *,
    judged: Iterable[LabelledBatch],
    fitted: Iterable[LabelledBatch],
    labels: Sequence[str],
    masks: Iterable[ModalitySet] | None = None,
    gate: Gate | None = None,
) -> dict[tuple[int, int], Grade]:
    """Grades by (mask bits, level), mask 0 the canvas alone: calibrated on `fitted`, judged on `judged`.

    All 15 sets of sensors and the canvas unless `masks` says otherwise; the frames need their sensors. What a
    level runs is the choice of `gate`, uniform widths without one.
    """
    chosen = [ModalitySet(), *ModalitySet.subsets()] if masks is None else list(masks)
    bits = {str(mask): mask.bits for mask in chosen}
    levels = range(net.shape.levels if gate is None else gate.levels)
    detector = SubsetDetector(net, chosen, levels, gate=gate)
    scored, other = (collect(batches, [detector]) for batches in (judged, fitted))
    grades = {}
    for (name, level), found in scored.boxes.items():
        cell = judge_cell(
            name,
            level,
            truth=scored.truth,
            found=found,
            labels=labels,
            fitting=(other.truth, other.boxes[name, level]),
        )
        known = cell.calibrator
        grades[bits[name], level] = Grade(
            _map_of(cell),
            (1.0, 0.0) if known is None else (known.slope, known.offset),
        )
    return grades


def _map_of(cell: Cell) -> float:
    """Mean average precision over the classes that are there: few recordings have all of them."""
    boxes = cell.matches.truth_count.sum(axis=0).tolist()
    found = [list(own.values()) for own, count in zip(cell.metrics.ap.values(), boxes, strict=True) if count]
    return float(np.mean(found)) if found else 0.0
