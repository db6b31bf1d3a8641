"""The follower: sets with detections to tracks, over jumps of time, blackouts and a robot that turns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from builders import MS, S

from sentryfuse_core.config import TrackingConfig
from sentryfuse_core.planar import EgoStep, Velocity
from sentryfuse_core.track import Track, TrackState
from sentryfuse_core.tracking.follow import Follower
from sentryfuse_core.tracking.watch import Watch
from sentryfuse_core.types import Detection, Modality, ModalitySet, SyncedSet

LABELS = ("car", "pedestrian")
ALL, NONE = ModalitySet.all(), ModalitySet()
PERIOD_NS = 100 * MS


def car(x: float, y: float, *, score: float = 0.9, yaw: float = 0.0) -> Detection:
    return Detection("car", 0, score, x, y, 0.75, 4.5, 1.8, 1.5, yaw)


class Driving:
    """A robot that is told to go straight on; None: nobody tells."""

    def __init__(self, speed: float | None) -> None:
        self.speed = speed

    def motion(self, from_ns: int, to_ns: int) -> EgoStep | None:
        return None if self.speed is None else EgoStep(x=self.speed * (to_ns - from_ns) / S)

    def velocity(self, _stamp_ns: int) -> Velocity | None:
        return None if self.speed is None else Velocity(x=self.speed)


def walker(x: float, y: float, *, yaw: float) -> Detection:
    return Detection("pedestrian", 1, 0.9, x, y, 0.9, 0.6, 0.6, 1.8, yaw)


def synced(number: int, *, epoch: int = 0) -> SyncedSet:
    """A set of which only the time counts."""
    return SyncedSet(number, epoch, number * PERIOD_NS, Modality.LIDAR, {}, {}, 0, 0, 0)


def step(follower: Follower, at: SyncedSet, *found: Detection, **changes: Any) -> tuple[Track, ...]:
    given: dict[str, Any] = {
        "used": ALL,
        "yaw_since": lambda _: 0.0,
        "config": TrackingConfig(),
        **changes,
    }
    watches = [Watch(0.0, given.pop("used"), lambda _: (0.9, 0.9))]
    return follower.step(at, found, given.pop("config"), watches=watches, **given)


def passing(follower: Follower, sets: Sequence[int], **changes: Any) -> tuple[Track, ...]:
    """A car that drives by at 8 m/s."""
    tracks: tuple[Track, ...] = ()
    for number in sets:
        tracks = step(follower, synced(number), car(5.0 + 0.8 * number, 2.0), **changes)
    return tracks


@pytest.mark.parametrize("ego", [None, Driving(5.0)], ids=["as before", "odometry begins"])
def test_track_stays_as_it_was_told_when_more_sets_come(ego: Driving | None) -> None:
    follower = Follower(LABELS)
    (track,) = passing(follower, range(10))
    trail, covariance = track.trail.copy(), track.covariance.copy()
    passing(follower, range(10, 14), ego=ego)
    assert np.array_equal(track.trail, trail)
    assert np.array_equal(track.covariance, covariance)


def test_track_says_what_is_known_of_an_object_that_is_found() -> None:
    (track,) = passing(Follower(LABELS), range(20))
    assert (track.identity, track.label, track.class_id) == (1, "car", 0)
    assert track.state is TrackState.CONFIRMED
    assert (track.x, track.y, track.z) == pytest.approx((20.2, 2.0, 0.75), abs=0.2)
    assert (track.vx, track.vy) == pytest.approx((8.0, 0.0), abs=0.3)
    assert (track.length, track.width, track.height) == pytest.approx((4.5, 1.8, 1.5))
    assert track.score == pytest.approx(0.9)
    assert 0.5 < track.existence < 1.0
    assert (track.age_s, track.unseen_s, track.detection) == (pytest.approx(1.9), 0.0, 0)
    assert track.seen_by == ALL
    assert track.trail[-3:, 0] == pytest.approx([18.6, 19.4, 20.2], abs=0.2)
    assert len(track.trail) == 20


def test_track_coasts_with_growing_covariance_when_no_sensor_is_left() -> None:
    follower = Follower(LABELS)
    (before,) = passing(follower, range(20))
    for number in range(20, 30):
        (track,) = step(follower, synced(number), used=NONE)
        assert track.state is TrackState.COASTING
        assert track.detection is None
    assert track.identity == before.identity
    assert track.unseen_s == pytest.approx(1.0)
    assert track.seen_by == ALL
    assert track.covariance[0, 0] > 2.0 * before.covariance[0, 0]
    assert track.x == pytest.approx(5.0 + 0.8 * 29, abs=0.5)
    (after,) = passing(follower, range(30, 32))
    assert (after.identity, after.state) == (before.identity, TrackState.CONFIRMED)


def test_track_is_tentative_when_its_first_detection_is_unsure() -> None:
    (track,) = step(Follower(LABELS), synced(0), car(9.0, 0.0, score=0.3))
    assert track.state is TrackState.TENTATIVE


def test_detections_are_told_by_their_place_when_objects_are_found_in_another_order() -> None:
    follower = Follower(LABELS)
    one, other = car(9.0, 4.0), car(20.0, -4.0)
    step(follower, synced(0), one, other)
    tracks = step(follower, synced(1), other, one)
    assert {track.identity: track.detection for track in tracks} == {1: 1, 2: 0}


def test_faint_detections_keep_a_track_and_are_not_told_as_its_detection() -> None:
    follower = Follower(LABELS)
    passing(follower, range(20))
    (track,) = step(follower, synced(20), faint=[car(21.0, 2.0, score=0.1)])
    assert (track.state, track.detection, track.unseen_s) == (TrackState.CONFIRMED, None, 0.0)


def test_follower_begins_anew_when_an_epoch_begins() -> None:
    follower = Follower(LABELS)
    passing(follower, range(5))
    (track,) = step(follower, synced(5, epoch=1), car(9.0, 2.0))
    assert (track.identity, track.age_s) == (1, 0.0)


def test_identities_go_on_when_a_stamp_goes_back_within_an_epoch() -> None:
    follower = Follower(LABELS)
    passing(follower, range(5))
    (track,) = step(follower, synced(2), car(6.6, 2.0))
    assert (track.identity, track.age_s) == (2, 0.0)


def test_identities_go_on_when_tracking_was_off_for_a_while() -> None:
    follower = Follower(LABELS)
    passing(follower, range(5))
    follower.forget()
    (track,) = passing(follower, range(5, 6))
    assert track.identity == 2


def test_nothing_is_carried_over_when_no_set_came_for_a_minute() -> None:
    follower = Follower(LABELS)
    passing(follower, range(20))
    (track,) = step(follower, synced(620), car(20.2, 2.0))
    assert (track.identity, track.age_s) == (2, 0.0)


def test_standing_object_stands_still_when_the_robot_turns_and_its_gyro_says_so() -> None:
    """Seen from a robot that turns left by 0.03 rad a set, it moves at 6 m/s to the right."""
    speeds = []
    for told in (0.03, 0.0):
        follower = Follower(LABELS)
        for number in range(40):
            angle = 0.5 - 0.03 * number
            found = car(20.0 * np.cos(angle), 20.0 * np.sin(angle))
            (track,) = step(follower, synced(number), found, yaw_since=lambda _, told=told: told)
        speeds.append(np.hypot(track.vx, track.vy))
    still, moving = speeds
    assert still < 0.3
    assert moving == pytest.approx(6.0, abs=0.6)


def test_heading_has_the_boxs_axis_and_the_motions_direction_when_speeds_are_over_ground() -> None:
    follower = Follower(LABELS)
    for number in range(20):
        away, beside = car(5.0 + 0.8 * number, 2.0, yaw=3.0), walker(9.0, -8.0 + 0.15 * number, yaw=0.2)
        tracks = step(follower, synced(number), away, beside, ego=Driving(0.0))
    assert tracks[0].yaw == pytest.approx(3.0 - np.pi, abs=0.1)
    assert tracks[1].yaw == pytest.approx(np.pi / 2, abs=0.3)


def test_speed_is_over_ground_as_long_as_odometry_tells_the_robots_own() -> None:
    """A car that goes as fast as the robot: it stays where it is, seen from there."""
    follower, ego = Follower(LABELS), Driving(8.0)
    for number in range(60):
        ego.speed = 8.0 if number < 20 or number >= 40 else None
        (track,) = step(follower, synced(number), car(12.0, 2.0), ego=ego)
        assert track.identity == 1
        assert follower.over_ground == (ego.speed is not None)
        if number >= 10:
            assert track.vx == pytest.approx(ego.speed or 0.0, abs=0.3)
            assert track.x == pytest.approx(12.0, abs=0.1)


def test_heading_is_the_boxs_when_speeds_are_relative_to_the_robot() -> None:
    """What is overtaken seems to drive backwards."""
    (track,) = passing(Follower(LABELS), range(20))
    follower = Follower(LABELS)
    for number in range(20):
        (track,) = step(follower, synced(number), car(25.0 - 0.8 * number, 2.0))
    assert track.yaw == pytest.approx(0.0, abs=0.05)


def test_options_are_those_of_the_set_when_they_change() -> None:
    follower = Follower(LABELS)
    (track,) = step(follower, synced(0), car(9.0, 0.0, score=0.3))
    assert track.state is TrackState.TENTATIVE
    eager = TrackingConfig(confirm_probability=0.05, drop_probability=0.01)
    (track,) = step(follower, synced(1), car(9.0, 0.0, score=0.3), config=eager)
    assert track.state is TrackState.CONFIRMED
