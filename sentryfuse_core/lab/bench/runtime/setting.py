"""What the benchmark measures, and how often."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sentryfuse_core.config import ModelConfig

__all__ = ["QUICK", "Setting"]

QUICK: dict[str, Any] = {"rounds": 3, "visits": 45, "switches": 90, "seconds": 3.0, "starts": 1}


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What is measured, and how often."""

    checkpoint: Path
    device: str = "cpu"
    threads: int = 2
    backends: tuple[str, ...] = ("eager",)
    rounds: int = 150  # of every sub-network, interleaved
    visits: int = 900  # random switches with the first inference after them
    switches: int = 10_000  # look-ups, and sets through the main path
    seconds: float = 20.0  # of the recording
    starts: int = 3  # of the node; one before them is not counted

    def model(self, backend: str = "eager", *, max_level: int = 0) -> ModelConfig:
        """The parameters of the network under test."""
        return ModelConfig(
            checkpoint=str(self.checkpoint),
            device=self.device,
            threads=self.threads,
            backend=backend,
            max_level=max_level,
        )
