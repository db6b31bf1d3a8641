"""What is expensive to load, kept from configuration to clean-up, and what tells its budget how it stands."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from sentryfuse_core.budget import BudgetController
from sentryfuse_core.config import Config
from sentryfuse_core.errors import InvalidMessageError
from sentryfuse_core.machine import MachineMonitor
from sentryfuse_core.preprocess.assemble import Preprocessor
from sentryfuse_core.runtime.backend import Backend
from sentryfuse_core.runtime.bank import Bank
from sentryfuse_core.runtime.load import load_bank, make_backend

__all__ = ["Engine"]


@dataclass(frozen=True, kw_only=True)
class Engine:
    """Weights, backend, preprocessing and budget; what it is told raises InvalidMessageError where bad."""

    bank: Bank
    backend: Backend
    preprocessor: Preprocessor
    budget: BudgetController
    machine: MachineMonitor

    @classmethod
    def load(cls, config: Config) -> Engine:
        """Load the weights and make the backend; raises CheckpointError or BackendError with the remedy."""
        bank = load_bank(config.model)
        backend = make_backend(bank, config.model)
        return cls(
            bank=bank,
            backend=backend,
            preprocessor=Preprocessor(config, measures=bank.network.trust is not None),
            budget=BudgetController(config.budget, levels=bank.levels, maps=bank.maps()),
            machine=MachineMonitor.of_device(backend.device),
        )

    def take_battery(self, message: Any) -> None:
        """Take the charge of a BatteryState, 0..1; NaN means that the driver does not know."""
        if message.percentage < 0.0 or message.percentage > 1.0:
            raise InvalidMessageError("bad_percentage", f"percentage {message.percentage} is outside 0 .. 1")
        self.budget.update_battery(float(message.percentage))

    def take_budget(self, message: Any, now_ns: int) -> None:
        """Take over a Budget; of its limits 0 and NaN mean none."""
        limits = {}
        for name in ("latency_ms", "power_w"):
            value = limits[name] = float(getattr(message, name))
            if value < 0.0 or math.isinf(value):
                detail = f"{name} {value}; give a positive number, or 0 for none"
                raise InvalidMessageError(f"bad_{name}", detail)
        if message.level < -1:
            raise InvalidMessageError("bad_level", f"level {message.level}; give -1 or a level")
        self.budget.update_budget(*limits.values(), message.level, message.source, now_ns)

    def read_machine(self, now_ns: int) -> None:
        """See how much power the machine draws and how hot it is."""
        self.budget.update_machine(self.machine.poll(now_ns))
