"""What a switch of sensors and level costs: the look-up, the first inference after it, and its result."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sentryfuse_core.lab.bench.intervals import ratio_of_medians
from sentryfuse_core.lab.bench.runtime.context import Context, interval_mapping, steps, undisturbed
from sentryfuse_core.lab.bench.runtime.latency import ranks, stopwatch
from sentryfuse_core.model.heads import HeadOutput
from sentryfuse_core.preprocess.tensors import ModelInput
from sentryfuse_core.runtime.backend import Backend
from sentryfuse_core.runtime.bank import Bank
from sentryfuse_core.runtime.load import load_bank, make_backend
from sentryfuse_core.types import Modality, ModalitySet

__all__ = [
    "Choice",
    "choices_of",
    "first_runs",
    "identical_outputs",
    "look_up_us",
    "random_switches",
    "switch_part",
]

Choice = tuple[ModalitySet, int, ModalitySet]  # the sensors that are there, the level, those that are poor
_STEADY_RUNS = 3
_SEED = 20_240


def switch_part(context: Context) -> dict[str, Any]:
    """Look-ups, first inferences against steady ones, and outputs against a fresh build's."""
    setting, bank, backend = context.setting, context.bank, context.backend
    with undisturbed():
        look_up = look_up_us(bank, setting.switches)
        with steps(context, "first inference after a switch", setting.visits) as step:
            first_ms, steady_ms = first_runs(
                bank, backend, context.inputs, visits=setting.visits, device=setting.device, on_visit=step
            )
    context.report("outputs after a switch", 0, 1)

    def fresh() -> tuple[Bank, Backend]:
        own = load_bank(setting.model())
        return own, make_backend(own, setting.model())

    same, total = identical_outputs(bank, backend, fresh, context.inputs[0])
    ratios = first_ms / steady_ms
    median = ratio_of_medians(ratios, np.ones_like(ratios))
    return {
        "look_up_us": ranks(look_up),
        "first": {**interval_mapping(median), **ranks(ratios)},
        "plans": len(choices_of(bank)),
        "identical": {"same": same, "of": total},
    }


def choices_of(bank: Bank, *, poor: bool = True) -> list[Choice]:
    """All that `bank` has a plan for, each set of sensors at each level; with any of them poor, if asked."""
    found = []
    for mask in ModalitySet.subsets():
        subsets = [ModalitySet(bits) for bits in range(1 << len(Modality)) if bits & mask.bits == bits]
        for level in range(len(bank.levels)):
            plain = bank.plan(mask, level, "")
            for bad in subsets if poor else subsets[:1]:
                plan = bank.plan(mask, level, "", bad)
                # Where being poor changes nothing, and where nothing is left, there is nothing to switch to.
                if plan.mask and (not bad or (plan.mask, plan.parts) != (plain.mask, plain.parts)):
                    found.append((mask, level, bad))
    return found


def random_switches(choices: Sequence[Choice], count: int) -> Iterator[Choice]:
    """`count` random ones, no two the same in a row; the same ones every time."""
    rng = np.random.default_rng(_SEED)
    last = -1
    for _ in range(count):
        last = (last + 1 + int(rng.integers(len(choices) - 1))) % len(choices)
        yield choices[last]


def look_up_us(bank: Bank, count: int) -> list[float]:
    """Microseconds [count] that choosing another sub-network takes, one after another."""
    found = []
    for mask, level, poor in random_switches(choices_of(bank), count):
        began_ns = time.perf_counter_ns()
        bank.plan(mask, level, "benchmark", poor)
        found.append((time.perf_counter_ns() - began_ns) / 1e3)
    return found


def first_runs(
    bank: Bank,
    backend: Backend,
    inputs: Sequence[ModelInput],
    *,
    visits: int,
    device: str = "cpu",
    on_visit: Callable[[], None] = lambda: None,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Switch to a random sub-network, run it once and then a few times more, over and over.

    Milliseconds of the first inferences, and the median of all later ones of that sub-network: [visits] each.
    """
    clock = stopwatch(device)
    firsts: list[tuple[Choice, float]] = []
    steady: dict[Choice, list[float]] = {}
    for index, choice in enumerate(random_switches(choices_of(bank), visits)):
        mask, level, poor = choice
        fed = inputs[index % len(inputs)].only(bank.plan(mask, level, "", poor).mask)

        def infer(choice: Choice = choice, fed: ModelInput = fed) -> None:
            mask, level, poor = choice
            backend.run(fed, bank.plan(mask, level, "benchmark", poor))

        firsts.append((choice, clock(infer)))
        steady.setdefault(choice, []).extend(clock(infer) for _ in range(_STEADY_RUNS))
        on_visit()
    medians = {choice: float(np.median(times)) for choice, times in steady.items()}
    return np.array([took for _, took in firsts]), np.array([medians[choice] for choice, _ in firsts])


def identical_outputs(
    bank: Bank, backend: Backend, fresh: Callable[[], tuple[Bank, Backend]], inputs: ModelInput
) -> tuple[int, int]:
    """Of all sub-networks, entered by a switch: how many give a fresh build's output to the bit; of how many.

    `fresh` loads the weights anew.
    """
    choices = choices_of(bank, poor=False)
    np.random.default_rng(_SEED).shuffle(choices)
    same = 0
    for mask, level, _ in choices:
        plan = bank.plan(mask, level, "benchmark")
        fed = inputs.only(plan.mask)
        switched = backend.run(fed, plan)
        own_bank, own_backend = fresh()
        same += _equal(switched, own_backend.run(fed, own_bank.plan(mask, level, "benchmark")))
    return same, len(choices)


def _equal(one: HeadOutput, other: HeadOutput) -> bool:
    pairs = [(one.heatmap, other.heatmap), (one.boxes, other.boxes)]
    pairs += [(logits, other.evidence[modality]) for modality, logits in one.evidence.items()]
    return all(torch.equal(*pair) for pair in pairs)
