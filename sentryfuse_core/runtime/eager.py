"""The eager backend: the deploy form in PyTorch as it is, on the CPU or a CUDA device."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch

from sentryfuse_core.errors import BackendError
from sentryfuse_core.model.heads import HeadOutput
from sentryfuse_core.preprocess.tensors import ModelInput
from sentryfuse_core.runtime.backend import time_all
from sentryfuse_core.runtime.bank import Bank
from sentryfuse_core.runtime.lean.form import LeanForm
from sentryfuse_core.text import reason_of
from sentryfuse_core.types import Plan

__all__ = ["EagerBackend", "device_name"]


class EagerBackend:
    """Runs the bank's network part by part; every level is a view of the same weights."""

    name = "eager"
    batches = True
    opening = False

    def __init__(self, bank: Bank, *, device: str = "cpu", threads: int = 0, reason: str = "") -> None:
        self.faults: tuple[str, ...] = ()
        self.reason = reason
        self._bank = bank
        self._device = torch.device(device)
        if threads:
            torch.set_num_threads(threads)
        try:
            self.network = bank.network if device == "cpu" else copy.deepcopy(bank.network).to(device)
        except (RuntimeError, AssertionError) as error:  # torch asserts where it was built without CUDA
            raise BackendError(
                f"cannot put the network on {device}: {reason_of(error)}; use model.device = cpu"
            ) from error
        self._form = LeanForm(self.network)
        self.device = device if device == "cpu" else device_name(self._device)

    def run(self, inputs: ModelInput, plan: Plan) -> HeadOutput:
        """Maps on the CPU; raises BackendError when the device fails."""
        try:
            with torch.inference_mode():
                output = self._form(inputs.to(self._device), plan.parts)
                evidence = {modality: logits.cpu() for modality, logits in output.evidence.items()}
                return HeadOutput(output.heatmap.cpu(), output.boxes.cpu(), evidence)
        except RuntimeError as error:  # out of memory and device errors are RuntimeErrors
            raise BackendError(f"inference on {self.device} failed: {reason_of(error)}") from error

    def open_beside(self) -> bool:
        """Yes: there is nothing to open."""
        return True

    def warm_up(self) -> Mapping[tuple[int, int], float]:
        """Run each of the 15 sets of sensors at each level; median milliseconds by (mask bits, level)."""
        return time_all(self.run, self._bank)


def device_name(device: torch.device) -> str:
    """'cuda:0 NVIDIA ...': an accelerator's number and name."""
    index = torch.cuda.current_device() if device.index is None else device.index
    return f"cuda:{index} {torch.cuda.get_device_name(index)}"
