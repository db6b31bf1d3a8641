"""Whether weights have gained: agreement with the teacher on what was kept back, sensors missing or not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from sentryfuse_core.boxes import FrameBoxes
from sentryfuse_core.evaluation.matching import TP_DISTANCE_M
from sentryfuse_core.evaluation.metrics import DetectionMetrics, evaluate_detections
from sentryfuse_core.lab.training.data import LabelledBatch
from sentryfuse_core.lab.training.data_scores import renumbered
from sentryfuse_core.lab.training.detections import frames_of
from sentryfuse_core.lab.training.part_runner import PartRunner
from sentryfuse_core.lab.training.targets import UNSURE
from sentryfuse_core.model.network import FULL_WIDTH, SentryFuseNet
from sentryfuse_core.types import Modality, ModalitySet

__all__ = ["Change", "agreement", "agrees", "gained", "judged_sets"]

_SLACK = 0.01  # that a set of sensors may lose while others gain


@dataclass(frozen=True)
class Change:
    """One set of sensors before and after: mean average precision, 0..1."""

    sensors: ModalitySet
    before: float
    after: float


def judged_sets(sensors: ModalitySet) -> tuple[ModalitySet, ...]:
    """Camera alone and lidar alone, as far as they are there, and all `sensors`."""
    alone = (ModalitySet.of(one) for one in (Modality.CAMERA, Modality.LIDAR) if one in sensors)
    return tuple(dict.fromkeys((*alone, sensors)))


def gained(changes: Sequence[Change]) -> bool:
    """Whether the mean rises and none falls by more than a point."""
    differences = [change.after - change.before for change in changes]
    return sum(differences) > 0.0 and min(differences) >= -_SLACK


def agreement(
    net: SentryFuseNet, batches: Iterable[LabelledBatch], masks: Sequence[ModalitySet], labels: Sequence[str]
) -> Mapping[ModalitySet, float]:
    """Mean average precision, 0..1, of full width for each of `masks`; what is taught is the truth."""
    lessons: list[FrameBoxes] = []
    found: dict[ModalitySet, list[FrameBoxes]] = {mask: [] for mask in masks}
    with torch.inference_mode():
        for batch in batches:
            columns = zip(batch.boxes.double().numpy(), batch.classes.numpy(), strict=True)
            lessons += [_listed(boxes, classes) for boxes, classes in columns]
            runner = PartRunner(net, batch.inputs, batch=len(batch.boxes))
            for mask in masks:
                found[mask] += frames_of(runner(mask, FULL_WIDTH), labels)
    return {mask: agrees(lessons, own, labels).map for mask, own in found.items()}


def agrees(
    lessons: Sequence[FrameBoxes], found: Sequence[FrameBoxes], labels: Sequence[str]
) -> DetectionMetrics:
    """Metrics of `found` over the classes that are taught; what lies by an unsure box alone does not count.

    Boxes of `lessons` whose class is UNSURE are neither right nor wrong.
    """
    truth = [lesson.take(lesson.classes != UNSURE) for lesson in lessons]
    kinds = sorted({kind for frame in truth for kind in frame.classes.tolist()})
    if not kinds:
        return evaluate_detections([], [], labels=labels)
    told = [_without_doubtful(frame, lesson) for frame, lesson in zip(found, lessons, strict=True)]
    return evaluate_detections(
        [renumbered(frame, kinds) for frame in truth],
        [renumbered(frame, kinds) for frame in told],
        labels=[labels[kind] for kind in kinds],
    )


def _listed(boxes: np.ndarray, classes: np.ndarray) -> FrameBoxes:
    """The boxes [M, 7] that are any, sure or not."""
    there = (classes >= 0) | (classes == UNSURE)
    return FrameBoxes(boxes[there], classes[there], np.ones(int(there.sum())))


def _without_doubtful(found: FrameBoxes, lesson: FrameBoxes) -> FrameBoxes:
    """Detections that are nearer to a sure box than to an unsure one, or far from any of those."""
    apart = np.linalg.norm(found.boxes[:, None, :2] - lesson.boxes[None, :, :2], axis=2)
    unsure = lesson.classes == UNSURE
    doubtful = apart[:, unsure].min(axis=1, initial=np.inf)
    sure = apart[:, ~unsure].min(axis=1, initial=np.inf)
    return found.take((doubtful >= TP_DISTANCE_M) | (sure <= doubtful))
