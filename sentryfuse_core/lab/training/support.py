"""Whether the sensors that a detection names had the object at all, and what their number is worth."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from sentryfuse_core.boxes import FrameBoxes
from sentryfuse_core.errors import EvaluationError
from sentryfuse_core.evaluation.matching import TP_DISTANCE_M
from sentryfuse_core.lab.training.data import LabelledBatch
from sentryfuse_core.lab.training.detections import CANDIDATES
from sentryfuse_core.lab.training.targets import in_region
from sentryfuse_core.model.heads import Peaks, find_peaks
from sentryfuse_core.model.network import SentryFuseNet
from sentryfuse_core.types import Modality

__all__ = ["LEAST_SCORE", "NamedSensor", "SupportCounter", "Supporters"]

LEAST_SCORE = 0.2  # of the network, before calibration; of weaker ones most are wrong
_JUDGED = (Modality.CAMERA, Modality.LIDAR)  # of sound the world does not say what can be heard


@dataclass(frozen=True)
class NamedSensor:
    """One sensor, over the true boxes that were found."""

    sensor: Modality
    named_had: int  # named by the detection, and the sensor had the object
    named_only: int  # named, and it had not
    had_only: int  # not named, though it had

    @property
    def precision(self) -> float:
        """Share of the times it was named in which it had the object; NaN: never named."""
        named = self.named_had + self.named_only
        return self.named_had / named if named else float("nan")

    @property
    def recall(self) -> float:
        """Share of the objects it had for which it was named; NaN: it had none."""
        had = self.named_had + self.had_only
        return self.named_had / had if had else float("nan")

    def to_mapping(self) -> dict[str, Any]:
        """Plain values for a result file."""
        counts = {"named_had": self.named_had, "named_only": self.named_only, "had_only": self.had_only}
        shares = {"precision": self.precision, "recall": self.recall}
        return {"sensor": self.sensor.value, **counts, **shares}


@dataclass(frozen=True)
class Supporters:
    """Detections that so many sensors support."""

    sensors: int
    detections: int
    right: int  # within 2 m of a true box of their class, doubles included

    @property
    def share(self) -> float:
        """Share of them that is right."""
        return self.right / self.detections

    def to_mapping(self) -> dict[str, Any]:
        """Plain values for a result file."""
        counts = {"sensors": self.sensors, "detections": self.detections, "right": self.right}
        return {**counts, "share": self.share}


@dataclass(eq=False)
class SupportCounter:
    """Counts over batches as a detector that finds no boxes of its own: all sensors, full width."""

    net: SentryFuseNet
    _sensors: Counter[tuple[Modality, bool, bool]] = field(default_factory=Counter)  # named, had
    _number: Counter[tuple[int, bool]] = field(default_factory=Counter)  # supporters, right

    def __call__(self, batch: LabelledBatch) -> dict[tuple[str, int], list[FrameBoxes]]:
        """Run the network and count."""
        self.count(find_peaks(self.net(batch.inputs), count=CANDIDATES, labels=self.net.labels), batch)
        return {}

    def count(self, peaks: Peaks, batch: LabelledBatch) -> None:
        """Count the peaks [B, K] of a batch that reach LEAST_SCORE; an object's is the best within 2 m.

        Raises EvaluationError for frames that do not say what each sensor had of their boxes.
        """
        if batch.visible is None:
            raise EvaluationError(
                "frames that do not say what each sensor saw; evaluate on the synthetic world"
            )
        good = (peaks.scores >= LEAST_SCORE) & in_region(peaks.boxes, peaks.classes)
        near = torch.cdist(batch.boxes[..., :2], peaks.boxes[..., :2]) < TP_DISTANCE_M  # [B, M, K]
        same = batch.classes[..., None] == peaks.classes[:, None]
        pairs = near & same & good[:, None] & in_region(batch.boxes, batch.classes)[..., None]
        score, index = torch.where(pairs, peaks.scores[:, None], -torch.inf).max(dim=2)  # [B, M]
        found = score.isfinite()
        support = peaks.support.gather(1, index)
        for sensor in _JUDGED:
            named = (support & sensor.bit) != 0
            had = batch.visible[sensor]
            self._sensors.update((sensor, *pair) for pair in _pairs(named, had, found))
        number = torch.stack([(peaks.support & sensor.bit) != 0 for sensor in Modality]).sum(dim=0)
        self._number.update(_pairs(number, pairs.any(dim=1), good))

    @property
    def sensors(self) -> tuple[NamedSensor, ...]:
        """Camera and lidar."""
        seen = self._sensors
        return tuple(
            NamedSensor(
                sensor, seen[sensor, True, True], seen[sensor, True, False], seen[sensor, False, True]
            )
            for sensor in _JUDGED
        )

    @property
    def supporters(self) -> tuple[Supporters, ...]:
        """Detections by how many sensors support them, fewest first."""
        seen = self._number
        return tuple(
            Supporters(number, seen[number, True] + seen[number, False], seen[number, True])
            for number in sorted({number for number, _ in seen})
        )


def _pairs(first: Tensor, second: Tensor, chosen: Tensor) -> list[tuple[Any, Any]]:
    return list(zip(first[chosen].tolist(), second[chosen].tolist(), strict=True))
