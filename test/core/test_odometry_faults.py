"""Odometry that the fault injector spoils: told under its code, not used, and tracks go on meanwhile."""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from builders import MS, S, odometry_message

from sentryfuse_core.config import Config, TrackingConfig
from sentryfuse_core.faults.injector import FaultInjector
from sentryfuse_core.faults.scenario import Event, Scenario
from sentryfuse_core.ingest import Ingest
from sentryfuse_core.track import Track, TrackState
from sentryfuse_core.tracking.follow import Follower
from sentryfuse_core.tracking.watch import Watch
from sentryfuse_core.types import Detection, Modality, ModalitySet, Pose, SyncedSet

TOPIC = "/odom"
START_NS = 100 * S
SPEED_M_S = 8.0  # of the robot, and of the car before it
BAD_S = (3.0, 4.5)
SECONDS = 8.0
BESIDE = Pose((0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0))


@dataclass(frozen=True)
class Told:
    """What is known at one set."""

    at_s: float
    code: str
    over_ground: bool
    track: Track


def fault(kind: str, **options: float) -> tuple[Event, ...]:
    return (Event(*BAD_S, TOPIC, kind, options),)


def unspoilt(message: Any, _at_s: float) -> Any:
    return message


def jumping(message: Any, at_s: float) -> Any:
    """A localisation that corrects itself by a few metres, now and then."""
    message.pose.pose.position.y += 3.0 * (int(at_s / 0.4) % 2) if BAD_S[0] <= at_s < BAD_S[1] else 0.0
    return message


def not_a_number(message: Any, at_s: float) -> Any:
    if BAD_S[0] <= at_s < BAD_S[1]:
        message.twist.twist.linear.x = math.nan
    return message


def other_frame(message: Any, at_s: float) -> Any:
    if BAD_S[0] <= at_s < BAD_S[1]:
        message.child_frame_id = "left_wheel"
    return message


def arrivals(events: tuple[Event, ...], spoil: Callable[[Any, float], Any]) -> Iterator[tuple[int, Any]]:
    """Messages at 50 Hz as they come, in the order of their times, from a robot that drives straight on."""
    injector, number, waiting = (
        FaultInjector(Scenario("bad", 1, SECONDS, events=events)),
        itertools.count(),
        [],
    )
    for index in range(round(50 * SECONDS)):
        at_s = index / 50
        stamp_ns = START_NS + index * 20 * MS
        message = odometry_message(stamp_ns, place=(SPEED_M_S * at_s, 0.0, 0.0), speed=SPEED_M_S)
        for delivery in injector.apply(TOPIC, None, spoil(message, at_s), at_s=at_s):
            due_ns = stamp_ns + round(delivery.delay_s * S)
            heapq.heappush(waiting, (due_ns, next(number), delivery.message))
        while waiting and waiting[0][0] <= stamp_ns:
            due_ns, _, message = heapq.heappop(waiting)
            yield due_ns, message


def driven(events: tuple[Event, ...], spoil: Callable[[Any, float], Any] = unspoilt) -> list[Told]:
    """Ten sets a second, in each of which the car is found 12 m ahead."""
    ingest, follower = Ingest(Config(), topics={}), Follower(("car",))
    messages, told = arrivals(events, spoil), []
    due_ns, message = next(messages)
    for index in range(round(10 * SECONDS)):
        stamp_ns = START_NS + index * 100 * MS
        while due_ns <= stamp_ns:
            ingest.odometry(message)
            due_ns, message = next(messages, (START_NS + 1000 * S, None))
        ingest.ego.follow(stamp_ns, epoch=0, mount=lambda frame, _: BESIDE if frame == "base_link" else None)
        (track,) = follower.step(
            SyncedSet(index, 0, stamp_ns, Modality.LIDAR, {}, {}, 0, 0, 0),
            (Detection("car", 0, 0.9, 12.0, 2.0, 0.75, 4.5, 1.8, 1.5, 0.0),),
            TrackingConfig(),
            watches=[Watch(0.0, ModalitySet.all(), lambda _: (0.9,))],
            yaw_since=lambda _: 0.0,
            ego=ingest.ego,
        )
        told.append(Told(index / 10, ingest.ego.code, follower.over_ground, track))
    return told


@pytest.mark.parametrize(
    ("code", "events", "spoil"),
    [
        ("stopped", fault("drop", share=1.0), unspoilt),
        ("other_clock", fault("clock_jump", jump_s=37.0), unspoilt),
        ("other_clock", fault("clock_jump", jump_s=-37.0), unspoilt),
        ("invalid", fault("zero_stamp"), unspoilt),
        ("late", fault("delay", delay_s=0.6), unspoilt),
        ("contradicts_itself", fault("freeze"), unspoilt),
        ("jumped", (), jumping),
        ("invalid", (), not_a_number),
        ("wrong_frame", (), other_frame),
    ],
)
def test_tracks_go_on_without_odometry_when_it_goes_wrong(
    code: str, events: tuple[Event, ...], spoil: Callable[[Any, float], Any]
) -> None:
    told = driven(events, spoil)
    good = [one for one in told if 0.5 <= one.at_s < BAD_S[0] or one.at_s > BAD_S[1] + 2.0]
    bad = [one for one in told if BAD_S[0] + 1.0 <= one.at_s < BAD_S[1]]
    assert {(one.code, one.over_ground) for one in good} == {("", True)}
    assert {(one.code, one.over_ground) for one in bad} == {(code, False)}
    assert {(one.track.identity, one.track.state) for one in told[5:]} == {(1, TrackState.CONFIRMED)}
    for one in told[10:]:  # also in the half second before a contradiction is believed
        assert math.hypot(one.track.x - 12.0, one.track.y - 2.0) < 2.0
    assert bad[-1].track.vx == pytest.approx(0.0, abs=0.7)  # relative to the robot, which goes as fast
    assert [one.track.vx for one in good[10:]] == pytest.approx([SPEED_M_S] * len(good[10:]), abs=0.3)
