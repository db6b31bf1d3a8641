"""Whether an object is there: what detections, misses and time do to the probability."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentryfuse_core.tracking import existence

chances = st.floats(0.001, 0.999)


def only(values: np.ndarray) -> float:
    return float(values[0])


@given(chances, chances)
def test_existence_is_that_of_bayes_when_an_object_is_missed(before: float, findable: float) -> None:
    told = only(existence.unseen(np.array([before]), np.array([findable])))
    assert told == pytest.approx(before * (1 - findable) / (before * (1 - findable) + 1 - before))


@given(chances)
def test_miss_says_nothing_when_no_sensor_looks(before: float) -> None:
    assert only(existence.unseen(np.array([before]), np.zeros(1))) == before


@given(chances, chances)
def test_detection_tells_more_when_its_score_is_higher(before: float, score: float) -> None:
    less = only(existence.seen(np.array([before]), np.array([score * 0.9]), evidence=10.0))
    more = only(existence.seen(np.array([before]), np.array([score]), evidence=10.0))
    assert less < more < 1.0


def test_score_is_the_chance_itself_when_nothing_else_is_known() -> None:
    assert only(existence.seen(np.array([0.5]), np.array([0.3]), evidence=1.0)) == pytest.approx(0.3)


@pytest.mark.parametrize("score", [0.0, 1.0])
def test_existence_stays_a_probability_when_scores_are_certain(score: float) -> None:
    told = only(existence.seen(np.array([0.999999]), np.array([score]), evidence=10.0))
    assert 0.0 < told < 1.0


def test_existence_falls_to_a_third_when_a_lifetime_has_passed() -> None:
    assert only(existence.aged(np.ones(1), 10.0, lifetime_s=10.0)) == pytest.approx(np.exp(-1.0))
