"""From options to a loaded bank and a backend that runs it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from sentryfuse_core.clock import Clock, SteadyClock
from sentryfuse_core.config import ModelConfig
from sentryfuse_core.errors import BackendError
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
from sentryfuse_core.runtime.measured import measured
from sentryfuse_core.runtime.onnx import OnnxBackend, onnx_lack
from sentryfuse_core.runtime.openvino import OpenVinoBackend, openvino_lack
from sentryfuse_core.runtime.store import Store
from sentryfuse_core.runtime.tensorrt import NOT_RUN, TensorRtBackend

__all__ = [
    "BACKENDS",
    "Parts",
    "load_bank",
    "make_backend",
    "resolve_device",
    "resolve_precision",
]


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What a backend may be made of."""

    bank: Bank
    store: Store
    network: SentryFuseNet  # on `device`
    device: str
    precision: str
    threads: int
    reason: str


# How each choice of model.backend is made, but for auto and eager; what it raises is a BackendError.
BACKENDS: Mapping[str, Callable[[Parts], Backend]] = {
    "compiled": lambda of: CompiledBackend(of.bank, of.network, device=of.device, reason=of.reason),
    "cuda_graph": lambda of: CudaGraphBackend(
        of.bank, of.network, device=of.device, precision=PRECISIONS[of.precision], reason=of.reason
    ),
    "onnx": lambda of: OnnxBackend(of.bank, of.store, device=of.device, threads=of.threads, reason=of.reason),
    "openvino": lambda of: OpenVinoBackend(of.bank, of.store, threads=of.threads, reason=of.reason),
    "tensorrt": lambda of: TensorRtBackend(
        of.bank,
        of.store,
        of.network,
        device=of.device,
        precision=of.precision,
        reason=f"{of.reason}; {NOT_RUN}",
    ),
}


def load_bank(config: ModelConfig) -> Bank:
    """Load `config.checkpoint`, or the shipped weights, from `config.max_level` on.

    Raises CheckpointError or BackendError with the remedy.
    """
    path = Path(config.checkpoint).expanduser() if config.checkpoint else SHIPPED
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
    lacks = {"openvino": openvino_lack(bank, store), "onnx": onnx_lack(bank, store)}
    choice = choose(config.backend, device=kind, lacks=lacks, times_ms=measured(store))
    cpu = EagerBackend(bank, threads=config.threads, reason=choice.reason)
    if choice.fault:
        cpu.faults = (choice.fault,)
    if kind == "cpu" and choice.backend == "eager":
        return cpu
    eager = cpu
    behind: Backend = cpu
    try:
        if kind == "cuda":
            eager = EagerBackend(bank, device=device, reason=choice.reason)
            behind = FallbackBackend(eager, cpu, clock=clock)
        if choice.backend == "eager":
            return behind
        parts = Parts(
            bank=bank,
            store=store,
            network=eager.network,
            device=device,
            precision=resolve_precision(config.precision),
            threads=config.threads,
            reason=choice.reason,
        )
        return FallbackBackend(BACKENDS[choice.backend](parts), behind, clock=clock)
    except BackendError as error:
        eager.faults = (f"running eager on {eager.device}: {error}",)
        eager.reason = f"eager: {error}"
        return behind


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
    return wanted


def resolve_precision(wanted: str) -> str:
    """The numbers for `model.precision` on an accelerator.

    'auto' is float16: its ten bits of fraction keep scores within 0.002 of float32, bfloat16's seven within
    0.01 (docs/runtime.md).
    """
    return "float16" if wanted == "auto" else wanted
