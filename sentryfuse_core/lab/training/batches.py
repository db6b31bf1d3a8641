"""Class-balanced batches of a data set's samples, and random sets of present modalities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sentryfuse_core.lab.datasets.arrays import Arrays
from sentryfuse_core.pruning.gate import Present

__all__ = ["Batch", "Batches", "draw_present", "tensors_of"]


@dataclass(frozen=True, eq=False)
class Batch:
    """B samples of all modalities."""

    inputs: Mapping[str, Tensor]  # {modality: [B, T, F]}
    label: Tensor  # [B]
    index: Tensor  # [B] rows of the split they are from

    def part(self, rows: slice) -> Batch:
        """Some of the samples."""
        return Batch(
            {name: item[rows] for name, item in self.inputs.items()}, self.label[rows], self.index[rows]
        )

    def only(self, present: Present) -> dict[str, Tensor]:
        """The inputs of the modalities that are present."""
        return {name: item for name, item in self.inputs.items() if name in present}

    def __len__(self) -> int:
        return len(self.label)


def tensors_of(arrays: Arrays, split: str, *, device: str = "cpu") -> Batch:
    """All samples of a split as one batch."""
    rows = arrays.rows(split)
    inputs = {name: torch.from_numpy(item).to(device) for name, item in rows.inputs.items()}
    label = torch.from_numpy(rows.label).to(device)
    return Batch(inputs, label, torch.arange(len(label), device=device))


class Batches:
    """Random batches in which every class is as frequent as any other, drawn with replacement."""

    def __init__(self, samples: Batch, *, classes: int, generator: torch.Generator) -> None:
        self.samples = samples
        self._generator = generator
        count = torch.bincount(samples.label.cpu(), minlength=classes).clamp_min(1)
        self._weight = 1.0 / count[samples.label.cpu()]

    def draw(self, size: int) -> Batch:
        """`size` samples."""
        index = torch.multinomial(self._weight, size, replacement=True, generator=self._generator)
        index = index.to(self.samples.label.device)
        inputs = {name: item[index] for name, item in self.samples.inputs.items()}
        return Batch(inputs, self.samples.label[index], index)


def draw_present(modalities: Sequence[str], dropout: float, generator: torch.Generator) -> Present:
    """Each modality is absent with chance `dropout`; when all are, one at random is present."""
    draws = torch.rand(len(modalities), generator=generator).tolist()
    kept = frozenset(name for name, draw in zip(modalities, draws, strict=True) if draw >= dropout)
    return kept or frozenset({modalities[int(torch.randint(len(modalities), (), generator=generator))]})
