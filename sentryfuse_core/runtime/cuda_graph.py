"""CUDA graphs as a backend: each sub-network is one launch instead of hundreds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from sentryfuse_core.errors import BackendError
from sentryfuse_core.model.heads import HeadOutput
from sentryfuse_core.model.network import SentryFuseNet
from sentryfuse_core.preprocess.tensors import ModelInput
from sentryfuse_core.runtime.backend import time_all
from sentryfuse_core.runtime.bank import Bank
from sentryfuse_core.runtime.eager import device_name
from sentryfuse_core.runtime.lean.form import LeanForm
from sentryfuse_core.runtime.staging import Staging
from sentryfuse_core.runtime.subnetwork import SubNetwork, input_tensors, output_from
from sentryfuse_core.text import reason_of
from sentryfuse_core.types import PartLevels, Plan

__all__ = ["CudaGraphBackend"]

_RUNS_BEFORE_CAPTURE = 2  # libraries choose their kernels and take their workspaces


@dataclass(frozen=True, eq=False)
class _Captured:
    """A graph and the maps it writes."""

    graph: torch.cuda.CUDAGraph
    maps: dict[str, Tensor]


class CudaGraphBackend:
    """One graph a sub-network; all share one memory pool, one stream and one set of page-locked buffers.

    Sharing a pool is safe in any order of replay: the maps of every graph stay referenced, so that no later
    capture takes their memory, and what a graph keeps in between is dead when it ends.
    """

    name = "cuda_graph"
    batches = False
    opening = False

    def __init__(
        self,
        bank: Bank,
        network: SentryFuseNet,
        *,
        device: str = "cuda",
        precision: torch.dtype = torch.float32,
        reason: str = "",
    ) -> None:
        """`network`: the bank's, on `device`; raises BackendError when the device cannot be used."""
        self.faults: tuple[str, ...] = ()
        self.reason = reason
        self._bank = bank
        self._form = LeanForm(network)  # kept: every graph reads the tensors of its parts
        self._precision = precision
        self._device = torch.device(device)
        self._graphs: dict[tuple[int, PartLevels], _Captured] = {}
        try:
            self.device = device_name(self._device)
            self._stream = torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]
            self._pool = torch.cuda.graph_pool_handle()
            self._staging = Staging(self._device)
        except (RuntimeError, AssertionError) as error:
            raise BackendError(f"no CUDA graphs on {device}: {reason_of(error)}") from error

    def run(self, inputs: ModelInput, plan: Plan) -> HeadOutput:
        """Maps on the CPU; raises BackendError when the device fails."""
        tensors = input_tensors(inputs, trusting=self._bank.trusting)
        try:
            with torch.inference_mode(), torch.cuda.device(self._device), torch.cuda.stream(self._stream):
                captured = self._captured(plan, tensors)
                self._staging.put(tensors)
                captured.graph.replay()
                maps = self._staging.take(captured.maps)
                self._stream.synchronize()
                return output_from({name: values.clone() for name, values in maps.items()})
        except RuntimeError as error:
            # Of no use after most errors of a device; captured anew when it works again. A pool that no graph
            # holds any more cannot be captured into.
            self._graphs.clear()
            self._pool = torch.cuda.graph_pool_handle()
            raise BackendError(f"inference on {self.device} failed: {reason_of(error)}") from error

    def open_beside(self) -> bool:
        """No: a set would wait for what is compiled, recorded or opened."""
        return False

    def warm_up(self) -> Mapping[tuple[int, int], float]:
        """Capture and run every sub-network; median milliseconds by (mask bits, level)."""
        return time_all(self.run, self._bank)

    def _captured(self, plan: Plan, tensors: Mapping[str, Tensor]) -> _Captured:
        key = (plan.mask.bits, plan.parts)
        found = self._graphs.get(key)
        if found is None:
            found = self._graphs[key] = self._capture(plan.parts, tensors)
        return found

    def _capture(self, parts: PartLevels, tensors: Mapping[str, Tensor]) -> _Captured:
        function = SubNetwork(self._form, tuple(tensors), parts, precision=self._precision)
        buffers = tuple(self._staging.on_device(tensors).values())
        for _ in range(_RUNS_BEFORE_CAPTURE):
            function(*buffers)
        self._stream.synchronize()
        graph = torch.cuda.CUDAGraph()
        # Other threads of the process may use the device meanwhile: only this one is being recorded.
        with torch.cuda.graph(graph, pool=self._pool, stream=self._stream, capture_error_mode="thread_local"):
            maps = function(*buffers)
        return _Captured(graph, maps)
