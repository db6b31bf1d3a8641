"""Tracks of the fusion node over real DDS: they come, outlive a lidar, and can be switched while it runs."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

import numpy as np
import pytest
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
from ros.support import Listener, Robot, recording, running
from sentryfuse.msg import FusedTrack, FusedTrackArray

from sentryfuse_core.types import Modality, ModalitySet

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

pytestmark = [pytest.mark.ros, pytest.mark.capability("fusion node over real DDS")]

PERCEIVING = (Modality.CAMERA, Modality.LIDAR, Modality.AUDIO)


@pytest.fixture(scope="module")
def robot(listener: Listener) -> Iterator[Robot]:
    with Robot(listener.node, recording()) as found, running(listener):
        listener.wait_for("status", lambda status: status.mask == ModalitySet.all().bits)
        yield found


@pytest.fixture(autouse=True)
def healthy(robot: Robot, listener: Listener) -> None:
    robot.mute()
    listener.wait_for("status", lambda status: status.mask == ModalitySet.all().bits)


def switch(listener: Listener, name: str, *, on: bool) -> None:
    value = ParameterValue(type=ParameterType.PARAMETER_BOOL, bool_value=on)
    request = SetParameters.Request(parameters=[Parameter(name=name, value=value)])
    assert listener.call(SetParameters, "/sentryfuse/set_parameters", request).results[0].successful


def confirmed(array: FusedTrackArray) -> list[FusedTrack]:
    return [track for track in array.tracks if track.state == FusedTrack.CONFIRMED]


@pytest.mark.usefixtures("robot")
def test_tracks_come_with_the_detections_that_they_are(listener: Listener) -> None:
    # The recording has odometry.
    array = listener.wait_for("tracks", lambda array: array.over_ground and len(confirmed(array)) > 1)
    boxes = listener.wait_for("detections", lambda found: found.header == array.header, since_s=0.0)
    ids = [track.id for track in array.tracks]
    assert ids == sorted(set(ids))
    assert array.mask == boxes.mask
    for track in confirmed(array):
        assert track.seen_by == array.mask
        assert track.unseen_s == 0.0
        assert np.linalg.eigvalsh(np.reshape(track.pose.covariance, (6, 6))).min() > 0.0
        if track.detection >= 0:
            box = boxes.detections[track.detection]
            assert (box.label, box.class_id) == (track.label, track.class_id)
            place, found = track.pose.pose.position, box.pose.position
            assert math.hypot(place.x - found.x, place.y - found.y) < 4.0
    assert any(track.detection >= 0 for track in confirmed(array))
    listener.wait_for("markers", lambda found: {"track", "trail"} <= {marker.ns for marker in found.markers})


def test_tracks_coast_when_nothing_perceives_any_more(robot: Robot, listener: Listener) -> None:
    coasting: list[FusedTrack] = []
    for _ in range(10):  # where the recording begins anew the objects are elsewhere, and none is believed yet
        robot.mute()
        listener.wait_for("tracks", lambda array: bool(confirmed(array)))
        robot.mute(*PERCEIVING)
        array = listener.wait_for("tracks", lambda array: array.mask == Modality.IMU.bit)
        coasting = [track for track in array.tracks if track.state == FusedTrack.COASTING]
        if coasting:
            break
    assert coasting
    assert not confirmed(array)
    assert all(track.detection == -1 and track.unseen_s > 0.0 for track in array.tracks)
    assert all(track.seen_by & ~Modality.IMU.bit for track in coasting)


def test_tracks_go_on_and_the_node_says_why_when_odometry_jumps_and_when_it_stops(
    robot: Robot, listener: Listener
) -> None:
    """The recording is played over and over: every two seconds the robot is back where it began."""

    def told(words: str) -> None:
        def says(notes: Sequence[str]) -> bool:
            return any(note.startswith(f"odometry is not used: {words}") for note in notes)

        listener.wait_for("status", lambda status: says(status.notes))
        listener.wait_for("tracks", lambda array: not array.over_ground and bool(confirmed(array)))

    told("its pose jumped")
    listener.wait_for("tracks", lambda array: array.over_ground)
    robot.muted = {"/odometry"}
    told("no message for more than 0.3 s")
    robot.mute()
    listener.wait_for("tracks", lambda array: array.over_ground and bool(confirmed(array)))


@pytest.mark.usefixtures("robot")
def test_tracks_end_and_begin_with_other_identities_when_tracking_is_switched_off_and_on(
    listener: Listener,
) -> None:
    last = listener.wait_for("tracks", lambda array: bool(array.tracks))
    switch(listener, "tracking.enabled", on=False)
    try:
        off_s = time.monotonic()
        statuses = listener.wait_for_run("status", lambda status: math.isnan(status.track_ms), count=8)
        told = {
            (item.header.stamp.sec, item.header.stamp.nanosec) for item in listener.since("tracks", off_s)
        }
        assert not told & {(item.header.stamp.sec, item.header.stamp.nanosec) for item in statuses}
        assert all(status.detections is not None for status in listener.since("detections", off_s))
    finally:
        switch(listener, "tracking.enabled", on=True)
    array = listener.wait_for("tracks", lambda array: bool(confirmed(array)))
    assert array.epoch == last.epoch
    assert min(track.id for track in array.tracks) > max(track.id for track in last.tracks)
    assert listener.wait_for("status", lambda status: status.track_ms > 0.0)
