"""Score detectors on labelled frames by nuScenes' rules: the classes there, within the view that is labelled.

The one scoring of real data: `sentryfuse eval --data`, the judging of an adaptation and tests share it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from sentryfuse_core.boxes import FrameBoxes
from sentryfuse_core.errors import EvaluationError
from sentryfuse_core.evaluation.matching import Matches, match_frames
from sentryfuse_core.evaluation.metrics import DetectionMetrics, metrics_of
from sentryfuse_core.lab.datasets.view import View
from sentryfuse_core.lab.training.data import LabelledBatch
from sentryfuse_core.lab.training.detections import Detector, Key, truth_of
from sentryfuse_core.types import ModalitySet

__all__ = ["DataScores", "Frames", "judge", "renumbered", "run_detectors", "score"]

Watch = Callable[[LabelledBatch, Mapping[Key, list[FrameBoxes]]], None]


@dataclass(frozen=True, eq=False)
class Frames:
    """F frames: their truth, what every detector found, the view that is labelled and the sensors there."""

    truth: list[FrameBoxes] = field(default_factory=list)
    boxes: dict[Key, list[FrameBoxes]] = field(default_factory=dict)
    views: list[View] = field(default_factory=list)
    sensors: list[ModalitySet] = field(default_factory=list)

    @property
    def kinds(self) -> tuple[int, ...]:
        """Numbers of the classes that the truth has within view and region."""
        return tuple(np.unique(np.concatenate([one.classes for one in self._seen(self.truth)])).tolist())

    def matches(self, found: Sequence[FrameBoxes]) -> Matches:
        """Detections of these frames against the truth, both within the view, classes numbered by `kinds`."""
        return match_frames(self.cut(self.truth), self.cut(found), class_count=len(self.kinds))

    def cut(self, found: Sequence[FrameBoxes]) -> list[FrameBoxes]:
        """One box list a frame: those within its view, of classes that are there, numbered by `kinds`."""
        kinds = self.kinds
        return [renumbered(one, kinds) for one in self._seen(found)]

    def _seen(self, frames: Sequence[FrameBoxes]) -> list[FrameBoxes]:
        return [view.only(frame) for view, frame in zip(self.views, frames, strict=True)]


@dataclass(frozen=True, eq=False)
class DataScores:
    """Metrics of every detector over the classes that are there."""

    frames: Frames
    labels: tuple[str, ...]  # of the classes there, as `matches` number them
    boxes: Mapping[str, int]  # true ones by label, within the view
    matches: Mapping[Key, Matches]
    metrics: Mapping[Key, DetectionMetrics]


def score(
    batches: Iterable[LabelledBatch],
    detectors: Sequence[Detector],
    *,
    labels: Sequence[str],
    on_frames: Callable[[int], None] = lambda _: None,
) -> DataScores:
    """Run the detectors on every batch and judge them; see `judge`."""
    return judge(run_detectors(batches, detectors, on_frames=on_frames), labels=labels)


def judge(frames: Frames, *, labels: Sequence[str]) -> DataScores:
    """Metrics of what was found; raises EvaluationError where no box is labelled.

    `labels` name the classes by their number. Boxes and detections outside a frame's view, or of a class that
    no frame has, do not count.
    """
    if not frames.truth or not frames.kinds:
        raise EvaluationError(
            f"{len(frames.truth)} frames without a labelled box in the detector's region; give others"
        )
    there = tuple(labels[kind] for kind in frames.kinds)
    matches = {key: frames.matches(found) for key, found in frames.boxes.items()}
    counts = frames.matches(frames.truth).truth_count.sum(axis=0).tolist()
    return DataScores(
        frames,
        there,
        dict(zip(there, counts, strict=True)),
        matches,
        {key: metrics_of(one, labels=there) for key, one in matches.items()},
    )


def run_detectors(
    batches: Iterable[LabelledBatch],
    detectors: Sequence[Detector],
    *,
    on_frames: Callable[[int], None] = lambda _: None,
    watch: Watch = lambda _, __: None,
) -> Frames:
    """What the detectors find in every batch; `watch` sees each batch with its boxes."""
    frames = Frames()
    with torch.inference_mode():
        for batch in batches:
            size = len(batch.boxes)
            frames.truth.extend(truth_of(batch.boxes, batch.classes))
            frames.views.extend([batch.view] * size)
            frames.sensors.extend([batch.inputs.present] * size)
            everything = {key: own for detector in detectors for key, own in detector(batch).items()}
            for key, own in everything.items():
                frames.boxes.setdefault(key, []).extend(own)
            watch(batch, everything)
            on_frames(size)
    return frames


def renumbered(frame: FrameBoxes, kinds: Sequence[int]) -> FrameBoxes:
    """The boxes of these classes, numbered by their place in `kinds`, which rise."""
    kept = frame.take(np.isin(frame.classes, kinds))
    return FrameBoxes(kept.boxes, np.searchsorted(kinds, kept.classes), kept.scores)
