"""Stages that train a detector's trunk and head: dense, nested, MatFormer's, with modalities dropped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from sentryfuse_core.lab.training.batches import Batch
from sentryfuse_core.lab.training.losses import detection_loss
from sentryfuse_core.lab.training.meter import Meter
from sentryfuse_core.lab.training.stages import Dropout, PlanTable
from sentryfuse_core.lab.training.targets import make_targets
from sentryfuse_core.model.heads import HeadOutput

__all__ = ["DetectionStage", "DetectionTask", "MatFormerDetectionStage"]


@dataclass(frozen=True, eq=False)
class DetectionTask:
    """The truth of a split; networks give maps [B, classes + 10, 32, 32]."""

    boxes: Tensor  # [n, M, 7]
    classes: Tensor  # [n, M], -1: no box
    count: int  # of classes

    def loss(self, maps: Tensor, index: Tensor) -> Tensor:
        """The detection loss [] of the frames `index` [B]."""
        targets = make_targets(self.boxes[index], self.classes[index], class_count=self.count)
        return detection_loss(HeadOutput(maps[:, : self.count], maps[:, self.count :]), targets)

    def losses(self, maps: Tensor, index: Tensor) -> Tensor:
        """The detection loss of every frame by itself, [B]."""
        parts = [self.loss(maps[row : row + 1], index[row : row + 1]) for row in range(len(index))]
        return torch.stack(parts)

    def divergence(self, maps: Tensor, aim: Tensor, index: Tensor) -> Tensor:
        """KL of the heat map's cells, a Bernoulli each, from the teacher's logits `aim`, for each box: []."""
        logits, goal = maps[:, : self.count], aim.float()
        cross = functional.binary_cross_entropy_with_logits(logits, goal.sigmoid(), reduction="sum")
        least = functional.binary_cross_entropy_with_logits(goal, goal.sigmoid(), reduction="sum")
        boxes = (self.classes[index] >= 0).sum().clamp_min(1)
        return (cross - least) / boxes


@dataclass(frozen=True, kw_only=True)
class DetectionStage:
    """`NestedStage` for detectors: a few passes a step, each at its own ratio with its own modalities.

    With `passes` of {0: 1} and no teacher it is dense training.

    Attributes:
        task: the truth of the split that is trained on.
        dropout: draws the modalities.
        table: widths by (present, ratio), for all ratios but 0.
        passes: by ratio, on average; 0 is the full width.
        teacher: heat map logits [n, classes, 32, 32] of a network that saw all modalities; None for none.
        to_teacher: weight of the divergence from it.
    """

    task: DetectionTask
    dropout: Dropout
    table: PlanTable
    passes: Mapping[float, float]
    teacher: Tensor | None = None
    to_teacher: float = 0.5

    def loss(self, meter: Meter, batch: Batch, progress: float, generator: torch.Generator) -> Tensor:
        """Sum over the passes; at least one, the narrowest."""
        draws = torch.rand(len(self.passes), generator=generator).tolist()
        ratios = [
            ratio
            for (ratio, count), draw in zip(self.passes.items(), draws, strict=True)
            for _ in range(int(count) + (draw < count - int(count)))
        ]
        losses = [
            self._pass(meter, batch, ratio, self.dropout.draw(progress, generator))
            for ratio in ratios or [max(self.passes)]
        ]
        return torch.stack(losses).sum()

    def _pass(self, meter: Meter, batch: Batch, ratio: float, present: frozenset[str]) -> Tensor:
        maps = meter(batch.only(present), self.table[present, ratio] if ratio else None)
        loss = self.task.loss(maps, batch.index)
        if self.teacher is None:
            return loss
        return loss + self.to_teacher * self.task.divergence(maps, self.teacher[batch.index], batch.index)


@dataclass(frozen=True, kw_only=True)
class MatFormerDetectionStage:
    """`MatFormerStage` for detectors: one granularity a step, drawn at random, by the labels alone."""

    task: DetectionTask
    dropout: Dropout
    table: PlanTable
    ratios: Sequence[float]  # with 0 for the full width

    def loss(self, meter: Meter, batch: Batch, progress: float, generator: torch.Generator) -> Tensor:
        """The detection loss at one granularity."""
        present = self.dropout.draw(progress, generator)
        ratio = self.ratios[int(torch.randint(len(self.ratios), (), generator=generator))]
        maps = meter(batch.only(present), self.table[present, ratio] if ratio else None)
        return self.task.loss(maps, batch.index)
