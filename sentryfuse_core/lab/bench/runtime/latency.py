"""Latency of every backend, set of sensors and level, in one run with the dense network."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sentryfuse_core.account.latency import percentiles
from sentryfuse_core.config import ModelConfig
from sentryfuse_core.errors import BackendError
from sentryfuse_core.lab.bench.intervals import ratio_of_medians
from sentryfuse_core.lab.bench.runtime.arms import (
    ALL,
    BLIND,
    Arm,
    dense_arms,
    dense_arms_of,
    dense_in,
    planned_arms,
)
from sentryfuse_core.lab.bench.runtime.context import Context, interval_mapping, steps, undisturbed
from sentryfuse_core.lab.bench.runtime.dense import KINDS
from sentryfuse_core.model.network import FULL_WIDTH
from sentryfuse_core.preprocess.geometry import GEOMETRY
from sentryfuse_core.preprocess.tensors import ModelInput
from sentryfuse_core.pruning.macs import count_macs
from sentryfuse_core.runtime.backend import Backend
from sentryfuse_core.runtime.bank import Bank
from sentryfuse_core.runtime.export import build_onnx
from sentryfuse_core.runtime.lean.form import parts_of
from sentryfuse_core.runtime.load import load_bank, make_backend
from sentryfuse_core.runtime.openvino import build_openvino
from sentryfuse_core.runtime.store import Store
from sentryfuse_core.types import Modality, ModalitySet

__all__ = ["fastest", "interleaved", "latency_part", "ranks", "stopwatch"]

_WARM_UP = 2  # rounds
_SEED = 20_240

Work = Callable[[], object]


def latency_part(context: Context) -> dict[str, Any]:
    """Percentiles of every arm, what it costs, and how many times as fast as dense it is."""
    setting = context.setting
    arms, absent = _backends(context)
    arms += dense_arms(context.dense, setting.device)
    with steps(context, "latency", setting.rounds) as step, undisturbed():
        times = interleaved(arms, context.inputs, rounds=setting.rounds, device=setting.device, on_round=step)
    by_key = {(arm.name, arm.mask.bits, arm.level): took for arm, took in zip(arms, times, strict=True)}
    rows = []
    for arm, took in zip(arms, times, strict=True):
        row: dict[str, Any] = {
            "name": arm.name,
            "sensors": str(arm.mask),
            "mask": arm.mask.bits,
            "level": arm.level,
            **_cost(context, arm),
            "ms": ranks(took),
        }
        if arm.name in setting.backends:
            row["against_eager"] = _against(by_key, ["eager"], arm.mask, took, level=arm.level)
            for what, names in (("", KINDS), ("_in_it", (dense_in(arm.name),))):
                row[f"against_dense{what}"] = _against(by_key, names, arm.mask, took)
                if Modality.CAMERA not in arm.mask:
                    blind = [f"{name}{BLIND}" for name in names]
                    row[f"against_blind_dense{what}"] = _against(by_key, blind, ALL, took)
        rows.append(row)
    return {"arms": rows, "absent": absent}


def fastest(latency: Mapping[str, Any], backends: Iterable[str]) -> str:
    """The one of `backends` that takes least with all sensors at full width."""
    wide = {
        row["name"]: row["ms"]["p50"]
        for row in latency["arms"]
        if (row["mask"], row["level"]) == (ALL.bits, 0)
    }
    return min(backends, key=lambda name: float(wide[name]))


def _backends(context: Context) -> tuple[list[Arm], dict[str, str]]:
    """The sub-networks on every backend; and backends that do not run here, with the reason."""
    arms: list[Arm] = []
    absent: dict[str, str] = {}
    for name in context.setting.backends:
        context.report(f"warming up {name}", 0, 1)
        config = context.setting.model(name)
        try:
            bank, backend = _warm(config)
            reference = _warm(replace(config, checkpoint=str(context.dense_file)))
        except BackendError as error:
            absent[name] = str(error)
            continue
        arms += planned_arms(name, bank, backend) + dense_arms_of(name, *reference)
    return arms, absent


def _warm(config: ModelConfig) -> tuple[Bank, Backend]:
    """The network of `config` on its backend, what that runs being built; BackendError if it cannot be."""
    bank = load_bank(config)
    store = Store.of(bank, config.engine_dir)
    if config.backend == "openvino":
        building = build_openvino(bank, store, precision=config.precision, threads=config.threads)
        deque(building, maxlen=0)
    if config.backend == "onnx":
        deque(build_onnx(bank, store, precision="float32"), maxlen=0)
    backend = make_backend(bank, config)
    backend.warm_up()
    if backend.name != config.backend:
        raise BackendError("; ".join(text for text in (backend.reason, *backend.faults) if text))
    return bank, backend


def _cost(context: Context, arm: Arm) -> dict[str, Any]:
    if arm.name in context.setting.backends:
        plan = context.bank.plan(arm.mask, arm.level, "benchmark")
        parts = [str(part) for part in parts_of(plan.mask, plan.parts)]
        return {"ratio": round(plan.ratio, 4), "gmacs": round(plan.gmacs, 5), "parts": parts}
    macs = count_macs(context.dense[KINDS[0]].shape, GEOMETRY, arm.mask, FULL_WIDTH)
    return {"ratio": 0.0, "gmacs": round(macs.total / 1e9, 5)}


def _against(
    by_key: Mapping[tuple[str, int, int], NDArray[np.float64]],
    names: Sequence[str],
    mask: ModalitySet,
    took: NDArray[np.float64],
    level: int = 0,
) -> dict[str, Any]:
    """How many times as fast as the fastest of those called `names`."""
    found = {name: by_key[name, mask.bits, level] for name in names if (name, mask.bits, level) in by_key}
    fastest = min(found, key=lambda name: float(np.median(found[name])))
    return {"name": fastest, **interval_mapping(ratio_of_medians(found[fastest], took))}


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
    found = np.zeros((len(arms), _WARM_UP + rounds))
    for index in range(_WARM_UP + rounds):
        whole = inputs[index % len(inputs)]
        for place in rng.permutation(len(arms)):
            arm = arms[place]
            fed = arm.feed(whole)
            found[place, index] = clock(lambda arm=arm, fed=fed: arm.run(fed))  # type: ignore[misc]
        on_round()
    return list(found[:, _WARM_UP:])


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


def ranks(times: Iterable[float]) -> dict[str, float]:
    """p50, p95, p99 and others, short enough for a file."""
    return {name: round(value, 4) for name, value in percentiles(times).items()}
