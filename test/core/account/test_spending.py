"""What a set costs: means over the last diagnostics, and NaN for what nobody counted."""

from __future__ import annotations

import math

import pytest

from sentryfuse_core.account.spending import Spending


def test_cost_of_a_set_is_the_mean_over_the_last_diagnostics() -> None:
    spending = Spending()
    first = spending.per_set(3, energy_j=100.0, cpu_s=7.0)
    assert all(math.isnan(value) for value in first.values())  # begun before anybody looked
    told = spending.per_set(13, energy_j=130.0, cpu_s=7.5)
    assert told == {"j_per_set": pytest.approx(3.0), "cpu_s_per_set": pytest.approx(0.05)}
    for look in range(1, 20):  # dearer ones come to be all that is looked at
        told = spending.per_set(13 + 10 * look, energy_j=130.0 + 50.0 * look, cpu_s=7.5 + look)
    assert told == {"j_per_set": pytest.approx(5.0), "cpu_s_per_set": pytest.approx(0.1)}


def test_cost_is_nan_when_nothing_counts_it_or_no_set_came() -> None:
    spending = Spending()
    spending.per_set(0, energy_j=math.nan, cpu_s=1.0)
    assert math.isnan(spending.per_set(0, energy_j=math.nan, cpu_s=2.0)["cpu_s_per_set"])
    told = spending.per_set(4, energy_j=math.nan, cpu_s=3.0)
    assert math.isnan(told["j_per_set"])
    assert told["cpu_s_per_set"] == pytest.approx(0.5)
