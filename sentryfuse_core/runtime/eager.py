"""The eager backend: PyTorch as it is, on the CPU or a CUDA device."""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Mapping

import torch

from sentryfuse_core.errors import BackendError
from sentryfuse_core.model.heads import HeadOutput
from sentryfuse_core.preprocess.geometry import GEOMETRY, Geometry
from sentryfuse_core.preprocess.tensors import ModelInput
from sentryfuse_core.runtime.bank import Bank
from sentryfuse_core.types import ModalitySet, Plan

__all__ = ["EagerBackend", "blank_input"]

_WARM_UP_RUNS = 2


class EagerBackend:
    """Runs the bank's network in inference mode; every level is a view of the same weights."""

    name = "eager"

    def __init__(self, bank: Bank, *, device: str = "cpu", threads: int = 0) -> None:
        self.faults: tuple[str, ...] = ()
        self._bank = bank
        self._device = torch.device(device)
        if threads:
            torch.set_num_threads(threads)
        try:
            self._network = bank.network if device == "cpu" else copy.deepcopy(bank.network).to(device)
        except (RuntimeError, AssertionError) as error:  # torch asserts where it was built without CUDA
            raise BackendError(
                f"cannot put the network on {device}: {_one_line(error)}; use model.device = cpu"
            ) from error
        self.device = device if device == "cpu" else _named(self._device)

    def run(self, inputs: ModelInput, plan: Plan) -> HeadOutput:
        """Maps on the CPU; raises BackendError when the device fails."""
        try:
            with torch.inference_mode():
                output = self._network(inputs.to(self._device), level=plan.level)
                evidence = {modality: logits.cpu() for modality, logits in output.evidence.items()}
                return HeadOutput(output.heatmap.cpu(), output.boxes.cpu(), evidence)
        except RuntimeError as error:  # out of memory and device errors are RuntimeErrors
            raise BackendError(f"inference on {self.device} failed: {_one_line(error)}") from error

    def warm_up(self) -> Mapping[tuple[int, int], float]:
        """Run each of the 15 sets of sensors at each level; median milliseconds by (mask bits, level)."""
        blank = blank_input()
        return {
            (mask.bits, level): self._time(blank.only(mask), self._bank.plan(mask, level, "warm-up"))
            for mask in ModalitySet.subsets()
            for level in range(len(self._bank.levels))
        }

    def _time(self, inputs: ModelInput, plan: Plan) -> float:
        times_ms = []
        self.run(inputs, plan)
        for _ in range(_WARM_UP_RUNS):
            started_s = time.perf_counter()
            self.run(inputs, plan)
            times_ms.append((time.perf_counter() - started_s) * 1e3)
        return statistics.median(times_ms)


def blank_input(geometry: Geometry = GEOMETRY, *, batch: int = 1) -> ModelInput:
    """Zeros of every sensor's shape, for warming up and measuring."""
    return ModelInput(
        camera=torch.zeros(batch, 3, geometry.image_height, geometry.image_width),
        camera_position=torch.zeros(batch, 3),
        lidar=torch.zeros(batch, geometry.pillar_channels, geometry.pillar_cells, geometry.pillar_cells),
        imu=torch.zeros(batch, geometry.imu_steps, 6),
        tilt=torch.zeros(batch, 2),
        audio=torch.zeros(batch, geometry.audio_bearings, geometry.audio_features),
    )


def _named(device: torch.device) -> str:
    """'cuda:0 NVIDIA ...': an accelerator's number and name."""
    index = torch.cuda.current_device() if device.index is None else device.index
    return f"cuda:{index} {torch.cuda.get_device_name(index)}"


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
