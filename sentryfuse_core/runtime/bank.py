"""The bank: one network, the plans of all its sub-networks, and how good each was when evaluated."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from sentryfuse_core.errors import BackendError
from sentryfuse_core.model.checkpoint import Checkpoint
from sentryfuse_core.pruning.plan import plan_table
from sentryfuse_core.types import ModalitySet, Plan

__all__ = ["Bank"]


class Bank:
    """Everything a checkpoint offers; all sub-networks are views of the same weights."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.network = checkpoint.network()
        self.identity = checkpoint.identity
        self.labels: tuple[str, ...] = tuple(checkpoint.manifest["labels"])
        self.levels: tuple[float, ...] = checkpoint.shape.widths  # share of units kept, by level
        self._plans = plan_table(checkpoint.shape)
        self._recall = _recalls(checkpoint.manifest)

    def plan(self, mask: ModalitySet, level: int, reason: str) -> Plan:
        """The sub-network for the sensors in `mask` at `level`; raises BackendError if there is none."""
        found = self._plans.get((mask.bits, level))
        if found is None:
            raise BackendError(
                f"{self.identity} has no level {level}; give one of 0 to {len(self.levels) - 1}"
            )
        return dataclasses.replace(found, reason=reason)

    def recall(self, mask: ModalitySet, level: int) -> tuple[float, float]:
        """Recall at 4 m of `mask` at `level`, and of the canvas without tokens; NaN where not evaluated."""
        return self._recall.get((mask.bits, level), math.nan), self._recall.get((0, level), math.nan)


def _recalls(manifest: Mapping[str, Any]) -> dict[tuple[int, int], float]:
    rows = manifest.get("evaluation", {}).get("rows", [])
    return {(row["mask"], row["level"]): row["recall_4m"] for row in rows}
