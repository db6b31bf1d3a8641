"""Scores of tracks: the values of TrackEval, and what the scores mean."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from sentryfuse_core.errors import EvaluationError
from sentryfuse_core.evaluation.tracks import TrackFrame, score_tracks


def drawn(seed: int, *, frames: int = 40, objects: int = 8) -> list[TrackFrame]:
    """Objects that move, with misses, switches and false boxes."""
    generator = np.random.default_rng(seed)
    places, speeds = generator.uniform(0, 40, (objects, 2)), generator.normal(0, 0.3, (objects, 2))
    names, made = np.arange(objects) + 100, []
    for _ in range(frames):
        places = places + speeds
        live, seen = generator.random(objects) < 0.9, generator.random(objects) < 0.85
        for index in range(objects):
            if generator.random() < 0.03:
                names[index] = generator.integers(200, 260)
        found: dict[int, Any] = {}
        for index in np.flatnonzero(seen):
            if int(names[index]) not in found:
                found[int(names[index])] = places[index] + generator.normal(0, 0.5, 2)
        for _ in range(generator.poisson(0.7)):
            name = int(generator.integers(300, 305))
            if name not in found:
                found[name] = generator.uniform(0, 40, 2)
        truth = np.flatnonzero(live)
        at = np.array(list(found.values())).reshape(-1, 2)
        distance = np.linalg.norm(places[truth][:, None] - at[None], axis=-1)
        made.append(TrackFrame(truth, np.array(list(found), np.int64), np.maximum(0, 1 - distance / 4)))
    return made


def frames(rows: Sequence[tuple[Sequence[int], Sequence[int]]]) -> list[TrackFrame]:
    """Frames in which the n-th true box is the n-th found one to the bit, and like no other."""
    return [
        TrackFrame(np.array(truth, np.int64), np.array(found, np.int64), np.eye(len(truth), len(found)))
        for truth, found in rows
    ]


# HOTA, DetA, AssA, MOTA, IDF1, hits, missed, false boxes, switches of TrackEval at commit 12c8791b303e.
GOLDEN = {
    0: (0.559417939, 0.601064148, 0.520869228, 0.653979239, 0.69047619, 247, 42, 52, 6),
    1: (0.531430292, 0.584175671, 0.483600986, 0.603508772, 0.680272109, 242, 43, 61, 9),
    2: (0.504568357, 0.586813344, 0.434267653, 0.592334495, 0.59762309, 243, 44, 59, 14),
    3: (0.563416035, 0.599503483, 0.529610624, 0.616197183, 0.691780822, 241, 43, 59, 7),
}


@pytest.mark.parametrize("seed", GOLDEN)
def test_scores_are_those_of_trackeval_when_identities_switch(seed: int) -> None:
    scores = score_tracks(drawn(seed))
    assert list(vars(scores).values()) == pytest.approx(GOLDEN[seed], abs=1e-6)


def test_scores_are_one_when_every_box_keeps_its_identity() -> None:
    scores = score_tracks(frames([([1, 2], [7, 9])] * 5))
    assert (scores.hota, scores.mota, scores.idf1, scores.switches) == (1.0, 1.0, 1.0, 0)


def test_switch_is_counted_once_when_an_identity_changes_behind_a_gap() -> None:
    scores = score_tracks(frames([([1], [7]), ([1], []), ([1], [8]), ([1], [8])]))
    assert (scores.hits, scores.missed, scores.false, scores.switches) == (3, 1, 0, 1)


def test_scores_are_zero_when_nothing_is_found_or_nothing_is_there() -> None:
    assert score_tracks(frames([([1], [])])).hota == 0.0
    assert score_tracks(frames([([], [])])).mota == 0.0
    assert score_tracks([]).idf1 == 0.0


@pytest.mark.parametrize(
    ("frame", "told"),
    [((np.arange(2), np.arange(1), np.zeros((1, 2))), "similarity"),
     ((np.zeros(2, int), np.arange(1), np.zeros((2, 1))), "twice")],
)  # fmt: skip
def test_frame_names_what_is_wrong(frame: Any, told: str) -> None:
    with pytest.raises(EvaluationError, match=told):
        TrackFrame(*frame)
