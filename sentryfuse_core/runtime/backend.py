"""The seam between the pipeline and whatever runs the network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from sentryfuse_core.model.heads import HeadOutput
from sentryfuse_core.preprocess.tensors import ModelInput
from sentryfuse_core.types import Plan

__all__ = ["Backend"]


class Backend(Protocol):
    """Runs one planned sub-network at a time, from one thread."""

    @property
    def name(self) -> str:
        """What runs the network, e.g. eager."""
        ...

    @property
    def device(self) -> str:
        """Where it runs now, e.g. cpu or cuda:0."""
        ...

    @property
    def reason(self) -> str:
        """Why this one runs, in one phrase; empty where nobody chose."""
        ...

    @property
    def faults(self) -> tuple[str, ...]:
        """What is wrong at the moment and a person should know; empty when all is well."""
        ...

    def run(self, inputs: ModelInput, plan: Plan) -> HeadOutput:
        """Maps on the CPU for inputs [B, ...] whose sensors are `plan.mask`; raises BackendError."""
        ...

    def warm_up(self) -> Mapping[tuple[int, int], float]:
        """Run every sub-network; median milliseconds by (mask bits, level)."""
        ...
