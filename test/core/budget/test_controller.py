"""The budget: who asks for less gets it, the strictest wins, and the reason says who with numbers."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentryfuse_core.budget import BudgetController
from sentryfuse_core.clock import NS_PER_S
from sentryfuse_core.config import BudgetConfig
from sentryfuse_core.types import Modality, ModalitySet

ALL = ModalitySet.all()
LIDAR = ModalitySet.of(Modality.LIDAR)
NO_LIMIT = math.nan


def controller(levels: tuple[float, ...] = (1.0, 0.5), **options: float) -> BudgetController:
    budget = BudgetController(BudgetConfig(**options), levels=levels)
    budget.set_latency_table(
        {(mask, level): 20.0 / (level + 1) for mask in range(16) for level in range(len(levels))}
    )
    return budget


def test_budget_runs_full_width_when_nothing_is_asked() -> None:
    budget = controller()
    assert budget.choose(ALL, 0) == (0, "no limit asks for less")
    assert math.isnan(budget.latency_ms)
    assert math.isnan(budget.power_w)


@given(st.floats(0.1, 20.0), st.floats(0.1, 20.0))
def test_budget_never_widens_when_power_shrinks(one: float, other: float) -> None:
    chosen = []
    for power_w in sorted((one, other)):
        budget = controller((1.0, 0.75, 0.5, 0.25))
        budget.update_budget(NO_LIMIT, power_w, -1, "", 0)
        chosen.append(budget.choose(ALL, 0)[0])
    assert chosen[0] >= chosen[1]


def test_budget_takes_the_operators_level_when_one_is_given() -> None:
    budget = controller(level=0, power_w=1.0)
    assert budget.choose(ALL, 0) == (0, "operator: level 0 by parameter budget.level")
    budget.update_budget(NO_LIMIT, NO_LIMIT, 7, "console", 0)
    level, reason = budget.choose(ALL, 0)
    assert level == 1
    assert "level 7 by Budget message from console, narrowest is 1" in reason


def test_budget_forgets_a_message_when_its_time_is_over() -> None:
    budget = controller(timeout_s=2.0)
    budget.update_budget(NO_LIMIT, 5.0, -1, "pmu", 0)
    assert budget.choose(ALL, 2 * NS_PER_S)[0] == 1
    assert budget.choose(ALL, 2 * NS_PER_S + 1)[0] == 0


def test_budget_takes_the_smaller_limit_when_parameter_and_message_differ() -> None:
    budget = controller(latency_ms=30.0, power_w=10.0)
    budget.update_budget(12.0, NO_LIMIT, -1, "pmu", 0)
    assert budget.latency_ms == 12.0
    assert budget.power_w == 10.0


@pytest.mark.parametrize("nothing", [0.0, -1.0, math.nan])
def test_budget_has_no_limit_when_a_message_leaves_fields_empty(nothing: float) -> None:
    budget = controller()
    budget.update_budget(nothing, nothing, -1, "pmu", 0)
    assert budget.choose(ALL, 0)[0] == 0


def test_budget_meets_the_deadline_of_the_mask_at_hand_when_latency_is_limited() -> None:
    budget = controller()
    budget.set_latency_table({(15, 0): 20.0, (15, 1): 12.0, (2, 0): 9.0, (2, 1): 6.0})
    budget.update_budget(13.0, NO_LIMIT, -1, "planner", 0)
    level, reason = budget.choose(ALL, 0)
    assert level == 1
    assert "20.0 ms" in reason
    assert "13.0 ms" in reason
    assert budget.choose(LIDAR, 0)[0] == 0


def test_budget_keeps_a_level_until_a_wider_one_has_headroom() -> None:
    budget = controller()
    budget.set_latency_table({(15, 0): 20.0, (15, 1): 12.0})
    for limit_ms, level in ((19.0, 1), (21.0, 1), (30.0, 0), (21.0, 0), (19.0, 1)):
        budget.update_budget(limit_ms, NO_LIMIT, -1, "", 0)
        assert budget.choose(ALL, 0)[0] == level
