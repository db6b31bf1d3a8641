"""Detections smoothed by their tracks: scores half way, sizes of the track, places as they were."""

from __future__ import annotations

import math

import numpy as np
import pytest
import results
from hypothesis import given
from hypothesis import strategies as st
from results import CAR

from sentryfuse_core.tracking.smooth import blended, smoothed
from sentryfuse_core.types import Detection

shares = st.floats(0.001, 0.999)


def box(score: float, x: float) -> Detection:
    return Detection("car", 0, score, x, 2.0, 0.75, 4.5, 1.8, 1.5, 0.5, CAR.support)


def test_box_has_its_tracks_size_and_a_score_between_when_it_has_a_track() -> None:
    track = results.track(1, score=0.8, length=4.0, width=1.7, height=1.4, detection=0)
    (found,), (kept,) = smoothed((box(0.2, 9.0),), (track,), least=[0.1])
    assert (found.length, found.width, found.height) == (4.0, 1.7, 1.4)
    assert found.score == pytest.approx(0.5)  # odds of 1 to 4 and of 4 to 1
    assert (found.x, found.y, found.z, found.yaw) == (9.0, 2.0, 0.75, 0.5)
    assert found.support == CAR.support
    assert kept == track


def test_box_stays_as_it_is_when_it_has_no_track() -> None:
    track = results.track(1, detection=None)
    assert smoothed((box(0.4, 9.0),), (track,), least=[0.1]) == ((box(0.4, 9.0),), (track,))


def test_boxes_come_best_first_and_tracks_tell_their_new_numbers_when_scores_change() -> None:
    found = (box(0.6, 1.0), box(0.5, 2.0), box(0.12, 3.0), box(0.3, 4.0))
    tracks = (
        results.track(1, score=0.1, detection=0),
        results.track(2, score=0.9, detection=1),
        results.track(3, score=0.9, detection=2),
        results.track(4, score=0.001, detection=3),
    )
    told, kept = smoothed(found, tracks, least=[0.25] * 4)
    assert [item.x for item in told] == [2.0, 3.0, 1.0]  # the faint third is told, the fourth no more
    assert [track.detection for track in kept] == [2, 0, 1, None]


def test_boxes_are_told_by_the_threshold_of_what_found_them() -> None:
    found = (box(0.2, 1.0), box(0.2, -9.0))
    assert smoothed(found, (), least=[0.3, 0.1]) == (found[1:], ())


@given(st.lists(st.tuples(shares, shares, st.booleans()), max_size=8), shares)
def test_boxes_told_are_those_of_enough_score_and_each_track_points_to_its_own(
    rows: list[tuple[float, float, bool]], least: float
) -> None:
    found = [box(score, float(index)) for index, (score, _, _) in enumerate(rows)]
    tracks = [
        results.track(index + 1, score=mean, x=float(index), detection=index if own else None)
        for index, (_, mean, own) in enumerate(rows)
    ]
    told, kept = smoothed(found, tracks, least=[least] * len(found))
    scores = [item.score for item in told]
    assert scores == sorted(scores, reverse=True)
    assert all(score >= least for score in scores)
    for track, (score, mean, own) in zip(kept, rows, strict=True):
        if track.detection is not None:
            assert told[track.detection].x == track.x
        elif own:
            assert blended(np.array([score]), np.array([mean]))[0] < least


@given(shares, shares)
def test_blend_lies_between_both_and_is_the_score_itself_when_the_track_scores_the_same(
    score: float, mean: float
) -> None:
    (between,) = blended(np.array([score]), np.array([mean])).tolist()
    assert min(score, mean) - 1e-12 <= between <= max(score, mean) + 1e-12
    (same,) = blended(np.array([score]), np.array([score])).tolist()
    assert math.isclose(same, score, rel_tol=1e-9)
