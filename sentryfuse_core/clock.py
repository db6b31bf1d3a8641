"""Time as a parameter: the Clock protocol, the machine's steady clock and one moved by hand."""

from __future__ import annotations

import time
from typing import Protocol

__all__ = ["NS_PER_MS", "NS_PER_S", "Clock", "ManualClock", "SteadyClock"]

NS_PER_S = 1_000_000_000
NS_PER_MS = 1_000_000


class Clock(Protocol):
    """Anything that tells a monotonic time in integer nanoseconds."""

    def now_ns(self) -> int:
        """Return the time in nanoseconds since an arbitrary, fixed origin."""
        ...


class SteadyClock:
    """The machine's monotonic clock."""

    def now_ns(self) -> int:
        """Return `time.monotonic_ns()`."""
        return time.monotonic_ns()


class ManualClock:
    """A clock that stands still until it is moved; for tests and for replay on bag time."""

    def __init__(self, now_ns: int = 0) -> None:
        self._now_ns = now_ns

    def now_ns(self) -> int:
        """Return the time it was last set to, in nanoseconds."""
        return self._now_ns

    def set(self, now_ns: int) -> None:
        """Move to `now_ns`; going back raises ValueError, since a steady clock never does."""
        if now_ns < self._now_ns:
            raise ValueError(f"a steady clock cannot go back from {self._now_ns} ns to {now_ns} ns")
        self._now_ns = now_ns

    def advance(self, step_ns: int) -> int:
        """Move on by `step_ns` >= 0 and return the new time in nanoseconds."""
        self.set(self._now_ns + step_ns)
        return self._now_ns
