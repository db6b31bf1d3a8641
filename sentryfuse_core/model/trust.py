"""TrustHead: how much each present sensor may contribute, by what is measured of all of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from sentryfuse_core.preprocess.quality import Measure
from sentryfuse_core.types import Modality, ModalitySet

__all__ = ["TrustHead"]

_FULL = 5.0  # logit of full trust: high enough to overshoot by less than a hundredth, low enough to move
_HIDDEN = 32


class TrustHead(nn.Module):
    """From presence and quality to one factor for each sensor, 1 for all of them before any training.

    The hidden layer has no bias: measures as they are on a good day (0) change nothing, whatever is learned.
    What the sensors that are there say beside it is added last, so that one may be trusted less for another's
    sake.
    """

    centre: Tensor  # [measures] of good data
    scale: Tensor  # [measures] by how much good data differs
    owners: Tensor  # [measures] index of the sensor that each measure is of

    def __init__(self, measures: Sequence[Measure]) -> None:
        """`measures` in the order of the quality that the network will be given."""
        super().__init__()
        order = list(Modality)
        self.register_buffer("centre", torch.zeros(len(measures)))
        self.register_buffer("scale", torch.ones(len(measures)))
        owners = torch.tensor([order.index(measure.modality) for measure in measures])
        self.register_buffer("owners", owners, persistent=False)
        self.hidden = nn.Linear(len(measures), _HIDDEN, bias=False)
        self.presence = nn.Linear(len(Modality), len(Modality), bias=False)
        self.trust = nn.Linear(_HIDDEN, len(Modality), bias=False)
        nn.init.zeros_(self.presence.weight)
        nn.init.zeros_(self.trust.weight)

    def forward(self, quality: Tensor, present: Iterable[Modality]) -> dict[Modality, Tensor]:
        """Trust [B] of each sensor in `present`, above 0 and at most 1 (give or take a hundredth).

        `quality` [B, measures] is in the units of its declaration. Measures of absent sensors do not count;
        one that is NaN was not taken, and counts as it is on a good day.
        """
        names = ModalitySet.of(*present)
        # Filled on the device: a graph that is captured there can take nothing from the host.
        there = torch.cat([quality.new_full((1,), float(modality in names)) for modality in Modality])
        told = torch.where(quality.isnan(), self.centre, quality)
        deviation = ((told - self.centre) / self.scale).clamp(-8.0, 8.0) * there[self.owners]
        hidden = functional.leaky_relu(self.hidden(deviation), 0.1)
        logits = _FULL + self.trust(hidden) + self.presence(there)
        factors = logits.sigmoid() / logits.new_full((), _FULL).sigmoid()
        return {modality: factors[:, index] for index, modality in enumerate(Modality) if modality in names}
