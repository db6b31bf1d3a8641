"""Intervals over frames: drawing frames anew equals evaluating them anew."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from worlds import LABELS, random_frames

from sentryfuse_core.boxes import FrameBoxes
from sentryfuse_core.evaluation.matching import Matches, match_frames
from sentryfuse_core.evaluation.metrics import evaluate_detections
from sentryfuse_core.lab.scoring.resample import drawn_maps, interval_of, map_of, only_frames

SEEDS = st.integers(0, 1000)


def pair(seed: int) -> tuple[list[FrameBoxes], list[FrameBoxes]]:
    rng = np.random.default_rng(seed)
    return random_frames(rng, frames=8, most=6), random_frames(rng, frames=8, most=12)


def matches(seed: int) -> Matches:
    return match_frames(*pair(seed), class_count=len(LABELS))


@given(SEEDS)
def test_map_equals_that_of_the_metrics_when_frames_count_once(seed: int) -> None:
    truth, found = pair(seed)
    expected = evaluate_detections(truth, found, labels=LABELS).map
    assert map_of(matches(seed)) == pytest.approx(expected, abs=1e-12)


@given(SEEDS)
def test_map_of_some_frames_equals_theirs_alone_when_others_are_left_out(seed: int) -> None:
    truth, found = pair(seed)
    keep = np.random.default_rng(seed).random(len(truth)) < 0.5
    kept = [index for index in range(len(truth)) if keep[index]]
    alone = match_frames([truth[i] for i in kept], [found[i] for i in kept], class_count=len(LABELS))
    for weighed in (map_of(only_frames(matches(seed), keep)), map_of(matches(seed), keep.astype(float))):
        assert weighed == pytest.approx(map_of(alone), abs=1e-12)


@given(SEEDS)
def test_map_stays_when_every_frame_counts_three_times(seed: int) -> None:
    own = matches(seed)
    assert map_of(own, np.full(own.frames, 3.0)) == pytest.approx(map_of(own), abs=1e-12)


def test_interval_holds_the_figure_when_frames_are_drawn() -> None:
    own, other = matches(1), matches(2)
    drawn = drawn_maps([own, other, own], draws=100, seed=0)
    assert drawn.shape == (100, 3)
    assert (drawn[:, 0] == drawn[:, 2]).all()  # the same draws for all parts
    found = interval_of(map_of(own), drawn[:, 0])
    assert found.low < found.value < found.high
    assert (drawn_maps([own], draws=100, seed=0)[:, 0] == drawn[:, 0]).all()


@pytest.mark.parametrize("rare", [0, 1])
def test_interval_stays_at_perfect_when_draws_lack_a_class(rare: int) -> None:
    """Of eight frames one has the class; in frames without a box nothing is to be found."""
    box = np.array([[8.0, 0.0, 0.8, 4.0, 1.8, 1.5, 0.0]])
    kinds = [np.zeros(0, np.int64)] * 5 + [np.array([1 - rare])] * 2 + [np.array([rare])]
    truth = [FrameBoxes(np.repeat(box, len(own), 0), own, np.ones(len(own))) for own in kinds]
    drawn = drawn_maps([match_frames(truth, truth, class_count=2)], draws=200, seed=0)
    assert drawn.shape == (200, 1)
    assert drawn == pytest.approx(np.ones((200, 1)))


def test_interval_is_of_the_draws_that_are_numbers_when_some_are_none() -> None:
    assert interval_of(0.5, np.array([np.nan, 0.4, 0.4])).low == pytest.approx(0.4)
    assert np.isnan(interval_of(np.nan, np.full(3, np.nan)).high)
