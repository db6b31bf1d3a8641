"""Power and heat of an NVIDIA GPU, by NVML; nvidia-ml-py is optional and imported nowhere else."""

from __future__ import annotations

import math
import os
from typing import Any

from sentryfuse_core.budget.readings import Zone
from sentryfuse_core.errors import ReadingError

__all__ = ["NvmlGpu"]


class NvmlGpu:
    """One GPU; what else computes on it is in its power."""

    def __init__(self, index: int) -> None:
        """`index` is CUDA's, among the devices that CUDA_VISIBLE_DEVICES leaves. Raises ReadingError."""
        self._nvml = _nvml()
        self._handle = self._ask("find the GPU", self._find, index)
        self.source = f"NVML gpu {index}"
        self._name = f"gpu {index}"
        self._trip_celsius = self._slow_down_celsius()
        self.power_w(0)

    def power_w(self, _now_ns: int) -> float:
        """Power in W, as the driver averages it. Raises ReadingError."""
        milliwatts = self._ask("read the GPU's power", self._nvml.nvmlDeviceGetPowerUsage, self._handle)
        return float(milliwatts) * 1e-3

    def zone(self) -> Zone:
        """Temperature of the chip. Raises ReadingError."""
        nvml = self._nvml
        celsius = self._ask(
            "read the GPU's temperature",
            nvml.nvmlDeviceGetTemperature,
            self._handle,
            nvml.NVML_TEMPERATURE_GPU,
        )
        return Zone(self._name, float(celsius), self._trip_celsius)

    def throttling(self) -> str:
        """Whether heat keeps its clocks down; empty: no. Raises ReadingError."""
        nvml = self._nvml
        reasons = self._ask(
            "read why the GPU is slow", nvml.nvmlDeviceGetCurrentClocksThrottleReasons, self._handle
        )
        heat = nvml.nvmlClocksThrottleReasonSwThermalSlowdown | nvml.nvmlClocksThrottleReasonHwThermalSlowdown
        return f"{self._name} was throttled by heat" if reasons & heat else ""

    def _slow_down_celsius(self) -> float:
        nvml = self._nvml
        try:
            celsius = nvml.nvmlDeviceGetTemperatureThreshold(
                self._handle, nvml.NVML_TEMPERATURE_THRESHOLD_SLOWDOWN
            )
        except nvml.NVMLError:  # newer GPUs do not tell
            return math.nan
        return float(celsius)

    def _find(self, index: int) -> Any:
        visible = [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
        name = visible[index] if index < len(visible) else str(index)
        if name.isdigit():
            return self._nvml.nvmlDeviceGetHandleByIndex(int(name))
        return self._nvml.nvmlDeviceGetHandleByUUID(name)

    def _ask(self, what: str, function: Any, *args: Any) -> Any:
        try:
            return function(*args)
        except self._nvml.NVMLError as error:
            raise ReadingError(f"NVML cannot {what}: {error}; see `nvidia-smi`") from error


def _nvml() -> Any:
    try:
        import pynvml
    except ImportError as error:
        raise ReadingError("NVML needs nvidia-ml-py; pip install 'sentryfuse-python[nvml]'") from error
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        raise ReadingError(f"NVML does not start: {error}; see `nvidia-smi`") from error
    return pynvml
