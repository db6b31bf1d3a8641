"""What is minimised: dense training with modality dropout, and nested training of a table of sub-networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from sentryfuse_core.pruning.gate import Present
from sentryfuse_core.training.batches import Batch, draw_present
from sentryfuse_core.training.meter import Meter

__all__ = ["DenseStage", "Dropout", "NestedStage", "PlanTable", "distillation", "hard_loss"]

PlanTable = Mapping[tuple[Present, float], Mapping[str, int]]  # (present, ratio) -> widths by layer

LABEL_SMOOTHING = 0.05


def hard_loss(logits: Tensor, label: Tensor) -> Tensor:
    """Cross-entropy with label smoothing: [B, K], [B] -> []."""
    return functional.cross_entropy(logits, label, label_smoothing=LABEL_SMOOTHING)


def distillation(student: Tensor, teacher: Tensor, *, temperature: float = 1.0) -> Tensor:
    """tau^2 KL(softmax(teacher / tau) || softmax(student / tau)), logits [B, K]: [] (arXiv 1503.02531)."""
    aim = functional.log_softmax(teacher.detach() / temperature, dim=1)
    guess = functional.log_softmax(student / temperature, dim=1)
    return temperature**2 * functional.kl_div(guess, aim, log_target=True, reduction="batchmean")


@dataclass(frozen=True, kw_only=True)
class Dropout:
    """The modality-dropout curriculum: the chance to be absent rises from `first` to `last`."""

    modalities: Sequence[str]
    first: float = 0.0
    last: float = 0.5
    ramp: float = 0.5  # share of the budget over which it rises

    def draw(self, progress: float, generator: torch.Generator) -> Present:
        """The modalities present in one part of a batch."""
        rise = min(1.0, progress / self.ramp) if self.ramp else 1.0
        return draw_present(self.modalities, self.first + rise * (self.last - self.first), generator)


@dataclass(frozen=True, kw_only=True)
class DenseStage:
    """Full width with modality dropout, one set of modalities a step."""

    dropout: Dropout

    def loss(self, meter: Meter, batch: Batch, progress: float, generator: torch.Generator) -> Tensor:
        """Cross-entropy."""
        present = self.dropout.draw(progress, generator)
        return hard_loss(meter(batch.only(present)), batch.label)


@dataclass(frozen=True, kw_only=True)
class NestedStage:
    """Sandwich training of exactly the sub-networks of a plan table (after arXiv 1903.05134, 2004.04037).

    For one set of present modalities a step, L = sum over the full width and every ratio of
    CE + to_teacher KL(teacher || it), plus to_own KL(full || it) for the narrow ones. `teacher` are logits
    [n, K] for the samples of the training split, given all modalities; None for no teacher.
    """

    dropout: Dropout
    table: PlanTable
    ratios: Sequence[float]
    teacher: Tensor | None
    to_own: float = 0.5
    to_teacher: float = 0.5
    temperature: float = 1.0

    def loss(self, meter: Meter, batch: Batch, progress: float, generator: torch.Generator) -> Tensor:
        """Sum over the widths."""
        present = self.dropout.draw(progress, generator)
        inputs = batch.only(present)
        wide = meter(inputs)
        loss = self._one(wide, batch)
        for ratio in self.ratios:
            narrow = meter(inputs, self.table[present, ratio])
            own = distillation(narrow, wide, temperature=self.temperature)
            loss = loss + self._one(narrow, batch) + self.to_own * own
        return loss

    def _one(self, logits: Tensor, batch: Batch) -> Tensor:
        loss = hard_loss(logits, batch.label)
        if self.teacher is None:
            return loss
        aim = self.teacher[batch.index]
        return loss + self.to_teacher * distillation(logits, aim, temperature=self.temperature)
