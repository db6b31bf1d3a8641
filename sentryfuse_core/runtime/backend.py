"""The seam between the pipeline and whatever runs the network, and the warm-up that all of them share."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple, Protocol

from sentryfuse_core.model.heads import HeadOutput
from sentryfuse_core.preprocess.tensors import ModelInput
from sentryfuse_core.runtime.bank import Bank, blank_input
from sentryfuse_core.types import ModalitySet, Plan

__all__ = ["Backend", "RanBy", "ran_by", "time_all", "times_of"]

_RUNS = 2  # that are timed, after one that is not


class RanBy(NamedTuple):
    """What ran the network for one set: see `Backend`."""

    name: str
    device: str
    reason: str


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
    def batches(self) -> bool:
        """Whether `run` takes several sets, or sectors of one, at once."""
        ...

    @property
    def opening(self) -> bool:
        """Whether a thread still opens what `open_beside` began: until then runs take other times."""
        ...

    @property
    def faults(self) -> tuple[str, ...]:
        """What is wrong at the moment and a person should know; empty when all is well."""
        ...

    def run(self, inputs: ModelInput, plan: Plan) -> HeadOutput:
        """Maps on the CPU for inputs [B, ...] whose sensors are `plan.mask`; raises BackendError."""
        ...

    def open_beside(self) -> bool:
        """Whether sets may run at once, without a warm-up; what that needs is opened in a thread."""
        ...

    def warm_up(self) -> Mapping[tuple[int, int], float]:
        """Run every sub-network; median milliseconds by (mask bits, level)."""
        ...


def ran_by(backend: Backend) -> RanBy:
    """What runs the network at this moment."""
    return RanBy(backend.name, backend.device, backend.reason)


def time_all(run: Callable[[ModelInput, Plan], HeadOutput], bank: Bank) -> Mapping[tuple[int, int], float]:
    """Median milliseconds of each of the 15 sets of sensors at each loaded level, by (mask bits, level).

    Before, every sub-network runs once, also those that only run beside a poor sensor.
    """
    blank = blank_input()
    for plan in bank.sub_networks:
        run(blank.only(plan.mask), plan)
    return {
        (mask.bits, level): statistics.median(times_of(run, bank, mask, level))
        for mask in ModalitySet.subsets()
        for level in bank.loaded
    }


def times_of(
    run: Callable[[ModelInput, Plan], HeadOutput], bank: Bank, mask: ModalitySet, level: int
) -> Iterator[float]:
    """Milliseconds of a few runs of one sub-network on blank inputs, after one that is not timed."""
    plan = bank.plan(mask, level, "warm-up")
    inputs = blank_input().only(plan.mask)
    run(inputs, plan)
    for _ in range(_RUNS):
        started_s = time.perf_counter()
        run(inputs, plan)
        yield (time.perf_counter() - started_s) * 1e3
