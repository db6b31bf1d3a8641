"""Hindsight: what both directions of a recording follow is one object, and surer than any frame alone."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import pytest

from sentryfuse_core.boxes import FrameBoxes
from sentryfuse_core.lab.adapting.hindsight import Glimpse, Hindsight, in_hindsight
from sentryfuse_core.planar import EgoStep
from sentryfuse_core.types import Modality, ModalitySet

LABELS = ("car", "pedestrian", "cyclist")
LIDAR = ModalitySet.of(Modality.LIDAR)
PERIOD_S = 0.1
CAR = (0.8, 4.2, 1.8, 1.5, 0.3)


def frame(*places: tuple[float, float], score: float = 0.6, classes: int = 0) -> FrameBoxes:
    return FrameBoxes(
        np.array([(*place, *CAR) for place in places]).reshape(-1, 7),
        np.full(len(places), classes),
        np.full(len(places), score),
    )


def known(found: list[FrameBoxes], way: EgoStep | None = None) -> list[Hindsight]:
    glimpses = [Glimpse(one, PERIOD_S, way or EgoStep()) for one in found]
    return in_hindsight(glimpses, LABELS, used=LIDAR)


def parked(frames: int, *, missed: Collection[int] = (), noise_m: float = 0.0) -> list[FrameBoxes]:
    """A car ahead of a robot that drives 0.6 m a frame towards it."""
    random = np.random.default_rng(3)
    places = np.array([(28.0 - 0.6 * index, 3.0) for index in range(frames)])
    places += noise_m * random.standard_normal(places.shape)
    return [frame() if index in missed else frame(tuple(place)) for index, place in enumerate(places)]


def test_hindsight_knows_an_object_in_a_frame_that_missed_it_when_others_found_it() -> None:
    found = known(parked(20, missed={9, 10}), EgoStep(x=0.6))
    assert [len(one) for one in found] == [1] * 20
    assert found[9].boxes.boxes[0, :2] == pytest.approx((28.0 - 0.6 * 9, 3.0), abs=0.2)
    assert found[9].hits.tolist() == [18]
    assert found[9].share.tolist() == pytest.approx([18 / 20])


def test_hindsight_places_an_object_better_than_a_frame_when_detections_scatter() -> None:
    scattered = parked(30, noise_m=0.4)
    truth = np.array([(28.0 - 0.6 * index, 3.0) for index in range(30)])
    raw = np.array([one.boxes[0, :2] for one in scattered])
    smooth = np.array([one.boxes.boxes[0, :2] for one in known(scattered, EgoStep(x=0.6))])
    assert np.linalg.norm(smooth - truth, axis=1).mean() < 0.8 * np.linalg.norm(raw - truth, axis=1).mean()


def test_hindsight_counts_one_hit_when_only_one_frame_found_something() -> None:
    found = known([frame((10.0, 0.0)) if index == 4 else frame() for index in range(9)])
    assert [one.hits.tolist() for one in found[4:5]] == [[1]]
    assert [len(one) for one in (*found[:4], *found[5:])] == [0] * 8


def test_hindsight_gives_the_mean_score_of_an_object_in_every_frame() -> None:
    scores = [0.9, 0.3, 0.9, 0.3, 0.9, 0.3]
    found = known([frame((10.0, 2.0), score=score) for score in scores])
    means = np.concatenate([one.boxes.scores for one in found])
    assert means.min() > 0.55
    assert means.max() < 0.78


def test_hindsight_keeps_the_place_of_a_turning_robots_surroundings() -> None:
    turn = 0.03
    places = [(15.0 * np.cos(-turn * index), 15.0 * np.sin(-turn * index)) for index in range(12)]
    found = known([frame(place) for place in places], EgoStep(yaw=turn))
    assert [len(one) for one in found] == [1] * 12
    for one, place in zip(found, places, strict=True):
        assert one.boxes.boxes[0, :2] == pytest.approx(place, abs=0.1)


def test_hindsight_is_empty_when_there_is_no_frame() -> None:
    assert known([]) == []
