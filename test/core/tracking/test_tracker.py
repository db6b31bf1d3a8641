"""The tracker: identities, blackouts, births, deaths and a robot that moves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from sentryfuse_core.boxes import FrameBoxes
from sentryfuse_core.config import TrackingConfig
from sentryfuse_core.tracking.tracker import EgoStep, Tracker

DT_S = 0.1
CAR = (4.5, 1.8, 1.5)


def sees(places: Any, _: Any) -> Any:
    """Sensors that find nine objects of ten."""
    return np.full(len(places), 0.9)


def blind(places: Any, _: Any) -> Any:
    """No sensor that looks anywhere."""
    return np.zeros(len(places))


def cars(*places: tuple[float, float], score: float = 0.9, yaw: float = 0.0) -> FrameBoxes:
    """Detections of cars."""
    boxes = np.array([(x, y, 0.75, *CAR, yaw) for x, y in places]).reshape(-1, 7)
    return FrameBoxes(boxes, np.zeros(len(places), np.int64), np.full(len(places), score))


def tracker(**options: Any) -> Tracker:
    return Tracker(TrackingConfig(**options), ["car", "pedestrian"])


def confirmed(made: Tracker) -> list[int]:
    """Identities of what is held to be there."""
    objects = made.objects
    return objects.identities[objects.exists >= made.config.confirm_probability].tolist()


def drive(made: Tracker, frames: Sequence[FrameBoxes], **options: Any) -> None:
    for frame in frames:
        made.step(frame, DT_S, **{"findable": sees, **options})


def passing(count: int, *, start: float = 5.0, speed: float = 8.0, y: float = 2.0) -> list[FrameBoxes]:
    """A car that drives ahead."""
    return [cars((start + speed * DT_S * step, y)) for step in range(count)]


def test_identity_holds_when_an_object_moves() -> None:
    made = tracker()
    drive(made, passing(30))
    assert confirmed(made) == [1]
    assert made.objects.states[0, 2:4] == pytest.approx([8.0, 0.0], abs=0.3)


def test_identity_and_speed_hold_when_all_sensors_are_gone_for_a_second() -> None:
    made, frames = tracker(), passing(40)
    drive(made, frames[:15])
    drive(made, [cars()] * 10, findable=blind)
    assert confirmed(made) == [1]
    assert made.objects.states[0, 0] == pytest.approx(frames[24].boxes[0, 0], abs=0.5)
    drive(made, frames[25:])
    assert confirmed(made) == [1]


def test_covariance_grows_and_the_object_ends_when_a_blackout_lasts() -> None:
    made = tracker()
    drive(made, passing(15))
    before = made.objects.covariances[0, 0, 0]
    drive(made, [cars()] * 5, findable=blind)
    assert made.objects.covariances[0, 0, 0] > 2 * before
    drive(made, [cars()] * 60, findable=blind)
    assert len(made.objects) == 0


def test_object_ends_soon_when_it_ought_to_be_seen_and_is_not() -> None:
    made = tracker()
    drive(made, passing(15))
    drive(made, [cars()] * 6)
    assert confirmed(made) == []
    drive(made, [cars()] * 9)
    assert len(made.objects) == 0


def test_object_counts_at_once_when_its_score_is_certain_and_later_when_it_is_not() -> None:
    sure, unsure = tracker(), tracker()
    sure.step(cars((5, 0), score=0.95), DT_S, findable=sees)
    unsure.step(cars((5, 0), score=0.5), DT_S, findable=sees)
    assert confirmed(sure) == [1]
    assert confirmed(unsure) == []
    drive(unsure, [cars((5, 0), score=0.5)] * 2)
    assert confirmed(unsure) == [1]


def test_false_boxes_become_no_objects_when_each_comes_once() -> None:
    made, generator = tracker(), np.random.default_rng(1)
    told = set()
    for _ in range(200):
        made.step(cars(tuple(generator.uniform(0, 30, 2)), score=0.3), DT_S, findable=sees)
        told.update(confirmed(made))
    assert len(told) <= 10


def test_identity_never_comes_again_before_a_reset() -> None:
    made = tracker()
    drive(made, passing(5))
    drive(made, [cars()] * 30)
    drive(made, passing(5))
    assert confirmed(made) == [2]
    made.reset()
    drive(made, passing(5))
    assert confirmed(made) == [1]


def test_two_objects_keep_their_identities_when_they_pass_each_other() -> None:
    made = tracker()
    for step in range(40):
        x = 0.8 * step
        made.step(cars((5 + x, 1.2), (37 - x, -1.2)), DT_S, findable=sees)
    order = np.argsort(made.objects.identities)
    assert made.objects.states[order, 2] == pytest.approx([8.0, -8.0], abs=0.5)


def test_speed_is_over_ground_when_the_robots_motion_is_told() -> None:
    made, yaw = tracker(), 0.02
    x, y = 20.0, 3.0
    for _ in range(40):
        made.step(cars((x, y)), DT_S, findable=sees, ego=EgoStep(0.5, 0.0, yaw))
        x, y = np.cos(yaw) * (x - 0.5) + np.sin(yaw) * y, np.cos(yaw) * y - np.sin(yaw) * (x - 0.5)
    assert np.hypot(*made.objects.states[0, 2:4]) < 0.3


def test_class_is_kept_apart_when_a_pedestrian_stands_where_a_car_was() -> None:
    made = tracker()
    drive(made, passing(5, speed=0.0))
    person = FrameBoxes(
        np.array([[5.0, 2.0, 0.9, 0.6, 0.6, 1.8, 0.0]]), np.ones(1, np.int64), np.full(1, 0.9)
    )
    made.step(person, DT_S, findable=sees)
    assert made.objects.classes.tolist() == [0, 1]


def test_heading_follows_the_nearer_axis_when_boxes_flip() -> None:
    made = tracker()
    for step in range(20):
        made.step(cars((5 + 0.5 * step, 0), yaw=np.pi * (step % 2)), DT_S, findable=sees)
    assert made.objects.states[0, 4] == pytest.approx(0.0, abs=0.05)


def test_one_object_stays_when_it_is_found_twice_or_as_another_class() -> None:
    made = tracker()
    drive(made, passing(10, speed=0.0))
    both = FrameBoxes(
        np.array(
            [[5.0, 2.0, 0.75, *CAR, 0.0], [5.2, 2.1, 0.75, *CAR, 0.0], [5.0, 2.0, 0.9, 0.6, 0.6, 1.8, 0.0]]
        ),
        np.array([0, 0, 1]),
        np.full(3, 0.9),
    )
    drive(made, [both] * 5)
    assert made.objects.identities.tolist() == [1]


def test_surer_object_stays_when_two_come_to_one_place() -> None:
    made = tracker()
    for y in (3.0, 3.0, 2.0, 1.0, 0.0, 0.0):
        boxes = np.array([[9.0, y, 0.75, *CAR, 0.0], [9.0, 0.0, 0.9, 0.6, 0.6, 1.8, 0.0]])
        drive(made, [FrameBoxes(boxes, np.array([0, 1]), np.array([0.3, 0.9]))])
    assert made.objects.classes.tolist() == [1]


def test_second_object_begins_beside_the_first_when_there_is_room() -> None:
    made = tracker()
    drive(made, [cars((10, 2)), *[cars((10, 2), (10, -0.5))] * 3])
    assert confirmed(made) == [1, 2]


def test_second_miss_in_a_row_says_less_than_the_first_since_what_hides_an_object_lasts() -> None:
    made = tracker(lifetime_s=3600.0)
    drive(made, [cars((9, 2))])
    odds = [made.objects.exists[0] / (1.0 - made.objects.exists[0])]
    for _ in range(2):
        drive(made, [cars()])
        odds.append(made.objects.exists[0] / (1.0 - made.objects.exists[0]))
    assert odds[1] / odds[0] == pytest.approx(0.1, rel=0.01)
    assert odds[2] / odds[1] > 0.5


def test_vehicle_goes_where_it_heads_when_speeds_are_over_ground() -> None:
    frames = [cars((5 + 0.8 * step, 2 + 0.2 * (step % 2))) for step in range(8)]
    free, straight = tracker(), tracker()
    drive(free, frames)
    drive(straight, frames, over_ground=True)
    sideways = [abs(made.objects.states[0, 3]) for made in (free, straight)]
    assert sideways[1] < 0.8 * sideways[0]
    assert straight.objects.states[0, 2] == pytest.approx(8.0, abs=0.5)


@pytest.mark.parametrize(("kind", "aside_m", "count"), [(0, 1.2, 1), (0, 1.6, 2), (1, 0.3, 1), (1, 0.6, 2)])
def test_object_begins_beside_one_that_was_found_when_it_is_far_enough_for_its_class(
    kind: int, aside_m: float, count: int
) -> None:
    def at(*rows: float) -> FrameBoxes:
        size = (CAR, (0.6, 0.6, 1.8))[kind]
        boxes = np.array([(9.0, y, 0.8, *size, 0.0) for y in rows])
        return FrameBoxes(boxes, np.full(len(rows), kind), np.full(len(rows), 0.9))

    made = tracker()
    drive(made, [*[at(0.0)] * 20, at(0.0, aside_m)])
    assert len(made.objects) == count
