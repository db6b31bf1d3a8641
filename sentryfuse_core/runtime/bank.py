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
        self._evaluated = _evaluated(checkpoint.manifest)

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
        return self._number(mask.bits, level, "recall_4m"), self._number(0, level, "recall_4m")

    def score_threshold(self, mask: ModalitySet, level: int) -> float:
        """The score above which `mask` gave as many detections as there were boxes; NaN where not evaluated.

        A network that sees less is less sure: one threshold for all sensors would silence the weak ones.
        """
        return self._number(mask.bits, level, "score_threshold")

    def calibration(self, mask: ModalitySet, level: int) -> tuple[float, float]:
        """Slope and offset for logits that make scores the chance of being right; 1 and 0 where unknown.

        What a sensor set scores says little by itself: a network that sees less is less, or falsely, sure.
        """
        slope, offset = self._evaluated.get((mask.bits, level), {}).get("calibration", (1.0, 0.0))
        return slope, offset

    def maps(self) -> dict[tuple[int, int], float]:
        """Mean average precision, 0..1, by (mask bits, level), as far as it was evaluated."""
        return {key: row["map"] for key, row in self._evaluated.items() if "map" in row}

    def _number(self, bits: int, level: int, key: str) -> float:
        value: float = self._evaluated.get((bits, level), {}).get(key, math.nan)
        return value


def _evaluated(manifest: Mapping[str, Any]) -> dict[tuple[int, int], Mapping[str, Any]]:
    rows = manifest.get("evaluation", {}).get("rows", [])
    return {(row["mask"], row["level"]): row for row in rows}
