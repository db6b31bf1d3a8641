"""torch.compile as a backend: fused kernels, the bank's own weights, and a long first warm-up."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from sentryfuse_core.errors import BackendError
from sentryfuse_core.model.heads import HeadOutput
from sentryfuse_core.model.network import SentryFuseNet
from sentryfuse_core.preprocess.tensors import ModelInput
from sentryfuse_core.runtime.backend import time_all
from sentryfuse_core.runtime.bank import Bank, blank_input
from sentryfuse_core.runtime.eager import device_name
from sentryfuse_core.runtime.lean.form import LeanForm
from sentryfuse_core.runtime.subnetwork import SubNetwork, input_tensors, output_from
from sentryfuse_core.text import reason_of
from sentryfuse_core.types import PartLevels, Plan

__all__ = ["CompiledBackend"]


class CompiledBackend:
    """One compiled function a sub-network, made by the warm-up; before it, the network runs as it is."""

    name = "compiled"
    batches = False
    opening = False

    def __init__(self, bank: Bank, network: SentryFuseNet, *, device: str = "cpu", reason: str = "") -> None:
        """`network`: the bank's, on `device`; raises BackendError when nothing can be compiled there."""
        self._device = torch.device(device)
        _check_tools(self._device.type)
        self.faults: tuple[str, ...] = ()
        self.reason = reason
        self.device = device if device == "cpu" else device_name(self._device)
        self._bank = bank
        self._network = network
        self._functions: dict[tuple[int, PartLevels], Callable[..., dict[str, Tensor]]] = {}
        self._broken = ""  # why compiling failed

    def run(self, inputs: ModelInput, plan: Plan) -> HeadOutput:
        """Maps on the CPU; raises BackendError when the device fails, or compiling did.

        The network as it is, under the name of compiled code, would hide that it failed.
        """
        if self._broken:
            raise BackendError(self._broken)
        tensors = input_tensors(inputs.to(self._device), trusting=self._bank.trusting)
        function = self._functions.get((plan.mask.bits, plan.parts))
        if function is None:
            function = SubNetwork(LeanForm(self._network), tuple(tensors), plan.parts)
        try:
            with torch.inference_mode():
                maps = function(*tensors.values())
                return output_from({name: values.cpu() for name, values in maps.items()})
        except RuntimeError as error:
            raise BackendError(f"compiled code failed on {self.device}: {reason_of(error)}") from error

    def open_beside(self) -> bool:
        """No: a set would wait for what is compiled, recorded or opened."""
        return False

    def warm_up(self) -> Mapping[tuple[int, int], float]:
        """Compile and run every sub-network; raises BackendError where that fails.

        The first time on a machine it takes minutes; torch keeps what it made in its own cache.
        """
        # All sub-networks come from one piece of source, and torch gives up on source compiled too often: by
        # this backend or, where the node is configured again, by the one before.
        torch.compiler.reset()
        total = len(self._bank.sub_networks)
        with torch._dynamo.config.patch(recompile_limit=total, accumulated_recompile_limit=total):  # noqa: SLF001
            for plan in self._bank.sub_networks:
                self._functions[plan.mask.bits, plan.parts] = self._compile(plan)
            return time_all(self.run, self._bank)

    def _compile(self, plan: Plan) -> Callable[..., dict[str, Tensor]]:
        tensors = input_tensors(blank_input().only(plan.mask).to(self._device), trusting=self._bank.trusting)
        module = SubNetwork(LeanForm(self._network), tuple(tensors), plan.parts).eval()
        try:
            function: Callable[..., dict[str, Tensor]] = torch.compile(module, fullgraph=True, dynamic=False)
            with torch.inference_mode():
                function(*tensors.values())
        except RuntimeError as error:  # the compilers' errors are RuntimeErrors too
            self._broken = (
                f"cannot compile {plan.mask} at level {plan.level}: {reason_of(error)}; model.backend = eager"
            )
            raise BackendError(self._broken) from error
        return function


def _check_tools(kind: str) -> None:
    """Raise BackendError where the compiler that torch would call is missing."""
    compiler = os.environ.get("CXX", "g++")
    if kind == "cpu" and shutil.which(compiler) is None:
        raise BackendError(
            f"compiled was asked for but there is no C++ compiler {compiler}; "
            f"sudo apt install build-essential, or model.backend = eager"
        )
    if kind == "cuda" and importlib.util.find_spec("triton") is None:
        raise BackendError(
            "compiled was asked for but triton is not installed; pip install triton, or model.backend = eager"
        )
