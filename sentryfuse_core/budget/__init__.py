"""How much network to run: deadline, power, battery, heat and operator become one level and one reason."""

from sentryfuse_core.budget.controller import BudgetController
from sentryfuse_core.budget.readings import MachineReading, Zone

__all__ = ["BudgetController", "MachineReading", "Zone"]
