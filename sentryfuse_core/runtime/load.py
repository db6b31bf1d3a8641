"""From options to a loaded bank and a backend that runs it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch

from sentryfuse_core.clock import Clock, SteadyClock
from sentryfuse_core.config import ModelConfig
from sentryfuse_core.errors import BackendError, OutputError
from sentryfuse_core.home import out_of_home
from sentryfuse_core.model.checkpoint import SHIPPED, load_checkpoint
from sentryfuse_core.model.network import SentryFuseNet
from sentryfuse_core.runtime.backend import Backend
from sentryfuse_core.runtime.bank import Bank
from sentryfuse_core.runtime.choose import choose
from sentryfuse_core.runtime.compiled import CompiledBackend
from sentryfuse_core.runtime.cuda_graph import CudaGraphBackend
from sentryfuse_core.runtime.eager import EagerBackend
from sentryfuse_core.runtime.export import PRECISIONS
from sentryfuse_core.runtime.fallback import FallbackBackend
from sentryfuse_core.runtime.measured import circumstances, keep, kept, measure
from sentryfuse_core.runtime.onnx import OnnxBackend, onnx_lack
from sentryfuse_core.runtime.openvino import OpenVinoBackend, openvino_lack, openvino_precision
from sentryfuse_core.runtime.store import Store
from sentryfuse_core.runtime.tensorrt import NOT_RUN, TensorRtBackend

__all__ = [
    "BACKENDS",
    "Compared",
    "Parts",
    "compare_cpu",
    "load_bank",
    "make_backend",
    "resolve_device",
    "resolve_precision",
]

_MEASURED = "measured"  # of what is kept
_MEASURE_S = 0.5  # that a start may take longer, once


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What a backend may be made of."""

    bank: Bank
    store: Store
    network: SentryFuseNet  # on `device`
    device: str
    precision: str  # as model.precision says
    threads: int
    reason: str = ""


class Compared(NamedTuple):
    """Backends of the CPU side by side."""

    lacks: Mapping[str, str]  # what keeps each from running here; empty when nothing does
    times_ms: Mapping[str, float]  # of a set with all sensors, by backend; empty: there is only eager
    note: str = ""


# How each choice of model.backend is made, but for auto and eager; what it raises is a BackendError.
BACKENDS: Mapping[str, Callable[[Parts], Backend]] = {
    "compiled": lambda of: CompiledBackend(of.bank, of.network, device=of.device, reason=of.reason),
    "cuda_graph": lambda of: CudaGraphBackend(
        of.bank,
        of.network,
        device=of.device,
        precision=PRECISIONS[resolve_precision(of.precision)],
        reason=of.reason,
    ),
    "onnx": lambda of: OnnxBackend(of.bank, of.store, device=of.device, threads=of.threads, reason=of.reason),
    "openvino": lambda of: OpenVinoBackend(
        of.bank,
        of.store,
        threads=of.threads,
        precision=openvino_precision(of.precision, of.store)[0],
        reason=of.reason,
    ),
    "tensorrt": lambda of: TensorRtBackend(
        of.bank,
        of.store,
        of.network,
        device=of.device,
        precision=resolve_precision(of.precision),
        reason=f"{of.reason}; {NOT_RUN}",
    ),
}


def load_bank(config: ModelConfig) -> Bank:
    """Load `config.checkpoint`, or the shipped weights, from `config.max_level` on.

    Raises CheckpointError, BackendError or ConfigError with the remedy.
    """
    path = out_of_home(config.checkpoint) if config.checkpoint else SHIPPED
    return Bank(load_checkpoint(path), max_level=config.max_level)


