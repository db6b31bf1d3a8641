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
    presences: Tensor  # [16, sensors] 1 where a sensor is there, by the bits of a set

    def __init__(self, measures: Sequence[Measure]) -> None:
        """`measures` in the order of the quality that the network will be given."""
        super().__init__()
        order = list(Modality)
        self.register_buffer("centre", torch.zeros(len(measures)))
        self.register_buffer("scale", torch.ones(len(measures)))
        owners = torch.tensor([order.index(measure.modality) for measure in measures])
        self.register_buffer("owners", owners, persistent=False)
        bits = torch.arange(1 << len(order))[:, None] & torch.tensor([modality.bit for modality in order])
        self.register_buffer("presences", (bits > 0).float(), persistent=False)
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
        return self.of_each(quality, [ModalitySet.of(*present)])[0]

    def of_each(self, quality: Tensor, sets: Sequence[ModalitySet]) -> list[dict[Modality, Tensor]]:
        """The same for each of `sets` of sensors that might be there, at once."""
        # Views of what is on the device: a graph that is captured there can take nothing from the host.
        there = torch.stack([self.presences[names.bits] for names in sets])[:, None].to(quality.dtype)
        told = torch.where(quality.isnan(), self.centre, quality)
        deviation = ((told - self.centre) / self.scale).clamp(-8.0, 8.0) * there[..., self.owners]
        hidden = functional.leaky_relu(self.hidden(deviation), 0.1)
        logits = _FULL + self.trust(hidden) + self.presence(there)
        factors = logits.sigmoid() / logits.new_full((), _FULL).sigmoid()  # [sets, B, sensors]
        return [
            {modality: values[:, index] for index, modality in enumerate(Modality) if modality in names}
            for names, values in zip(sets, factors, strict=True)
        ]
