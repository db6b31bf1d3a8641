"""MachineMonitor: every reading that this machine offers, in one value."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Protocol

from sentryfuse_core.budget.readings import MachineReading, Zone
from sentryfuse_core.clock import Clock, SteadyClock
from sentryfuse_core.errors import ReadingError
from sentryfuse_core.machine.jetson import JetsonPower
from sentryfuse_core.machine.nvml import NvmlGpu
from sentryfuse_core.machine.rapl import RaplPower
from sentryfuse_core.machine.thermal import ThermalZones, Throttling

__all__ = ["SYSFS", "MachineMonitor", "PowerReader"]

SYSFS = Path("/sys")


class PowerReader(Protocol):
    """A sensor of power."""

    source: str  # what it is and what of the machine it covers

    def power_w(self, now_ns: int) -> float:
        """Power in W at `now_ns` on the steady clock, NaN before it is known; raises ReadingError."""
        ...


class MachineMonitor:
    """Finds the sensors once; `poll` reads them, in about a millisecond, and never raises.

    The network's device decides: on a GPU, NVML and then a Jetson's rails; on the CPU, a Jetson's rails
    and then RAPL. The first that answers is the source.
    """

    def __init__(self, *, gpu: int | None, sysfs: Path = SYSFS, clock: Clock | None = None) -> None:
        """`gpu`: CUDA's number of the device that the network runs on; None: the CPU."""
        self._clock = clock or SteadyClock()
        jetson, rapl = partial(JetsonPower, sysfs), partial(RaplPower, sysfs)
        self._power, self._no_power = _first(
            (jetson, rapl) if gpu is None else (partial(NvmlGpu, gpu), jetson)
        )
        self._gpu = self._power if isinstance(self._power, NvmlGpu) else None
        self._zones = ThermalZones(sysfs)
        self._throttling = Throttling(sysfs)

    @classmethod
    def of_device(cls, device: str) -> MachineMonitor:
        """The monitor for a network on `device`, such as 'cpu' or 'cuda:0 NVIDIA ...'."""
        found = re.match(r"cuda:(\d+)", device)
        return cls(gpu=int(found[1]) if found else None)

    def poll(self, at_ns: int) -> MachineReading:
        """Everything now; `at_ns` is the time to stamp it with."""
        power_w, no_power = self._read_power()
        zones, throttling = self._read_gpu()
        return MachineReading(
            at_ns=at_ns,
            power_w=power_w,
            power_source=self._power.source if self._power else "",
            no_power=no_power,
            zones=(*self._zones.read(), *zones),
            throttling=self._throttling.read() or throttling,
        )

    def _read_power(self) -> tuple[float, str]:
        if self._power is None:
            return math.nan, self._no_power
        try:
            power_w = self._power.power_w(self._clock.now_ns())
        except ReadingError as error:
            return math.nan, str(error)
        return power_w, "the first reading is yet to come" if math.isnan(power_w) else ""

    def _read_gpu(self) -> tuple[tuple[Zone, ...], str]:
        if self._gpu is None:
            return (), ""
        try:
            return (self._gpu.zone(),), self._gpu.throttling()
        except ReadingError:  # power tells the same error
            return (), ""


def _first(candidates: Sequence[Callable[[], PowerReader]]) -> tuple[PowerReader | None, str]:
    """The first sensor that answers; where none does, why."""
    reasons = []
    for make in candidates:
        try:
            return make(), ""
        except ReadingError as error:  # noqa: PERF203 - at most two
            reasons.append(str(error))
    return None, "; ".join(reasons)