def make_backend(bank: Bank, config: ModelConfig, *, clock: Clock | None = None) -> Backend:
    """The backend for `config.backend` and `config.device`, and why it is that one (`reason`).

    All but eager on the CPU have that one behind them. One that was asked for and cannot be had is a standing
    fault of the eager backend that runs instead, on the same device where that works; a name that is no
    device raises BackendError.
    """
    clock = clock or SteadyClock()
    device = resolve_device(config.device)
    kind = torch.device(device).type
    store = Store.of(bank, config.engine_dir)
    cpu = EagerBackend(bank, threads=config.threads)
    parts = Parts(
        bank=bank,
        store=store,
        network=cpu.network,
        device=device,
        precision=config.precision,
        threads=config.threads,
    )
    found = compare_cpu(parts) if config.backend == "auto" and kind == "cpu" else Compared({}, {})
    choice = choose(config.backend, device=kind, lacks=found.lacks, times_ms=found.times_ms)
    why_precision = openvino_precision(config.precision, store)[1] if choice.backend == "openvino" else ""
    reason = "; ".join(filter(None, (choice.reason, why_precision, found.note)))
    cpu.reason = reason
    if choice.fault:
        cpu.faults = (choice.fault,)
    if kind == "cpu" and choice.backend == "eager":
        return cpu
    eager = cpu
    behind: Backend = cpu
    try:
        if kind == "cuda":
            eager = EagerBackend(bank, device=device, reason=reason)
            behind = FallbackBackend(eager, cpu, clock=clock)
        if choice.backend == "eager":
            return behind
        parts = replace(parts, network=eager.network, reason=reason)
        return FallbackBackend(BACKENDS[choice.backend](parts), behind, clock=clock)
    except BackendError as error:
        eager.faults = (f"running eager on {eager.device}: {error}",)
        eager.reason = f"eager: {error}"
        return behind


def compare_cpu(of: Parts, *, anew: bool = False) -> Compared:
    """How fast each backend of the CPU is that lacks nothing, beside eager.

    Read where it was measured with this processor, precision and number of threads, else measured in half a
    second and kept. `anew` measures in any case, at every level and for longer.
    """
    bank, store = of.bank, of.store
    precision = openvino_precision(of.precision, store)[0]
    lacks = {"openvino": openvino_lack(bank, store, precision=precision), "onnx": onnx_lack(bank, store)}
    ready = [name for name, lack in lacks.items() if not lack]
    if not ready:
        return Compared(lacks, {})
    here = circumstances(
        threads=of.threads, openvino=precision, backends=" ".join(ready), max_level=bank.loaded.start
    )
    times_ms = {} if anew else kept(store, _MEASURED, here)
    if times_ms.keys() >= {"eager", *ready}:
        return Compared(lacks, times_ms)
    backends: dict[str, Backend] = {"eager": EagerBackend(bank, threads=of.threads)}
    levels = bank.loaded if anew else bank.loaded[:1]
    for name in ready:
        backend = _tried(of, name, levels)
        if isinstance(backend, str):
            lacks[name] = backend
        else:
            backends[name] = backend
    times_ms = measure(bank, backends, levels=levels, most_s=math.inf if anew else _MEASURE_S)
    try:
        keep(store, _MEASURED, here, times_ms)
    except OutputError as error:
        return Compared(lacks, times_ms, f"measured again at each start: {error}")
    return Compared(lacks, times_ms)


def _tried(of: Parts, name: str, levels: Sequence[int]) -> Backend | str:
    """A backend that has run these levels once, or why it does not."""
    try:
        backend = BACKENDS[name](of)
        measure(of.bank, {name: backend}, levels=levels, rounds=0)
    except BackendError as error:
        return str(error)
    return backend


def resolve_device(wanted: str) -> str:
    """cpu, cuda or cuda:N for `model.device`; raises BackendError for what is none of them."""
    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        kind = torch.device(wanted).type
    except RuntimeError as error:
        raise BackendError(
            f"model.device = {wanted!r} is no device; give auto, cpu, cuda or cuda:N"
        ) from error
    if kind not in ("cpu", "cuda"):
        raise BackendError(f"model.device = {wanted!r} is not supported; give auto, cpu, cuda or cuda:N")
    return "cpu" if kind == "cpu" else wanted  # cpu:0 is the same


def resolve_precision(wanted: str) -> str:
    """The numbers for `model.precision` on an accelerator.

    'auto' is float16: its ten bits of fraction keep scores within 0.002 of float32, bfloat16's seven within
    0.01 (docs/runtime.md).
    """
    return "float16" if wanted == "auto" else wanted
