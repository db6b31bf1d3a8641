"""What a switch of sensors and level costs: the look-up, the first inference after it, and its result."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from sentryfuse_core.lab.bench.runtime.latency import stopwatch
from sentryfuse_core.model.heads import HeadOutput
from sentryfuse_core.preprocess.tensors import ModelInput
from sentryfuse_core.runtime.backend import Backend
from sentryfuse_core.runtime.bank import Bank
from sentryfuse_core.types import ModalitySet

__all__ = ["Choice", "FirstRuns", "first_runs", "identical_outputs", "look_up_us", "random_switches"]

Choice = tuple[ModalitySet, int]
_STEADY_RUNS = 3
_SEED = 20_240


@dataclass(frozen=True, eq=False)
class FirstRuns:
    """First inferences after a random switch, each against the steady median of its sub-network."""

    first_ms: NDArray[np.float64]  # [visits]
    steady_ms: NDArray[np.float64]  # [visits] median of all later runs of that sub-network

    @property
    def ratios(self) -> NDArray[np.float64]:
        """How many times as long the first one took: [visits]."""
        ratios: NDArray[np.float64] = self.first_ms / self.steady_ms
        return ratios


def random_switches(levels: int, count: int) -> Iterator[Choice]:
    """`count` random sub-networks, no two the same in a row; the same ones every time."""
    rng = np.random.default_rng(_SEED)
    choices = [(mask, level) for mask in ModalitySet.subsets() for level in range(levels)]
    last = -1
    for _ in range(count):
        last = (last + 1 + int(rng.integers(len(choices) - 1))) % len(choices)
        yield choices[last]


def look_up_us(bank: Bank, count: int) -> NDArray[np.float64]:
    """Microseconds [count] that choosing another sub-network takes, one after another."""
    found = []
    for mask, level in random_switches(len(bank.levels), count):
        began_ns = time.perf_counter_ns()
        bank.plan(mask, level, "benchmark")
        found.append((time.perf_counter_ns() - began_ns) / 1e3)
    return np.array(found)


def first_runs(
    bank: Bank,
    backend: Backend,
    inputs: Sequence[ModelInput],
    *,
    visits: int,
    device: str = "cpu",
    on_visit: Callable[[], None] = lambda: None,
) -> FirstRuns:
    """Switch to a random sub-network, run it once and then a few times more, over and over."""
    clock = stopwatch(device)
    firsts: list[tuple[Choice, float]] = []
    steady: dict[Choice, list[float]] = {}
    for index, (mask, level) in enumerate(random_switches(len(bank.levels), visits)):
        fed = inputs[index % len(inputs)].only(mask)

        def infer(mask: ModalitySet = mask, level: int = level, fed: ModelInput = fed) -> None:
            backend.run(fed, bank.plan(mask, level, "benchmark"))

        firsts.append(((mask, level), clock(infer)))
        steady.setdefault((mask, level), []).extend(clock(infer) for _ in range(_STEADY_RUNS))
        on_visit()
    medians = {choice: float(np.median(times)) for choice, times in steady.items()}
    return FirstRuns(
        np.array([took for _, took in firsts]), np.array([medians[choice] for choice, _ in firsts])
    )


def identical_outputs(
    bank: Bank, backend: Backend, fresh: Callable[[], tuple[Bank, Backend]], inputs: ModelInput
) -> tuple[int, int]:
    """Of all sub-networks, entered by a switch: how many give a fresh build's output to the bit; of how many.

    `fresh` loads the weights anew.
    """
    choices = [(mask, level) for mask in ModalitySet.subsets() for level in range(len(bank.levels))]
    np.random.default_rng(_SEED).shuffle(choices)
    same = 0
    for mask, level in choices:
        fed = inputs.only(mask)
        switched = backend.run(fed, bank.plan(mask, level, "benchmark"))
        own_bank, own_backend = fresh()
        same += _equal(switched, own_backend.run(fed, own_bank.plan(mask, level, "benchmark")))
    return same, len(choices)


def _equal(one: HeadOutput, other: HeadOutput) -> bool:
    pairs = [(one.heatmap, other.heatmap), (one.boxes, other.boxes)]
    pairs += [(logits, other.evidence[modality]) for modality, logits in one.evidence.items()]
    return all(torch.equal(*pair) for pair in pairs)
