"""Memory of every level that is loaded alone, tensors and whole processes, beside the dense network."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from sentryfuse_core.config import ModelConfig
from sentryfuse_core.lab.bench.runtime.context import Context, steps
from sentryfuse_core.lab.bench.runtime.dense import KINDS, dense_network
from sentryfuse_core.model.network import FULL_WIDTH, SentryFuseNet
from sentryfuse_core.preprocess.tensors import ModelInput
from sentryfuse_core.runtime.bank import Bank
from sentryfuse_core.runtime.lean.form import LeanForm
from sentryfuse_core.runtime.load import load_bank, make_backend
from sentryfuse_core.types import ModalitySet, PartLevels

__all__ = [
    "live_bytes",
    "memory_part",
    "peak_activation_bytes",
    "process_memory",
    "status_mb",
    "stored_bytes",
]

_RUNS = 5  # of the network in a process of its own


def memory_part(context: Context, backends: Iterable[str]) -> dict[str, Any]:
    """Bytes of weights and activations by set of sensors and level, and MB of fresh processes."""
    setting, dense = context.setting, context.dense[KINDS[0]]
    whole = context.inputs[0].to(setting.device)

    def rows_of(
        name: str, level: int, network: SentryFuseNet, weights: int, bank: Bank | None = None
    ) -> list[dict[str, Any]]:
        """As the plans of `bank` run; without one in full."""
        runs = {
            mask: (mask, FULL_WIDTH) if bank is None else _run(bank, mask, level)
            for mask in ModalitySet.subsets()
        }
        return [
            {
                "name": name,
                "mask": mask.bits,
                "level": level,
                "weights": weights,
                "activations": _activations(network, whole.only(used), parts, lean=bank is not None),
            }
            for mask, (used, parts) in runs.items()
        ]

    rows = rows_of(KINDS[0], 0, dense, stored_bytes((*dense.parameters(), *dense.buffers())))
    with steps(context, "memory", 2 * len(context.levels) + 1) as step:
        for level in context.levels:
            bank = load_bank(setting.model(max_level=level))
            rows += rows_of("eager", level, bank.network.to(setting.device), bank.weight_bytes, bank)
            step()
        processes = []
        asked = [("dense", 0), *((name, level) for name in backends for level in context.levels)]
        for name, level in asked if setting.device == "cpu" else []:
            config = setting.model() if name == "dense" else setting.model(name, max_level=level)
            found = process_memory(config, level, context.inputs[0], dense=name == "dense")
            processes.append({"name": name, "level": level, **found})
            step()
    return {"tensors": rows, "processes": processes}


def _run(bank: Bank, mask: ModalitySet, level: int) -> tuple[ModalitySet, PartLevels]:
    plan = bank.plan(mask, level, "benchmark")
    return plan.mask, plan.parts


def _activations(network: SentryFuseNet, inputs: ModelInput, parts: PartLevels, *, lean: bool) -> int:
    """Of the deploy form, or of the network as it is trained, which is all that a dense one has."""
    given = vars(inputs).values()
    known = [*network.parameters(), *network.buffers(), *(item for item in given if item is not None)]
    run = LeanForm(network) if lean else lambda given, parts: network(given, parts=parts)
    run(inputs, parts)  # what a part keeps is made on first use, and is no activation
    return peak_activation_bytes(lambda: run(inputs, parts), known)


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


def process_memory(
    config: ModelConfig, level: int, inputs: ModelInput, *, dense: bool
) -> Mapping[str, float]:
    """Resident MB of a fresh process: before anything is loaded but the libraries, and at its peak.

    `dense`: of one that runs the reference instead.
    """
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_measure, config, level, inputs, dense=dense).result()


def _measure(config: ModelConfig, level: int, inputs: ModelInput, *, dense: bool) -> Mapping[str, float]:
    torch.set_num_threads(config.threads)
    before_mb = status_mb("VmRSS")
    bank = load_bank(config)
    if dense:
        network = dense_network(bank.network)
        del bank
        with torch.inference_mode():
            for _ in range(_RUNS):
                network(inputs)
    else:
        backend = make_backend(bank, config)
        plan = bank.plan(inputs.present, level, "benchmark")
        for _ in range(_RUNS):
            backend.run(inputs.only(plan.mask), plan)
    return {"libraries_mb": before_mb, "peak_mb": status_mb("VmHWM")}


def status_mb(field: str, pid: int | str = "self") -> float:
    """A size of a process from /proc/PID/status.

    Not getrusage: its peak is handed down through exec from the process that started this one.
    """
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    found = next(line.split()[1] for line in lines if line.startswith(f"{field}:"))
    return round(int(found) / 1024, 2)
