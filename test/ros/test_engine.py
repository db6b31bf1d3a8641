"""What the engine is told of budget and battery: taken over, or refused by name with what is wrong."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest

from sentryfuse_core.budget import BudgetController
from sentryfuse_core.config import BudgetConfig
from sentryfuse_core.errors import InvalidMessageError
from sentryfuse_core.types import ModalitySet
from sentryfuse_ros.engine import Engine

NOTHING: Any = None


def engine() -> Engine:
    """With a budget alone."""
    budget = BudgetController(BudgetConfig(), levels=(1.0, 0.5))
    return Engine(bank=NOTHING, backend=NOTHING, preprocessor=NOTHING, budget=budget, machine=NOTHING)


def budget(**values: Any) -> SimpleNamespace:
    return SimpleNamespace(**{"latency_ms": math.nan, "power_w": 0.0, "level": -1, "source": "pmu", **values})


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"latency_ms": -5.0}, "bad_latency_ms"),
        ({"power_w": math.inf}, "bad_power_w"),
        ({"level": -2}, "bad_level"),
    ],
)
def test_budget_is_refused_by_name_and_changes_nothing_when_a_field_cannot_be(
    values: dict[str, Any], reason: str
) -> None:
    made = engine()
    made.take_budget(budget(level=1), 0)
    with pytest.raises(InvalidMessageError) as caught:
        made.take_budget(budget(**values), 1)
    assert caught.value.reason == reason
    assert "give" in caught.value.detail
    assert made.budget.choose(ModalitySet.all(), 2)[0] == 1


@pytest.mark.parametrize("percentage", [-0.1, 1.5])
def test_battery_is_refused_when_its_charge_is_no_share(percentage: float) -> None:
    with pytest.raises(InvalidMessageError, match=r"bad_percentage.*outside 0 \.\. 1"):
        engine().take_battery(SimpleNamespace(percentage=percentage))
