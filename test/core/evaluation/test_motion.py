"""What tracks say of true objects: speeds, headings, phantoms and names, whatever the order of rows."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from sentryfuse_core.errors import EvaluationError
from sentryfuse_core.evaluation.motion import (
    Crowd,
    Moment,
    kept_identities,
    pairs,
    phantoms,
    score_motion,
    similarity,
    track_frames,
)
from sentryfuse_core.evaluation.tracks import score_tracks


def crowd(*rows: tuple[int, int, float, float], speed: float = 2.0, heading: float = 0.0) -> Crowd:
    """Objects of (identity, class, x, y) that drive ahead."""
    count = len(rows)
    table = np.array(rows, float).reshape(-1, 4)
    return Crowd(
        identities=table[:, 0].astype(int),
        classes=table[:, 1].astype(int),
        places=table[:, 2:],
        velocities=np.tile((speed, 0.0), (count, 1)),
        headings=np.full(count, heading),
    )


def drawn(seed: int, *, most: int = 8) -> Moment:
    """Objects and tracks of two classes in a small place."""
    rng = np.random.default_rng(seed)

    def some(count: int) -> Crowd:
        return Crowd(
            identities=rng.permutation(50)[:count],
            classes=rng.integers(0, 2, count),
            places=rng.uniform(0, 8, (count, 2)),
            velocities=rng.normal(0, 3, (count, 2)),
            headings=rng.uniform(-4, 4, count),
        )

    return Moment(some(int(rng.integers(0, most))), some(int(rng.integers(0, most))))


def shuffled(one: Crowd, rng: np.random.Generator) -> Crowd:
    order = rng.permutation(len(one))
    return Crowd(**{name: values[order] for name, values in vars(one).items()})


@pytest.mark.parametrize("seed", range(40))
def test_pairs_are_near_of_one_class_and_as_many_as_there_can_be(seed: int) -> None:
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import maximum_bipartite_matching

    moment = drawn(seed)
    rows, columns = pairs(moment)
    assert len(set(rows.tolist())) == len(set(columns.tolist())) == len(rows)
    alike = similarity(moment.truth, moment.found)
    assert ((alike >= 0.0) & (alike <= 1.0)).all()
    assert (alike[rows, columns] >= 0.5).all()
    if alike.size:
        most = maximum_bipartite_matching(csr_matrix(alike >= 0.5), perm_type="column")
        assert len(rows) == int((most >= 0).sum())


@pytest.mark.parametrize("seed", range(20))
def test_scores_do_not_depend_on_the_order_of_rows_nor_on_names(seed: int) -> None:
    rng = np.random.default_rng(seed)
    moments = [drawn(100 * seed + index) for index in range(10)]
    mixed = [Moment(shuffled(one.truth, rng), shuffled(one.found, rng)) for one in moments]
    renamed = [
        replace(one, found=replace(one.found, identities=one.found.identities + 1000)) for one in mixed
    ]
    first, second = score_motion(moments), score_motion(renamed)
    assert first.pairs == second.pairs
    assert first.mave_m_s == pytest.approx(second.mave_m_s, nan_ok=True)
    assert first.straight == pytest.approx(second.straight, nan_ok=True)
    assert phantoms(moments) == phantoms(renamed)
    whole, again = score_tracks(track_frames(moments)), score_tracks(track_frames(renamed))
    assert (whole.hits, whole.missed, whole.false) == (again.hits, again.missed, again.false)


def test_errors_are_zero_when_tracks_are_the_truth() -> None:
    moments = [Moment(one.truth, one.truth) for one in map(drawn, range(20))]
    scores = score_motion(moments)
    assert (scores.mave_m_s, scores.straight, scores.heading_error_rad) == (0.0, 1.0, 0.0)
    assert phantoms(moments)[0] == 0


def test_velocity_error_is_the_mean_over_classes_of_their_means() -> None:
    truth = crowd((1, 0, 5, 0), (2, 0, 9, 0), (3, 1, 20, 0))
    found = replace(truth, velocities=truth.velocities + np.array([(1.0, 0), (0, 3.0), (0, 6.0)]))
    scores = score_motion([Moment(truth, found)])
    assert scores.velocity_error_m_s == {0: pytest.approx(2.0), 1: pytest.approx(6.0)}
    assert scores.mave_m_s == pytest.approx(4.0)


@pytest.mark.parametrize(("off_deg", "straight"), [(14, 1.0), (16, 0.0), (346, 1.0), (180, 0.0), (-374, 1.0)])
def test_heading_counts_whole_turns_as_none_when_objects_move(off_deg: float, straight: float) -> None:
    truth = crowd((1, 0, 5, 0), heading=3.0)
    scores = score_motion([Moment(truth, replace(truth, headings=truth.headings + math.radians(off_deg)))])
    assert (scores.straight, scores.moving) == (straight, 1)


def test_heading_of_what_stands_is_not_judged() -> None:
    truth = crowd((1, 0, 5, 0), speed=0.9)
    assert math.isnan(score_motion([Moment(truth, truth)]).straight)


def test_phantom_is_a_track_that_never_was_near_an_object_of_its_class() -> None:
    truth = crowd((1, 0, 5, 0))
    moments = [
        Moment(truth, crowd((7, 0, 8, 0), (8, 1, 5, 0))),
        Moment(truth, crowd((7, 0, 6, 0), (9, 0, 20, 0))),
    ]
    assert phantoms(moments) == (2, 3)


def gap(*after: int, first: int = 7) -> list[Moment]:
    """A track before a gap, none in it, and these, one a moment, after."""
    truth = crowd((1, 0, 5, 0))
    names = [first, None, *after]
    return [Moment(truth, crowd() if name is None else crowd((name, 0, 5, 0))) for name in names]


@pytest.mark.parametrize(("after", "kept"), [((7, 7), 1), ((8, 7), 1), ((8, 8), 0), ((8, 8, 7), 0)])
def test_identity_is_kept_when_the_same_track_is_on_the_object_soon_after(
    after: tuple[int, ...], kept: int
) -> None:
    made, whole = gap(*after), gap(*[3] * len(after), first=3)
    assert kept_identities(made, whole, before=0, after=2, within=2) == (kept, 1, 1)


def test_identity_is_not_asked_for_when_the_undisturbed_run_loses_the_object_too() -> None:
    whole = gap(7, 7)[:2] + [replace(one, found=crowd()) for one in gap(7, 7)[2:]]
    assert kept_identities(gap(7, 7), whole, before=0, after=2, within=2) == (0, 0, 1)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"places": np.zeros((2, 2))}, "shapes"),
        ({"velocities": np.full((1, 2), np.nan)}, "not finite"),
        ({"headings": np.full(1, np.inf)}, "not finite"),
    ],
)
def test_crowd_names_what_is_wrong(change: dict[str, Any], told: str) -> None:
    with pytest.raises(EvaluationError, match=told):
        replace(crowd((1, 0, 5, 0)), **change)
