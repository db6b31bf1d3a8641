"""Batches to adapt with: those of the recordings, and among them some of the synthetic world."""

from __future__ import annotations

from sentryfuse_core.lab.training.data import LabelledBatch, make_batch
from sentryfuse_core.lab.training.pool import SamplePool
from sentryfuse_core.lab.training.spoiling import AGES_S
from sentryfuse_core.lab.training.trainer import BatchSource
from sentryfuse_core.lab.world.config import WorldConfig

__all__ = ["rehearsing", "world_batches"]

_REUSE = 8  # steps that a batch of the world pays for: what was learned is only to be kept
_FIRST = 4  # batches made before the first of them is used
_KEPT = 24  # batches in memory, half a MB a frame


def rehearsing(own: BatchSource, world: BatchSource, *, share: float) -> BatchSource:
    """Batches of `own`, but for the `share` 0..1 of steps, evenly among them, that rehearse the `world`."""

    def batch(step: int) -> LabelledBatch:
        turn = int((step + 1) * share)
        return world(turn - 1) if turn > int(step * share) else own(step)

    return batch


def world_batches(world: WorldConfig, *, batch: int, seed: int, device: str = "cpu") -> BatchSource:
    """The synthetic world with all four sensors and their raw data, so that faults are rehearsed too."""
    return SamplePool(
        lambda step: make_batch(world, batch=batch, seed=seed, step=step, device=device, ages_s=AGES_S),
        reuse=_REUSE,
        kept=_KEPT,
        first=_FIRST,
    )
