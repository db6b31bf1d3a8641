"""What the benchmark measures and how often, what its parts share, and how they tell of their progress."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sentryfuse_core.config import ModelConfig
from sentryfuse_core.json_values import json_value
from sentryfuse_core.lab.bench.intervals import Interval
from sentryfuse_core.lab.bench.runtime.recording import Heard
from sentryfuse_core.model.network import SentryFuseNet
from sentryfuse_core.preprocess.tensors import ModelInput
from sentryfuse_core.runtime.backend import Backend
from sentryfuse_core.runtime.bank import Bank

__all__ = ["BFLOAT16", "QUICK", "Context", "Report", "Setting", "interval_mapping", "steps", "undisturbed"]

BFLOAT16 = "openvino-bfloat16"  # of backends, where the processor has it

QUICK: dict[str, Any] = {
    "rounds": 3,
    "visits": 45,
    "switches": 90,
    "seconds": 3.0,
    "starts": 1,
    "paced": 5,
    "block_s": 0.1,
}

Report = Callable[[str, int, int], None]  # part, steps done, steps in all


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What is measured, and how often."""

    checkpoint: Path
    device: str = "cpu"
    threads: int = 2
    backends: tuple[str, ...] = ("eager",)  # with a precision behind a dash, see `model`
    engines: str = ""  # folder for what is built for backends; empty: the user's cache
    rounds: int = 80  # of every sub-network, interleaved
    visits: int = 900  # random switches with the first inference after them
    switches: int = 10_000  # look-ups, and sets through the main path
    seconds: float = 20.0  # of the recording
    paced: int = 100  # sets at the sensors' pace, each time
    starts: int = 3  # of the node; one before them is not counted
    block_s: float = 1.0  # of inferences whose energy is counted together

    def model(self, backend: str = "eager", *, max_level: int = 0) -> ModelConfig:
        """The parameters of the network under test; openvino by itself is in float32, see `BFLOAT16`."""
        name, _, precision = backend.partition("-")
        return ModelConfig(
            checkpoint=str(self.checkpoint),
            device=self.device,
            threads=self.threads,
            backend=name,
            precision=precision or ("float32" if name == "openvino" else "auto"),
            max_level=max_level,
            engine_dir=self.engines,
        )


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
    dense_file: Path  # the first of them as weights, which backends can run

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


@contextmanager
def undisturbed() -> Iterator[None]:
    """What is loaded by now is not looked through for garbage meanwhile, as the node does once it is warm."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def interval_mapping(interval: Interval) -> dict[str, Any]:
    """Plain values for JSON, which has no NaN."""
    values = {"median": interval.mean, "low": interval.low, "high": interval.high}
    return {**json_value(values, 4), "n": interval.runs}
