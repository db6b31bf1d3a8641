"""Running every sub-network of a bank a few times: warms a backend up and tells how long each takes."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping

from sentryfuse_core.model.heads import HeadOutput
from sentryfuse_core.preprocess.tensors import ModelInput
from sentryfuse_core.runtime.bank import Bank
from sentryfuse_core.runtime.blank import blank_input
from sentryfuse_core.types import ModalitySet, Plan

__all__ = ["time_all"]

_RUNS = 2


def time_all(run: Callable[[ModelInput, Plan], HeadOutput], bank: Bank) -> Mapping[tuple[int, int], float]:
    """Run each of the 15 sets of sensors at each loaded level; median milliseconds by (mask bits, level)."""
    blank = blank_input()
    return {
        (mask.bits, level): _time(run, blank.only(mask), bank.plan(mask, level, "warm-up"))
        for mask in ModalitySet.subsets()
        for level in bank.loaded
    }


def _time(run: Callable[[ModelInput, Plan], HeadOutput], inputs: ModelInput, plan: Plan) -> float:
    times_ms = []
    run(inputs, plan)
    for _ in range(_RUNS):
        started_s = time.perf_counter()
        run(inputs, plan)
        times_ms.append((time.perf_counter() - started_s) * 1e3)
    return statistics.median(times_ms)
