"""The benchmark all around: which objects count when one of two lidars is lost, and what coverage tells."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np

from benchmarks.around_lidars import is_told, of_others
from benchmarks.around_moments import BOTH, NOSE, TAIL, Moment, made
from sentryfuse_core.boxes import FrameBoxes


def boxes(*placed: tuple[float, float, int]) -> FrameBoxes:
    """Boxes of 1 m at x, y of a class."""
    rows = [(x, y, 0.0, 1.0, 1.0, 1.0, 0.0) for x, y, _ in placed]
    return FrameBoxes(
        np.array(rows).reshape(-1, 7), np.array([kind for *_, kind in placed]), np.ones(len(placed))
    )


@cache
def moment() -> Moment:
    return made(0)[0]


def test_box_counts_when_its_object_is_chosen_or_it_has_none() -> None:
    truth = boxes((10.0, 0.0, 0), (13.0, 0.0, 0), (10.0, 0.0, 1))
    chosen = np.array([True, False, True])
    found = boxes((10.4, 0.0, 0), (12.6, 0.0, 0), (12.6, 0.0, 1), (30.0, 0.0, 0))
    assert of_others(found, truth, chosen).tolist() == [False, True, False, False]


def test_every_box_counts_when_there_is_no_object() -> None:
    none = np.zeros(0, np.bool_)
    assert of_others(boxes((10.0, 0.0, 0)), FrameBoxes.none(), none).tolist() == [False]


def test_loss_is_told_when_coverage_follows_what_came() -> None:
    assert is_told(moment(), NOSE, TAIL)
    assert is_told(moment(), TAIL, NOSE)


def test_loss_is_not_told_when_coverage_stays_as_it_was() -> None:
    stays = dict.fromkeys((BOTH, NOSE, TAIL), moment().halves[BOTH])
    assert not is_told(replace(moment(), halves=stays), NOSE, TAIL)


def test_two_lidars_hit_more_than_each_of_them() -> None:
    cells = {name: sum(float(one.lidar[:, -1].sum()) for one in own) for name, own in moment().pairs.items()}
    assert cells[BOTH] > max(cells[NOSE], cells[TAIL]) > 0.0
