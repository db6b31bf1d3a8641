"""A machine whose load is a script, run by the real budget set after set; nothing here reads a clock."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from sentryfuse_core.budget import BudgetController
from sentryfuse_core.clock import NS_PER_S
from sentryfuse_core.config import BudgetConfig
from sentryfuse_core.types import ModalitySet

PERIOD_NS = NS_PER_S // 10
ALL = ModalitySet.all()


@dataclass
class Simulation:
    """`warm_up_ms` by level is what the budget is told, `true_ms` what inferences take at load 1."""

    warm_up_ms: Sequence[float]
    limit_ms: float
    true_ms: Sequence[float] = ()
    levels: list[int] = field(default_factory=list)  # of every set so far
    times_ms: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        count = len(self.warm_up_ms)
        self.true_ms = self.true_ms or self.warm_up_ms
        widths = [1.0 - index / count for index in range(count)]
        self.budget = BudgetController(BudgetConfig(latency_ms=self.limit_ms), levels=widths)
        self.budget.set_latency_table(
            {(bits, level): ms for bits in range(1, 16) for level, ms in enumerate(self.warm_up_ms)}
        )

    def run(self, sets: int, load: Callable[[int], float], *, mask: ModalitySet = ALL) -> Simulation:
        """Go on for `sets` sets; `load(i)` multiplies the time of the i-th of them."""
        for index in range(sets):
            level, _ = self.budget.choose(mask, len(self.levels) * PERIOD_NS)
            infer_ms = self.true_ms[level] * load(index)
            self.budget.observe(mask, level, infer_ms)
            self.levels.append(level)
            self.times_ms.append(infer_ms)
        return self

    def misses(self, since: int = 0) -> int:
        return sum(infer_ms > self.limit_ms for infer_ms in self.times_ms[since:])

    def changes(self, since: int = 0) -> int:
        levels = self.levels[since:]
        return sum(before != after for before, after in itertools.pairwise(levels))
