"""Which detection is which object."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from sentryfuse_core.tracking.pairs import likeliest_pairs


def paired(places: Any, found: Any, **options: Any) -> list[tuple[int, int]]:
    """The pairs of objects and detections of one size, each placed to within 0.5 m."""
    places, found = np.asarray(places, float).reshape(-1, 2), np.asarray(found, float).reshape(-1, 2)
    sides = {"sizes": np.ones((len(places), 3)), "found_sizes": np.ones((len(found), 3))}
    own = {"alike": np.zeros((len(places), len(found))), "gate": 16.0, **sides, **options}
    spread = 0.25 * np.eye(2)
    rows, columns = likeliest_pairs(
        places, np.tile(spread, (len(places), 1, 1)), own.pop("sizes"), found,
        np.tile(spread, (len(found), 1, 1)), own.pop("found_sizes"), **own,
    )  # fmt: skip
    return list(zip(rows.tolist(), columns.tolist(), strict=True))


@pytest.mark.parametrize(
    ("places", "found"), [([], []), ([(0, 0)], []), ([], [(0, 0)]), ([(0, 0)], [(9, 0)])]
)
def test_pairs_are_none_when_nothing_fits(places: Any, found: Any) -> None:
    assert paired(places, found) == []


def test_pairs_have_the_least_cost_of_all_when_objects_stand_close() -> None:
    generator = np.random.default_rng(3)
    for _ in range(30):
        places, found = generator.uniform(0, 2, (4, 2)), generator.uniform(0, 2, (4, 2))
        distance = ((places[:, None] - found[None]) ** 2).sum(-1)
        best = min(itertools.permutations(range(4)), key=lambda order: sum(distance[range(4), order]))
        assert paired(places, found) == list(enumerate(best))


def test_pair_is_the_one_of_the_same_size_when_two_are_as_near() -> None:
    sizes = np.array([[4.5, 1.8, 1.5], [0.8, 0.8, 1.8]])
    assert paired([(0, 0.5)], [(0, 0), (0, 1)], sizes=sizes[1:], found_sizes=sizes) == [(0, 1)]


def test_pair_is_none_when_the_classes_cannot_be_one_object() -> None:
    assert paired([(0, 0)], [(0, 0)], alike=np.array([[np.inf]])) == []


def test_more_detections_than_objects_leave_the_farther_ones_free() -> None:
    assert paired([(0, 0)], [(1, 0), (0.1, 0), (2, 0)]) == [(0, 1)]
