"""Intervals: known values, and as often right as they say."""

from __future__ import annotations

import math

import numpy as np
import pytest

from sentryfuse_core.lab.bench.intervals import (
    Part,
    item_interval,
    mean_interval,
    ratio_interval,
    ratio_of_medians,
)
from sentryfuse_core.lab.bench.records import Run

RUNS = [Run(seed, 0) for seed in range(5)]


def part(above: list[float], below: list[float] | None = None, stratum: str = "har") -> Part:
    ones = below or [1.0] * len(above)
    return Part(stratum, dict(zip(RUNS, above, strict=False)), dict(zip(RUNS, ones, strict=False)))


def test_mean_interval_is_students_when_differences_are_known() -> None:
    found = mean_interval([1.0, 2.0, 3.0])
    assert found.mean == pytest.approx(2.0)
    assert found.high - found.mean == pytest.approx(4.302653 / math.sqrt(3), rel=1e-6)  # t of 2 degrees


@pytest.mark.parametrize("values", [[], [1.0]])
def test_mean_interval_has_no_ends_when_runs_are_too_few(values: list[float]) -> None:
    found = mean_interval(values)
    assert math.isnan(found.low)
    assert not found.above_zero


def test_ratio_interval_is_the_paired_one_when_there_is_one_cell() -> None:
    values = [0.5, -1.0, 2.0, 0.3, 0.9]
    pooled, plain = ratio_interval([part(values)]), mean_interval(values)
    assert (pooled.mean, pooled.low, pooled.high) == pytest.approx((plain.mean, plain.low, plain.high))


def test_ratio_interval_gains_nothing_when_a_cell_is_counted_twice() -> None:
    values = [0.5, -1.0, 2.0, 0.3, 0.9]
    once, twice = ratio_interval([part(values)]), ratio_interval([part(values), part(values)])
    assert (twice.low, twice.high) == pytest.approx((once.low, once.high))


def test_ratio_interval_is_exact_when_every_run_has_the_same_ratio() -> None:
    found = ratio_interval([part([1.0, 2.0, 3.0], [2.0, 4.0, 6.0]), part([4.0, 5.0, 1.0], [8.0, 10.0, 2.0])])
    assert (found.mean, found.low, found.high) == pytest.approx((0.5, 0.5, 0.5))


def test_ratio_interval_has_no_ends_when_a_data_set_has_one_run() -> None:
    found = ratio_interval([part([1.0, 2.0]), part([1.0], stratum="digits")])
    assert found.mean == pytest.approx(1.25)
    assert math.isnan(found.low)


def test_ratio_interval_is_no_number_when_there_is_nothing() -> None:
    assert math.isnan(ratio_interval([]).mean)
    assert math.isnan(ratio_interval([part([1.0], [0.0])]).mean)


def test_ratio_interval_covers_the_truth_as_often_as_it_says_when_cells_share_their_runs() -> None:
    rng = np.random.default_rng(0)
    covered, trials = 0, 400
    for _ in range(trials):
        parts = []
        for stratum, runs in (("har", 5), ("digits", 4)):
            shared = rng.normal(0.0, 1.0, runs)  # what a run does to all of its cells
            for gap in (4.0, 10.0, 20.0):
                below = gap + rng.normal(0.0, 0.5, runs)
                above = 0.9 * gap + shared + rng.normal(0.0, 0.5, runs)
                parts.append(part(above.tolist(), below.tolist(), stratum))
        found = ratio_interval(parts)
        covered += found.low <= 0.9 <= found.high
    assert 0.92 <= covered / trials <= 0.985


def test_item_interval_covers_the_truth_as_often_as_it_says_when_items_hold_several_samples() -> None:
    rng = np.random.default_rng(1)
    covered, trials = 0, 150
    for _ in range(trials):
        counts = np.full(60, 4.0)
        sums = (0.1 + rng.normal(0.0, 0.3, 60)) * 4.0
        found = item_interval(sums, counts)
        covered += found.low <= 0.1 <= found.high
    assert 0.88 <= covered / trials <= 0.99


def test_item_interval_is_the_same_when_made_twice() -> None:
    sums, counts = np.arange(20.0), np.ones(20)
    assert item_interval(sums, counts) == item_interval(sums, counts)


def test_item_interval_has_no_ends_when_there_is_one_item() -> None:
    assert math.isnan(item_interval(np.ones(1), np.ones(1)).low)
    assert math.isnan(item_interval(np.ones(0), np.ones(0)).mean)


def test_ratio_of_medians_has_an_interval_that_is_a_point_when_one_is_always_twice_the_other() -> None:
    rng = np.random.default_rng(0)
    below = rng.uniform(1, 2, 60)
    found = ratio_of_medians(2 * below, below)
    assert (found.mean, found.low, found.high, found.runs) == pytest.approx((2.0, 2.0, 2.0, 60))
    noisy = ratio_of_medians(3 + rng.exponential(0.5, 200), 1 + rng.exponential(0.5, 200))
    assert noisy.low < noisy.mean < noisy.high
