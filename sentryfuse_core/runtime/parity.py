"""Whether fewer bits find what eager finds: scores and boxes of a few sets, within stated limits."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch

from sentryfuse_core.model.heads import HeadOutput
from sentryfuse_core.preprocess.tensors import ModelInput
from sentryfuse_core.runtime.backend import Backend
from sentryfuse_core.runtime.bank import Bank, blank_input
from sentryfuse_core.types import ModalitySet

__all__ = ["apart", "compare", "too_far"]

_LIMITS = {"score": 0.05, "box": 0.1}  # a score of 0..1; metres, and logarithms of a side's
_SURE = 0.1  # boxes count where eager's score is at least this, or among its best
_BEST = 20
_SETS = 3


def compare(bank: Bank, backend: Backend, eager: Backend) -> Mapping[str, float]:
    """The farthest that `backend` is apart from `eager`, on noise, all sensors or one, widest and narrowest.

    Raises BackendError where one of them fails.
    """
    farthest = dict.fromkeys(_LIMITS, 0.0)
    masks = [ModalitySet.all(), *(ModalitySet.of(modality) for modality in ModalitySet.all())]
    for seed in range(_SETS):
        inputs = _noise(seed)
        for mask in masks:
            for level in sorted({bank.loaded[0], bank.loaded[-1]}):
                plan = bank.plan(mask, level, "comparing")
                given = inputs.only(plan.mask)
                found = apart(backend.run(given, plan), eager.run(given, plan))
                farthest = {name: max(far, found[name]) for name, far in farthest.items()}
    return farthest


def apart(given: HeadOutput, right: HeadOutput) -> Mapping[str, float]:
    """How far scores anywhere, and boxes where something may be, are apart; infinite where not finite."""
    scores, wanted = given.heatmap.sigmoid(), right.heatmap.sigmoid()
    best = wanted.amax(dim=1).flatten()  # [B * 32 * 32]
    least = min(_SURE, float(best.topk(min(_BEST, len(best))).values[-1]))
    there = best >= least
    boxes = (given.boxes - right.boxes).abs().amax(dim=1).flatten()[there]
    found = {"score": float((scores - wanted).abs().max()), "box": float(boxes.max())}
    return {name: far if math.isfinite(far) else math.inf for name, far in found.items()}


def too_far(found: Mapping[str, float]) -> str:
    """What is farther apart than it may be; empty when nothing is."""
    far = {name: found.get(name, math.inf) for name in _LIMITS}
    return ", ".join(
        f"a {name} by {value:.2g} of {_LIMITS[name]:g}"
        for name, value in far.items()
        if value > _LIMITS[name]
    )


def _noise(seed: int) -> ModelInput:
    generator = torch.Generator().manual_seed(seed)
    blank = {name: tensor for name, tensor in vars(blank_input()).items() if tensor is not None}
    return ModelInput(
        **{
            name: torch.ones_like(tensor)
            if name == "quality"
            else torch.rand(tensor.shape, generator=generator)
            for name, tensor in blank.items()
        }
    )
