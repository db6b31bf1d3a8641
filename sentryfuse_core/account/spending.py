"""What one set costs: joules where the machine counts them, and CPU seconds of the process in any case."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping

__all__ = ["Spending"]

_LOOKS = 11  # diagnostics that the means go over, the first being where they begin


class Spending:
    """Means over the sets of the last diagnostics, ten seconds of them by default."""

    def __init__(self) -> None:
        self._looks: deque[tuple[int, float, float]] = deque(maxlen=_LOOKS)

    def per_set(self, sets: int, *, energy_j: float, cpu_s: float) -> Mapping[str, float]:
        """By what was counted up to now; NaN where that is not known, or no set came.

        What else ran meanwhile on what the counter counts is in the joules; CPU seconds are this process's.
        """
        self._looks.append((sets, energy_j, cpu_s))
        sets_before, energy_before_j, cpu_before_s = self._looks[0]
        count = sets - sets_before or math.nan
        return {
            "j_per_set": (energy_j - energy_before_j) / count,
            "cpu_s_per_set": (cpu_s - cpu_before_s) / count,
        }
