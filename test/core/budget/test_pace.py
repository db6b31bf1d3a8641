"""The pace: narrower while sets are skipped, wider once there is time, and no going back and forth."""

from __future__ import annotations

import numpy as np
import pytest

from sentryfuse_core.budget import BudgetController
from sentryfuse_core.clock import NS_PER_MS, NS_PER_S
from sentryfuse_core.config import BudgetConfig
from sentryfuse_core.types import ModalitySet

ALL = ModalitySet.all()
LEVELS = (1.0, 0.5, 0.25)
PERIOD_NS = 100 * NS_PER_MS
OVERHEAD_MS = 15.0


class Robot:
    """A worker that takes the newest set, on a machine whose levels take so many ms, other work included."""

    def __init__(self, *level_ms: float, jitter_ms: float = 0.0, **options: bool) -> None:
        self.budget = BudgetController(BudgetConfig(**options), levels=LEVELS)
        self.level_ms = list(level_ms)
        table = {(m.bits, level): ms for m in ModalitySet.subsets() for level, ms in enumerate(level_ms)}
        self.budget.set_latency_table(table)
        self.slow_down = 1.0
        self.sectors: tuple[ModalitySet, ...] = ()
        self.levels: list[int] = []
        self.reasons: list[str] = []
        self.skipped = 0
        self.now_ns = 0
        self._taken = -1
        self._jitter_ms = jitter_ms
        self._random = np.random.default_rng(3)

    def run(self, seconds: float) -> None:
        end_ns = self.now_ns + round(seconds * NS_PER_S)
        self.levels.clear()
        self.reasons.clear()
        self.skipped = 0
        while self.now_ns < end_ns:
            newest = self.now_ns // PERIOD_NS
            if newest <= self._taken:
                self.now_ns = (self._taken + 1) * PERIOD_NS
                continue
            skipped, self._taken = newest - self._taken - 1, newest
            self.skipped += skipped
            level, reason = self.budget.choose(ALL, self.now_ns, sectors=self.sectors)
            infer_ms = self.slow_down * self.level_ms[level] + self._random.random() * self._jitter_ms
            infer_ms *= max(1, len(self.sectors))
            self.now_ns += round((infer_ms + OVERHEAD_MS) * NS_PER_MS)
            self.budget.observe(ALL, level, infer_ms, sectors=self.sectors)
            busy_ms = infer_ms + OVERHEAD_MS
            self.budget.observe_pace(self.now_ns, skipped=skipped, busy_ms=busy_ms, level=level)
            self.levels.append(level)
            self.reasons.append(reason)


def test_full_width_runs_when_no_set_is_skipped() -> None:
    robot = Robot(70.0, 40.0, 20.0)
    robot.run(30.0)
    assert set(robot.levels) == {0}
    assert robot.skipped == 0


def test_wider_level_is_reckoned_for_every_sector_when_the_network_runs_for_several() -> None:
    robot = Robot(25.0, 15.0, 10.0)
    robot.sectors = (ALL,) * 4
    robot.run(10.0)
    robot.run(200.0)
    assert set(robot.levels) == {1}
    assert robot.skipped == 0
    assert "full width takes 115 ms of the 100 ms between two sets" in robot.reasons[-1]


def test_node_narrows_by_itself_and_stays_there_when_full_width_is_too_slow() -> None:
    robot = Robot(140.0, 60.0, 30.0)
    robot.run(5.0)
    assert robot.levels[-1] == 1
    assert any("pace: " in reason and "sets were skipped at level 0" in reason for reason in robot.reasons)
    robot.run(120.0)
    assert set(robot.levels) == {1}
    assert robot.skipped == 0
    assert "full width takes 155 ms of the 100 ms between two sets" in robot.reasons[-1]


def test_narrowest_level_is_told_when_even_that_is_too_slow() -> None:
    robot = Robot(400.0, 300.0, 200.0)
    robot.run(20.0)
    assert robot.levels[-1] == 2
    assert "are skipped even at level 2" in robot.reasons[-1]


def test_width_comes_back_when_the_load_has_gone() -> None:
    robot = Robot(60.0, 30.0, 15.0, jitter_ms=5.0)
    robot.run(10.0)
    assert set(robot.levels) == {0}
    robot.slow_down = 2.2
    robot.run(10.0)
    assert robot.levels[-1] >= 1
    robot.slow_down = 1.0
    robot.run(30.0)
    assert robot.levels[-1] == 0
    robot.run(60.0)
    assert set(robot.levels) == {0}


@pytest.mark.parametrize("full_ms", [80.0, 84.0, 88.0, 92.0, 100.0, 110.0])
def test_level_does_not_go_back_and_forth_when_full_width_just_fits_or_just_not(full_ms: float) -> None:
    robot = Robot(full_ms, full_ms / 2, full_ms / 4, jitter_ms=10.0)
    robot.run(30.0)
    robot.run(300.0)
    changes = sum(one != other for one, other in zip(robot.levels, robot.levels[1:], strict=False))
    assert changes <= 2 * 5


def test_level_stays_when_nobody_wants_the_pace_kept() -> None:
    robot = Robot(140.0, 60.0, 30.0, keep_pace=False)
    robot.run(20.0)
    assert set(robot.levels) == {0}
    assert robot.skipped > 0


def test_width_comes_back_at_once_when_it_is_switched_off_at_run_time() -> None:
    robot = Robot(140.0, 60.0, 30.0)
    robot.run(10.0)
    assert robot.levels[-1] == 1
    robot.budget.config = BudgetConfig(keep_pace=False)
    assert robot.budget.choose(ALL, robot.now_ns)[0] == 0
