"""What the parts of the benchmark share, and how they tell of their progress."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sentryfuse_core.lab.bench.intervals import Interval
from sentryfuse_core.lab.bench.runtime.recording import Heard
from sentryfuse_core.lab.bench.runtime.setting import Setting
from sentryfuse_core.model.network import SentryFuseNet
from sentryfuse_core.preprocess.tensors import ModelInput
from sentryfuse_core.runtime.backend import Backend
from sentryfuse_core.runtime.bank import Bank

__all__ = ["Context", "Report", "interval_mapping", "steps"]

Report = Callable[[str, int, int], None]  # part, steps done, steps in all


@dataclass(frozen=True, eq=False, kw_only=True)
class Context:
    """One run of the benchmark: its recording, the network under test, warm, and its dense references."""

    setting: Setting
    report: Report
    folder: Path  # for what is not kept
    bag: Path
    heard: Heard
    inputs: tuple[ModelInput, ...]  # the sets of `heard`, on the CPU
    bank: Bank
    backend: Backend  # eager
    dense: Mapping[str, SentryFuseNet]  # by kind, on the device

    @property
    def levels(self) -> range:
        """Pruning levels."""
        return range(len(self.bank.levels))


@contextmanager
def steps(context: Context, part: str, total: int) -> Iterator[Callable[[], None]]:
    """What to call after each of `total` steps of a part."""
    done = 0
    context.report(part, 0, total)

    def step() -> None:
        nonlocal done
        done += 1
        context.report(part, min(done, total), total)

    yield step


def interval_mapping(interval: Interval) -> dict[str, Any]:
    """Plain values for JSON, which has no NaN."""
    return {
        "median": round(interval.mean, 4),
        "low": None if math.isnan(interval.low) else round(interval.low, 4),
        "high": None if math.isnan(interval.high) else round(interval.high, 4),
        "n": interval.runs,
    }
