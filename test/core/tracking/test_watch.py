"""What looks at each sector decides what tracks are expected to be found, how exactly, and by whom."""

from __future__ import annotations

import math

import numpy as np
import pytest
from builders import MS

from sentryfuse_core.config import TrackingConfig
from sentryfuse_core.track import TrackState
from sentryfuse_core.tracking.findable import findable
from sentryfuse_core.tracking.follow import Follower
from sentryfuse_core.tracking.noise import place_noise
from sentryfuse_core.tracking.watch import Watch, found_by, noise_around, watched
from sentryfuse_core.types import Detection, Modality, ModalitySet, SyncedSet

CAMERA, LIDAR = (ModalitySet.of(kind) for kind in (Modality.CAMERA, Modality.LIDAR))
AHEAD, BEHIND, LEFT = [16.0, 0.0], [-16.0, 0.0], [0.0, 16.0]
CAR = np.zeros(1, np.int64)


def recall(sensors: ModalitySet) -> tuple[float, ...]:
    return (0.4 * len(sensors),)


FRONT = Watch(0.0, CAMERA | LIDAR, recall)
BACK = Watch(math.pi, LIDAR, recall)


def test_objects_are_found_where_some_sector_looks() -> None:
    places, classes = np.array([AHEAD, BEHIND, LEFT]), np.zeros(3, np.int64)
    assert watched([FRONT, BACK])(places, classes) == pytest.approx([0.8, 0.4, 0.0])
    alone = watched([FRONT])(places, classes)
    assert alone.tolist() == findable(FRONT.used, recall)(places, classes).tolist()


def test_boxes_are_as_exact_as_the_sensors_that_look_there() -> None:
    places = np.array([AHEAD, BEHIND])
    dark = Watch(math.pi, CAMERA, recall)
    noise = noise_around(places, np.full(2, 0.3), [FRONT, dark])
    assert noise[0] == pytest.approx(place_noise(places[:1], np.full(1, 0.3), FRONT.used)[0])
    assert noise[1] == pytest.approx(place_noise(places[1:], np.full(1, 0.3), CAMERA)[0])


def test_boxes_are_told_to_be_of_the_sensors_that_look_there() -> None:
    found = found_by(np.array([AHEAD, BEHIND, [40.0, 40.0]]), [FRONT, BACK])
    assert found.tolist() == [(CAMERA | LIDAR).bits, LIDAR.bits, (CAMERA | LIDAR).bits]


def test_track_that_crosses_a_border_stays_one_when_both_sectors_look() -> None:
    """A car that drives round the robot from ahead to behind."""
    follower, watches = Follower(("car",)), [FRONT, Watch(math.pi / 2, LIDAR, recall), BACK]
    identities, states = set(), []
    for number in range(60):
        bearing = math.radians(3.0 * number)
        x, y = 10.0 * math.cos(bearing), 10.0 * math.sin(bearing)
        car = Detection("car", 0, 0.9, x, y, 0.75, 4.5, 1.8, 1.5, bearing + math.pi / 2)
        synced = SyncedSet(number, 0, number * 100 * MS, Modality.LIDAR, {}, {}, 0, 0, 0)
        tracks = follower.step(
            synced, (car,), TrackingConfig(), watches=watches, yaw_since=lambda _: 0.0, ego=None
        )
        identities |= {track.identity for track in tracks}
        states.append(tracks[0].state)
    assert identities == {1}
    assert set(states[5:]) == {TrackState.CONFIRMED}
