"""Accuracy of a replay against labels: nuScenes' metrics over all sets, per set of sensors and per level."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from sentryfuse_core.evaluation.boxes import FrameBoxes
from sentryfuse_core.evaluation.metrics import evaluate_detections
from sentryfuse_core.types import Detection, ModalitySet

__all__ = ["Accuracy"]


class Accuracy:
    """Detections and true boxes of every set; of detections only those above the threshold are there."""

    def __init__(self, labels: Sequence[str]) -> None:
        self._labels = tuple(labels)
        self._rows: list[tuple[ModalitySet, int, FrameBoxes, FrameBoxes]] = []

    def add(
        self, used: ModalitySet, level: int, detections: Sequence[Detection], truth: Sequence[Detection]
    ) -> None:
        """Enter one set; true boxes of a class that the network does not know are left out."""
        known = [box for box in truth if box.label in self._labels]
        self._rows.append((used, level, self._boxes(known), self._boxes(detections)))

    def to_mapping(self) -> dict[str, Any] | None:
        """Plain values for metrics.json; None where nothing was entered."""
        if not self._rows:
            return None
        masks = sorted({used.bits for used, _, _, _ in self._rows})
        levels = sorted({level for _, level, _, _ in self._rows})
        rows = self._rows
        return {
            "all": self._judge(rows),
            "by_mask": {
                str(ModalitySet(bits)): self._judge([row for row in rows if row[0].bits == bits])
                for bits in masks
            },
            "by_level": {
                str(level): self._judge([row for row in rows if row[1] == level]) for level in levels
            },
        }

    def _judge(self, rows: Sequence[tuple[ModalitySet, int, FrameBoxes, FrameBoxes]]) -> dict[str, Any]:
        truth, found = [row[2] for row in rows], [row[3] for row in rows]
        plain = evaluate_detections(truth, found, labels=self._labels).to_mapping()
        return {"sets": len(rows), **plain}

    def _boxes(self, found: Sequence[Detection]) -> FrameBoxes:
        rows = [(d.x, d.y, d.z, d.length, d.width, d.height, d.yaw) for d in found]
        return FrameBoxes(
            np.array(rows, np.float64).reshape(-1, 7),
            np.array([self._labels.index(d.label) for d in found], np.int64),
            np.array([d.score for d in found], np.float64),
        )
