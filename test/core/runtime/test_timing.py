"""Percentiles: nearest rank, over a sliding time."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentryfuse_core.clock import NS_PER_S
from sentryfuse_core.runtime.timing import PercentileWindow, percentile, summarise


def test_summarise_gives_nearest_ranks_when_there_are_a_hundred() -> None:
    found = summarise([float(value) for value in range(100, 0, -1)])
    assert (found.n, found.p50, found.p90, found.p95, found.p99, found.max) == (100, 50, 90, 95, 99, 100)


def test_summarise_is_nan_when_there_is_nothing() -> None:
    found = summarise([])
    assert found.n == 0
    assert math.isnan(found.p50)
    assert math.isnan(found.max)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=50), st.floats(1, 100))
def test_percentile_has_its_share_at_or_below_when_sorted(values: list[float], percent: float) -> None:
    found = percentile(sorted(values), percent)
    assert found in values
    assert sum(value <= found for value in values) >= percent / 100 * len(values) - 1e-9


@pytest.mark.parametrize(("now_s", "expected"), [(1, 2), (10, 2), (10.5, 1), (11, 1), (12, 0)])
def test_window_forgets_a_value_when_it_is_older_than_the_window(now_s: float, expected: int) -> None:
    window = PercentileWindow(10.0)
    window.add(1.0, round(0.25 * NS_PER_S))
    window.add(2.0, 1 * NS_PER_S + NS_PER_S // 2)
    assert window.summary(round(now_s * NS_PER_S)).n == expected
