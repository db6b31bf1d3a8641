"""What is minimised: dense training with modality dropout, and nested training of a table of sub-networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from sentryfuse_core.lab.training.batches import Batch, draw_present
from sentryfuse_core.lab.training.meter import Meter
from sentryfuse_core.pruning.gate import Present

__all__ = ["DenseStage", "Dropout", "NestedStage", "PlanTable", "distillation", "even_passes", "hard_loss"]

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
    """Training of exactly the sub-networks of a plan table, each with modalities of its own.

    A step is a few passes: `passes` says how many at each ratio, on average. Every pass draws its own set of
    present modalities and is taught by the labels and by a teacher that saw all modalities:
    L = sum of CE + to_teacher KL(teacher || pass). Narrow passes cost little, so that they can be many; see
    `even_passes`. Several widths in one step are those of slimmable networks (arXiv 1903.05134); other than
    there they do not share their modalities, and none of them is another's teacher.

    Attributes:
        dropout: draws the modalities.
        table: widths by (present, ratio).
        passes: by ratio; 0 is the full width.
        teacher: logits [n, K] of the training split with all modalities; None for no teacher.
        one_set: all passes of a step have the same modalities.
    """

    dropout: Dropout
    table: PlanTable
    passes: Mapping[float, float]
    teacher: Tensor | None
    to_teacher: float = 0.5
    temperature: float = 1.0
    one_set: bool = False

    def loss(self, meter: Meter, batch: Batch, progress: float, generator: torch.Generator) -> Tensor:
        """Sum over the passes; at least one, the narrowest."""
        shared = self.dropout.draw(progress, generator) if self.one_set else None
        ratios = [ratio for ratio, count in self.passes.items() for _ in range(_times(count, generator))]
        losses = [
            self._pass(meter, batch, ratio, shared or self.dropout.draw(progress, generator))
            for ratio in ratios or [max(self.passes)]
        ]
        return torch.stack(losses).sum()

    def _pass(self, meter: Meter, batch: Batch, ratio: float, present: Present) -> Tensor:
        logits = meter(batch.only(present), self.table[present, ratio] if ratio else None)
        loss = hard_loss(logits, batch.label)
        if self.teacher is None:
            return loss
        aim = self.teacher[batch.index]
        return loss + self.to_teacher * distillation(logits, aim, temperature=self.temperature)


def _times(count: float, generator: torch.Generator) -> int:
    """A whole number that is `count` on average."""
    whole = int(count)
    return whole + (float(torch.rand((), generator=generator)) < count - whole)


def even_passes(ratios: Sequence[float], *, share: float = 1 / 16) -> dict[float, float]:
    """Passes a step, so that every ratio gets `share` of a full pass's MACs and the full width twice that.

    Steps of about one pass are many for the same budget; on validation they beat steps of several passes.
    """
    return {0.0: 2.0 * share, **{ratio: share / (1.0 - ratio) for ratio in ratios}}
