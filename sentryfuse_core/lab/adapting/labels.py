"""Before and after by labels, where the recordings that were adapted to happen to have some."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from sentryfuse_core.errors import EvaluationError
from sentryfuse_core.lab.datasets.driving import LABELS, DrivingSet
from sentryfuse_core.lab.training.data import LabelledBatch
from sentryfuse_core.lab.training.data_scores import DataScores, score
from sentryfuse_core.lab.training.detections import SubsetDetector
from sentryfuse_core.model.network import SentryFuseNet
from sentryfuse_core.types import ModalitySet

__all__ = ["AFTER", "BEFORE", "labelled_scores"]

BEFORE, AFTER = "before ", "after "  # of the keys of scores: which weights, then the sensors


def labelled_scores(
    found: DrivingSet,
    kept_ns: Sequence[Collection[int]],
    nets: tuple[SentryFuseNet, SentryFuseNet],
    masks: Sequence[ModalitySet],
) -> DataScores | None:
    """Both networks at full width on the labelled frames with the stamps `kept_ns` of each drive.

    None: none has a box.
    """
    detectors = [
        SubsetDetector(net, masks, [0], prefix=prefix)
        for net, prefix in zip(nets, (BEFORE, AFTER), strict=True)
    ]
    try:
        return score(_frames(found, kept_ns), detectors, labels=LABELS)
    except EvaluationError:
        return None


def _frames(found: DrivingSet, kept_ns: Sequence[Collection[int]]) -> Iterator[LabelledBatch]:
    for drive, kept in zip(found.drives, kept_ns, strict=True):
        for frame in drive.frames() if drive.labelled and kept else ():
            if frame.stamp_ns in kept:
                yield LabelledBatch(frame.inputs, frame.boxes, frame.classes, view=drive.view)
