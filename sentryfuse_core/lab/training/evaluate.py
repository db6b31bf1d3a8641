"""Recall at 4 m of every sensor subset and level, and of the canvas without tokens.

As many detections are taken from a frame as it has ground-truth boxes in the region, the best by score.
Each in turn is matched to the nearest unmatched box of its class if the centres are at most 4 m apart
on the ground. Recall is matched boxes over all boxes; since both counts are the same, precision is too, and
the canvas without tokens gets exactly as many guesses as the sensors do.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sentryfuse_core.lab.training.data import LabelledBatch
from sentryfuse_core.lab.training.part_runner import PartRunner
from sentryfuse_core.lab.training.targets import in_region
from sentryfuse_core.model.heads import HeadOutput, find_peaks
from sentryfuse_core.model.network import SentryFuseNet
from sentryfuse_core.pruning.part_gate import Gate, UniformGate
from sentryfuse_core.types import ModalitySet

__all__ = ["Evaluation", "Score", "evaluate", "match", "matched"]

_DISTANCES_M = (1.0, 2.0, 4.0)
_CANDIDATES = 50  # detections of a frame that a threshold is chosen among


@dataclass(frozen=True)
class Score:
    """Recall over all evaluated frames at 1, 2 and 4 m, and the mean centre error of what matched at 4 m."""

    recall_1m: float
    recall_2m: float
    recall_4m: float
    centre_error_m: float
    recall_4m_by_class: tuple[float, ...]
    score_threshold: float  # above it lie as many detections as there are boxes in all frames


@dataclass(frozen=True)
class Evaluation:
    """Scores under (mask bits, level); mask 0 is the canvas without tokens."""

    frames: int
    boxes: int
    scores: dict[tuple[int, int], Score]


class _Tally:
    """Running sums behind one Score."""

    def __init__(self, classes: int, labels: Sequence[str]) -> None:
        self.labels = labels
        self.matched = dict.fromkeys(_DISTANCES_M, 0)
        self.error_m = 0.0
        self.by_class = [0] * classes
        self.total_by_class = [0] * classes
        self.scores: list[Tensor] = []

    def add(self, output: HeadOutput, batch: LabelledBatch) -> None:
        valid = in_region(batch.boxes, batch.classes)
        count = max(_CANDIDATES, int(valid.sum(dim=1).max()))
        peaks = find_peaks(output, count=count, labels=self.labels)
        self.scores.append(peaks.scores.flatten())
        for index, inside in enumerate(valid):
            boxes, classes = batch.boxes[index][inside], batch.classes[index][inside]
            centres, guesses = peaks.boxes[index, : len(boxes), :2], peaks.classes[index, : len(boxes)]
            for class_id in classes.tolist():
                self.total_by_class[class_id] += 1
            for distance_m in _DISTANCES_M:
                pairs = match(centres, guesses, boxes[:, :2], classes, distance_m=distance_m)
                self.matched[distance_m] += len(pairs)
                if distance_m == _DISTANCES_M[-1]:
                    for truth, apart_m in pairs:
                        self.error_m += apart_m
                        self.by_class[int(classes[truth])] += 1

    def score(self) -> Score:
        total = max(1, sum(self.total_by_class))
        return Score(
            recall_1m=self.matched[1.0] / total,
            recall_2m=self.matched[2.0] / total,
            recall_4m=self.matched[4.0] / total,
            centre_error_m=self.error_m / max(1, self.matched[4.0]),
            recall_4m_by_class=tuple(
                hit / max(1, all_) for hit, all_ in zip(self.by_class, self.total_by_class, strict=True)
            ),
            score_threshold=self._threshold(total),
        )

    def _threshold(self, boxes: int) -> float:
        scores = torch.cat(self.scores)
        return float(scores.topk(min(boxes, len(scores))).values[-1])


def match(
    centres: Tensor, guesses: Tensor, truth: Tensor, classes: Tensor, *, distance_m: float
) -> list[tuple[int, float]]:
    """Greedy one-to-one matching, best detection first.

    Args:
        centres: [K, 2] of the detections, best first; guesses: [K] their classes.
        truth: [T, 2] of the boxes; classes: [T].

    Returns:
        (box, distance in m) of every match.
    """
    if not len(truth):
        return []
    apart = torch.cdist(centres, truth)
    apart = apart.masked_fill(guesses[:, None] != classes, torch.inf)
    pairs = []
    for row in range(len(centres)):
        nearest, index = apart[row].min(dim=0)
        if float(nearest) <= distance_m:
            pairs.append((int(index), float(nearest)))
            apart[:, index] = torch.inf
    return pairs


def matched(output: HeadOutput, boxes: Tensor, classes: Tensor) -> Tensor:
    """Which boxes within the region are matched, by the rule above up to 4 m, all frames at once.

    Args:
        output: maps of B frames.
        boxes: [B, M, 7] of the truth; classes: [B, M], -1 for no box.

    Returns:
        One value for each box in the region, frame by frame: [boxes].
    """
    valid = in_region(boxes, classes)
    counts = valid.sum(dim=1)
    most = int(counts.max())
    peaks = find_peaks(output, count=max(1, most))
    apart = torch.cdist(peaks.boxes[..., :2], boxes[..., :2])  # [B, K, M]
    same = (peaks.classes[:, :, None] == classes[:, None]) & valid[:, None]
    apart = apart.masked_fill(~same, torch.inf)
    taken = torch.zeros_like(valid)
    for row in range(most):
        nearest, index = apart[:, row].masked_fill(taken, torch.inf).min(dim=1)
        good = (nearest <= _DISTANCES_M[-1]) & (row < counts)
        taken[good.nonzero()[:, 0], index[good]] = True
    return taken[valid]


def evaluate(
    net: SentryFuseNet,
    batches: Iterable[LabelledBatch],
    *,
    masks: Iterable[ModalitySet] | None = None,
    gate: Gate | None = None,
) -> Evaluation:
    """Score `net` on `batches` for every mask (all 15 and the canvas alone unless given) at every level.

    What a level runs is the choice of `gate`, uniform widths without one.
    """
    subsets = [ModalitySet(), *ModalitySet.subsets()] if masks is None else list(masks)
    chosen = gate or UniformGate(net.shape)
    keys = [(mask, level) for mask in subsets for level in range(chosen.levels)]
    tallies = {(mask.bits, level): _Tally(net.shape.classes, net.labels) for mask, level in keys}
    frames = boxes = 0
    with torch.inference_mode():
        for batch in batches:
            frames += len(batch.boxes)
            boxes += int(in_region(batch.boxes, batch.classes).sum())
            runner = PartRunner(net, batch.inputs, batch=len(batch.boxes), known=batch.known)
            for mask, level in keys:
                choice = chosen.choose(mask, level)
                tallies[mask.bits, level].add(runner(choice.used, choice.parts), batch)
    return Evaluation(frames, boxes, {key: tally.score() for key, tally in tallies.items()})
