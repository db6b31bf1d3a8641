"""Modality dropout: which sensors a part of the batch may use, harder as training goes on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch

from sentryfuse_core.types import Modality, ModalitySet

__all__ = ["Curriculum"]


_CHANCE = {Modality.CAMERA: 0.4, Modality.LIDAR: 0.9, Modality.IMU: 0.4, Modality.AUDIO: 0.15}


@dataclass(frozen=True, kw_only=True)
class Curriculum:
    """Sensors drop out with a chance that rises from 0; `alone` of the time the canvas is alone.

    The lidar drops out most: beside it the other sensors have little left to explain and learn slowly. The
    camera drops out more than audio, which learns least of all where anything sees what it hears.
    """

    chance: Mapping[Modality, float] = field(default_factory=lambda: _CHANCE)  # at the end of the ramp
    ramp: float = 0.1  # share of the training after which the full chance is reached
    alone: float = 0.05  # keeps the canvas without tokens a fair prior to compare with

    def mask(self, progress: float, generator: torch.Generator) -> ModalitySet:
        """Draw the sensors of one part of a batch at `progress` 0..1; empty means the canvas alone."""
        alone, *draws = torch.rand(1 + len(Modality), generator=generator).tolist()
        if alone < self.alone:
            return ModalitySet()
        rise = min(1.0, progress / self.ramp)
        margin = {m: draw - rise * self.chance[m] for m, draw in zip(Modality, draws, strict=True)}
        kept = ModalitySet.of(*(modality for modality in Modality if margin[modality] >= 0.0))
        return kept if kept else ModalitySet.of(max(Modality, key=lambda modality: margin[modality]))
