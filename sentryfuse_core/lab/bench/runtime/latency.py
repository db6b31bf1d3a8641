"""Latency of many sub-networks in turn, and ratios of medians with their intervals."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sentryfuse_core.lab.bench.intervals import Interval
from sentryfuse_core.lab.bench.runtime.arms import Arm
from sentryfuse_core.preprocess.tensors import ModelInput

__all__ = ["interleaved", "percentiles", "ratio_of_medians", "stopwatch"]

_LEVEL = 0.95
_DRAWS = 2000
_WARM_UP = 2  # rounds
_SEED = 20_240

Work = Callable[[], object]


def stopwatch(device: str) -> Callable[[Work], float]:
    """What measures milliseconds of one call: by wall clock, or on a GPU between two CUDA events."""
    if device == "cpu":
        return _wall_ms

    def between_events_ms(work: Work) -> float:
        event: Any = torch.cuda.Event
        began, ended = event(enable_timing=True), event(enable_timing=True)
        torch.cuda.synchronize()
        began.record()
        work()
        ended.record()
        torch.cuda.synchronize()
        return float(began.elapsed_time(ended))

    return between_events_ms


def _wall_ms(work: Work) -> float:
    began_ns = time.perf_counter_ns()
    work()
    return (time.perf_counter_ns() - began_ns) / 1e6


def interleaved(
    arms: Sequence[Arm],
    inputs: Sequence[ModelInput],
    *,
    rounds: int,
    device: str = "cpu",
    on_round: Callable[[], None] = lambda: None,
) -> list[NDArray[np.float64]]:
    """Milliseconds [rounds] of each arm.

    Every round runs every arm once, in an order of its own and all on the same input, so that whatever
    else the machine does hits all alike; two rounds before are not counted.
    """
    clock, rng = stopwatch(device), np.random.default_rng(_SEED)
    found = np.zeros((len(arms), rounds))
    for index in range(-_WARM_UP, rounds):
        whole = inputs[index % len(inputs)]
        for place in rng.permutation(len(arms)):
            arm = arms[place]
            fed = arm.feed(whole)
            took_ms = clock(lambda arm=arm, fed=fed: arm.run(fed))  # type: ignore[misc]
            if index >= 0:
                found[place, index] = took_ms
        on_round()
    return list(found)


def percentiles(times_ms: NDArray[np.float64]) -> Mapping[str, float]:
    """p50, p95, p99 and the largest."""
    values = np.quantile(times_ms, (0.5, 0.95, 0.99, 1.0))
    return dict(zip(("p50", "p95", "p99", "max"), (round(float(v), 4) for v in values), strict=True))


def ratio_of_medians(above: NDArray[np.float64], below: NDArray[np.float64]) -> Interval:
    """median(above) / median(below) of the same rounds [n], with a percentile bootstrap over the rounds."""
    ratio = float(np.median(above) / np.median(below))
    if len(above) < 2:
        return Interval(ratio, runs=len(above))
    drawn = np.random.default_rng(_SEED).integers(0, len(above), (_DRAWS, len(above)))
    ratios = np.median(above[drawn], axis=1) / np.median(below[drawn], axis=1)
    low, high = np.quantile(ratios, ((1 - _LEVEL) / 2, (1 + _LEVEL) / 2))
    return Interval(ratio, float(low), float(high), len(above))
