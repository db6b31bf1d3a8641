"""The bank: one network, the plans of all its sub-networks, and how good each was when evaluated.

Every level is a prefix of the same tensors, so that all sub-networks together are one model in memory, and a
switch is a dictionary look-up.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import torch

from sentryfuse_core.errors import BackendError
from sentryfuse_core.model.checkpoint import Checkpoint
from sentryfuse_core.model.shape import ModelShape
from sentryfuse_core.preprocess.geometry import GEOMETRY
from sentryfuse_core.preprocess.quality import MEASURES
from sentryfuse_core.preprocess.tensors import ModelInput
from sentryfuse_core.pruning.part_gate import NOBODY, make_gate
from sentryfuse_core.pruning.plan import UNIFORM, kind_of, make_plan
from sentryfuse_core.runtime.cut import cut_to, weight_bytes
from sentryfuse_core.types import Modality, ModalitySet, Plan

__all__ = ["Bank", "blank_input"]

_UNEVALUATED_THRESHOLD = 0.3  # of a checkpoint whose manifest has no scores


class Bank:
    """What a checkpoint offers from its level `max_level` on; all sub-networks are views of the same weights.

    Attributes:
        network: at every level from `max_level` on; at wider ones its answers are wrong.
        levels: share of units kept, by level, whether loaded or not.
        loaded: the levels that may run.
        kind: how widths are chosen, `uniform` or `gate`.
    """

    def __init__(self, checkpoint: Checkpoint, *, max_level: int = 0) -> None:
        """Raises BackendError when the checkpoint has no such level."""
        self.identity = checkpoint.identity
        self.digest: str = checkpoint.manifest["sha256"]
        self.labels: tuple[str, ...] = tuple(checkpoint.manifest["labels"])
        self.gate = make_gate(checkpoint.shape, checkpoint.manifest)
        self.kind = kind_of(self.gate)
        self.levels: tuple[float, ...] = self._shares(checkpoint.shape)
        self.loaded = range(max_level, len(self.levels))
        if not self.loaded:
            raise BackendError(
                f"model.max_level = {max_level}: {self.identity} has the levels 0 to {len(self.levels) - 1}"
            )
        self.network = checkpoint.network()
        self._plans: dict[tuple[int, int, int], Plan] = {}  # by bits of sensors, of poor ones, level
        for mask in (ModalitySet(), *ModalitySet.subsets()):
            for poor in (ModalitySet(), *ModalitySet.subsets()):
                for level in self.loaded if poor & mask == poor else ():
                    self._plans[mask.bits, poor.bits, level] = self._make(mask, poor, level)
        if max_level:
            cut_to(self.network, {plan.parts for plan in self._plans.values()}, blank_input())
        self._evaluated = _evaluated(checkpoint.manifest)

    def _make(self, mask: ModalitySet, poor: ModalitySet, level: int) -> Plan:
        choice = self.gate.choose(mask, level, poor)
        return make_plan(self.network.shape, choice, present=mask, level=level, kind=self.kind)

    def _shares(self, shape: ModelShape) -> tuple[float, ...]:
        """Of the units, or of all sensors' work, that each level keeps."""
        if self.kind == UNIFORM:
            return shape.widths
        everything = [self.gate.choose(ModalitySet.all(), level).gmacs for level in range(self.gate.levels)]
        return tuple(gmacs / everything[0] for gmacs in everything)

    def plan(self, mask: ModalitySet, level: int, reason: str, poor: ModalitySet = NOBODY) -> Plan:
        """What runs for the sensors in `mask` at `level`, those in `poor` being hardly trusted.

        Its own `mask` are the sensors that run. Raises BackendError if there is no such level.
        """
        found = self._plans.get((mask.bits, poor.bits, level))
        if found is None:
            raise BackendError(self._no_level(level))
        return found.because(reason)

    @cached_property
    def sub_networks(self) -> tuple[Plan, ...]:
        """One plan for each set of sensors and widths that may run, whatever they are chosen for."""
        plans = (plan for plan in self._plans.values() if plan.mask)
        return tuple({(plan.mask.bits, plan.parts): plan for plan in plans}.values())

    @property
    def trusting(self) -> bool:
        """Whether these weights trust sensors by the quality of their data."""
        return self.network.trust is not None

    def trust(self, inputs: ModelInput) -> dict[Modality, float]:
        """How far each sensor that is there is trusted, 0..1; empty where these weights do not tell."""
        head = self.network.trust
        if head is None or inputs.quality is None:
            return {}
        with torch.inference_mode():
            found = head(inputs.quality, inputs.present)
        return {modality: min(1.0, float(values[0])) for modality, values in found.items()}

    @property
    def weight_bytes(self) -> int:
        """Memory that the weights and constants of all sub-networks take together."""
        return weight_bytes(self.network)

    def recall(self, mask: ModalitySet, level: int) -> tuple[float, float]:
        """Recall at 4 m of `mask` at `level`, and of the canvas without tokens; NaN where not evaluated."""
        return self._number(mask.bits, level, "recall_4m"), self._number(0, level, "recall_4m")

    def found(self, mask: ModalitySet, level: int) -> tuple[float, ...]:
        """Share of the objects of each class that `mask` finds within 2 m; NaN where not evaluated."""
        row = self._evaluated.get((mask.bits, level), {})
        within_4m = row.get("recall_4m", math.nan)
        closer = row.get("recall_2m", within_4m) / within_4m if within_4m else 0.0
        by_class = row.get("recall_4m_by_class", [within_4m] * len(self.labels))
        return tuple(share * closer for share in by_class)

    def score_threshold(self, mask: ModalitySet, level: int) -> float:
        """The score above which `mask` gave as many detections as there were boxes; NaN where not evaluated.

        A network that sees less is less sure: one threshold for all sensors would silence the weak ones.
        """
        return self._number(mask.bits, level, "score_threshold")

    def threshold(self, mask: ModalitySet, level: int, *, asked: float) -> float:
        """The score below which nothing is told: `asked`, or the checkpoint's own where that is 0."""
        own = self.score_threshold(mask, level)
        return asked or (_UNEVALUATED_THRESHOLD if math.isnan(own) else own)

    def calibration(self, mask: ModalitySet, level: int) -> tuple[float, float]:
        """Slope and offset for logits that make scores the chance of being right; 1 and 0 where unknown.

        What a sensor set scores says little by itself: a network that sees less is less, or falsely, sure.
        """
        slope, offset = self._evaluated.get((mask.bits, level), {}).get("calibration", (1.0, 0.0))
        return slope, offset

    def maps(self) -> dict[tuple[int, int], float]:
        """Mean average precision, 0..1, by (mask bits, level), as far as it was evaluated."""
        return {key: row["map"] for key, row in self._evaluated.items() if "map" in row}

    def _no_level(self, level: int) -> str:
        if 0 <= level < self.loaded.start:
            return (
                f"level {level} is not loaded: model.max_level = {self.loaded.start}; "
                f"give a level from there on, or set model.max_level = {level}"
            )
        return (
            f"{self.identity} has no level {level}; give one of {self.loaded.start} to {len(self.levels) - 1}"
        )

    def _number(self, bits: int, level: int, key: str) -> float:
        value: float = self._evaluated.get((bits, level), {}).get(key, math.nan)
        return value


def blank_input() -> ModelInput:
    """One set of zeros of every sensor's shape, for warming up, measuring and tracing."""
    geometry = GEOMETRY
    return ModelInput(
        camera=torch.zeros(1, 3, geometry.image_height, geometry.image_width),
        camera_position=torch.zeros(1, 3),
        lidar=torch.zeros(1, geometry.pillar_channels, geometry.pillar_cells, geometry.pillar_cells),
        imu=torch.zeros(1, geometry.imu_steps, 6),
        tilt=torch.zeros(1, 2),
        audio=torch.zeros(1, geometry.audio_bearings, geometry.audio_features),
        quality=torch.zeros(1, len(MEASURES)),
    )


def _evaluated(manifest: Mapping[str, Any]) -> dict[tuple[int, int], Mapping[str, Any]]:
    rows = manifest.get("evaluation", {}).get("rows", [])
    return {(row["mask"], row["level"]): row for row in rows}
