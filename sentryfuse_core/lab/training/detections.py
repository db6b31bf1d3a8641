"""Run networks over labelled batches: boxes of every set of sensors and level, as the metrics read them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sentryfuse_core.boxes import FrameBoxes
from sentryfuse_core.errors import EvaluationError
from sentryfuse_core.lab.training.data import LabelledBatch
from sentryfuse_core.lab.training.part_runner import PartRunner
from sentryfuse_core.lab.training.targets import in_region
from sentryfuse_core.model.heads import HeadOutput, find_peaks
from sentryfuse_core.model.network import SentryFuseNet
from sentryfuse_core.pruning.part_gate import Gate, UniformGate
from sentryfuse_core.types import ModalitySet

__all__ = ["CANDIDATES", "Detector", "Found", "Key", "SubsetDetector", "collect", "frames_of", "truth_of"]

CANDIDATES = 50  # a frame, as the robot's own limit

Key = tuple[str, int]  # what detects, e.g. 'camera+lidar', and the pruning level
Detector = Callable[[LabelledBatch], Mapping[Key, list[FrameBoxes]]]


@dataclass(frozen=True, eq=False)
class Found:
    """F frames: the truth, what every detector found, and under which conditions."""

    truth: list[FrameBoxes] = field(default_factory=list)
    boxes: dict[Key, list[FrameBoxes]] = field(default_factory=dict)
    light: list[float] = field(default_factory=list)  # 0 = night, 1 = noon
    rough: list[float] = field(default_factory=list)  # 0 = smooth ground

    def where(self, name: str, *, above: float = -1.0, below: float = 2.0) -> NDArray[np.bool_]:
        """[F] frames whose condition `name` lies between."""
        values = np.array(getattr(self, name))
        return (values > above) & (values < below)


@dataclass(frozen=True, eq=False)
class SubsetDetector:
    """One network under several sets of sensors and levels; nothing is encoded twice."""

    net: SentryFuseNet
    masks: Sequence[ModalitySet]
    levels: Sequence[int]
    prefix: str = ""  # of the names, where several networks run
    gate: Gate | None = None  # None: uniform widths

    def __call__(self, batch: LabelledBatch) -> dict[Key, list[FrameBoxes]]:
        """Boxes under (prefix and name of the set, level); frames that lack a sensor go on without it."""
        gate = self.gate or UniformGate(self.net.shape)
        runner = PartRunner(self.net, batch.inputs, batch=len(batch.boxes), known=batch.known)
        found = {}
        for level in self.levels:
            for mask in self.masks:
                choice = gate.choose(mask & batch.inputs.present, level)
                output = runner(choice.used, choice.parts)
                found[self.prefix + str(mask), level] = frames_of(output, self.net.labels)
        return found


def collect(
    batches: Iterable[LabelledBatch],
    detectors: Sequence[Detector],
    *,
    on_frames: Callable[[int], None] = lambda _: None,
) -> Found:
    """Run all detectors over all batches, one batch at a time; `on_frames` hears how many are done."""
    found = Found()
    with torch.inference_mode():
        for batch in batches:
            if batch.conditions is None:
                raise EvaluationError("frames without conditions; evaluate on the synthetic world")
            found.truth.extend(truth_of(batch.boxes, batch.classes))
            found.light.extend(batch.conditions.light.tolist())
            found.rough.extend(batch.conditions.rough.tolist())
            for detector in detectors:
                for key, frames in detector(batch).items():
                    found.boxes.setdefault(key, []).extend(frames)
            on_frames(len(batch.boxes))
    return found


def frames_of(output: HeadOutput, labels: Sequence[str]) -> list[FrameBoxes]:
    """The best detections in the region of every frame; what the maps give without a score is left out."""
    peaks = find_peaks(output, count=CANDIDATES, labels=labels)
    good = in_region(peaks.boxes, peaks.classes) & (peaks.scores > 0.0) & peaks.boxes.isfinite().all(dim=-1)
    return _frames(peaks.boxes, peaks.classes, peaks.scores, good)


def truth_of(boxes: Tensor, classes: Tensor, chosen: Tensor | None = None) -> list[FrameBoxes]:
    """True boxes [B, M, 7] with classes [B, M] in the region, of those `chosen` [B, M] where given."""
    inside = in_region(boxes, classes)
    return _frames(
        boxes, classes, torch.ones_like(boxes[..., 0]), inside if chosen is None else inside & chosen
    )


def _frames(boxes: Tensor, classes: Tensor, scores: Tensor, good: Tensor) -> list[FrameBoxes]:
    columns = (column.cpu().numpy() for column in (boxes, classes, scores, good))
    return [
        FrameBoxes(own[use], kinds[use], values[use])
        for own, kinds, values, use in zip(*columns, strict=True)
    ]
