"""Bytes of weights and activations of one inference, and of a whole process that does nothing else."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from sentryfuse_core.config import ModelConfig
from sentryfuse_core.lab.bench.runtime.dense import dense_network
from sentryfuse_core.preprocess.tensors import ModelInput
from sentryfuse_core.runtime.load import load_bank, make_backend

__all__ = ["Process", "live_bytes", "peak_activation_bytes", "process_memory", "stored_bytes"]


def stored_bytes(tensors: Iterable[Tensor]) -> int:
    """Bytes of the memory behind `tensors`; what several of them share counts once."""
    sizes = {}
    for tensor in tensors:
        storage = tensor.untyped_storage()
        sizes[storage.data_ptr()] = storage.nbytes()
    return sum(sizes.values())


def live_bytes(device: str) -> int:
    """Bytes behind every tensor on that kind of device that Python knows of now."""
    gc.collect()
    kept = [item for item in gc.get_objects() if type(item) in (Tensor, nn.Parameter)]
    kept = [item for item in kept if item.device.type == torch.device(device).type]
    return stored_bytes(kept)


def peak_activation_bytes(work: Callable[[], object], given: Iterable[Tensor]) -> int:
    """The most bytes that tensors made by `work` hold at one time; those of `given` are not counted.

    Every operator's outputs count from when they are made until they are let go. What an operator needs
    inside itself does not: torch's profiler, which sees that too, gave the same to the byte on the CPU.
    """
    with torch.inference_mode(), _Watch(given) as watch:
        work()
    peak: int = watch.peak
    return peak


class _Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the memory of what operators return."""

    def __init__(self, given: Iterable[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.peak = 0
        self._held = 0
        self._given = {tensor.untyped_storage().data_ptr() for tensor in given}
        self._seen: weakref.WeakSet[Any] = weakref.WeakSet()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Run the operator, then look at what it gave."""
        del types
        output = func(*args, **(kwargs or {}))
        for item in tree_leaves(output):
            if isinstance(item, Tensor):
                self._take(item.untyped_storage())
        return output

    def _take(self, storage: Any) -> None:
        if storage in self._seen or storage.data_ptr() in self._given:
            return
        size = storage.nbytes()
        self._seen.add(storage)
        self._held += size
        self.peak = max(self.peak, self._held)
        weakref.finalize(storage, self._release, size)

    def _release(self, size: int) -> None:
        self._held -= size


@dataclass(frozen=True, kw_only=True)
class Process:
    """What a process of its own is to load and run."""

    config: ModelConfig
    level: int
    inputs: ModelInput
    dense: bool = False  # the reference instead
    runs: int = 5


def process_memory(request: Process) -> Mapping[str, float]:
    """Resident MB of a fresh process: before anything is loaded but the libraries, and at its peak."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_measure, request).result()


def _measure(request: Process) -> Mapping[str, float]:
    torch.set_num_threads(request.config.threads)
    before_mb = _status_mb("VmRSS")
    bank = load_bank(request.config)
    if request.dense:
        network = dense_network(bank.network)
        del bank
        with torch.inference_mode():
            for _ in range(request.runs):
                network(request.inputs)
    else:
        backend = make_backend(bank, request.config)
        plan = bank.plan(request.inputs.present, request.level, "benchmark")
        for _ in range(request.runs):
            backend.run(request.inputs, plan)
    return {"libraries_mb": before_mb, "peak_mb": _status_mb("VmHWM")}


def _status_mb(field: str) -> float:
    """A size from /proc/self/status.

    Not getrusage: its peak is handed down through exec from the process that started this one.
    """
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    found = next(line.split()[1] for line in lines if line.startswith(f"{field}:"))
    return round(int(found) / 1024, 1)
