"""What the machine says of itself: power drawn, temperatures, throttling; read about once a second."""

from sentryfuse_core.machine.monitor import MachineMonitor

__all__ = ["MachineMonitor"]
