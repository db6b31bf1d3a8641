"""Reactions to faults: delays from injection and end, alarms that nobody caused."""

from __future__ import annotations

from typing import Any

import pytest

from sentryfuse_core.config import KINDS
from sentryfuse_core.faults.scenario import Action, Event, Scenario
from sentryfuse_core.replay.reactions import AFTERMATH_S, cut_off, false_alarms, missed, reactions
from sentryfuse_core.types import Modality

CAMERA, LIDAR, IMU, AUDIO = Modality
TOPICS = {CAMERA: "/cam", LIDAR: "/points"}


def change(t: float, sensor: str, before: str, after: str) -> dict[str, Any]:
    return {"t": t, "sensor": sensor, "before": before, "after": after, "code": "timeout", "reason": "silent"}


START = [change(0.0, "camera", "INIT", "OK"), change(0.1, "lidar", "INIT", "OK")]
CAMERA_OUT = [
    *START,
    change(2.2, "camera", "OK", "LOST"),
    change(4.0, "camera", "LOST", "RECOVERING"),
    change(5.1, "camera", "RECOVERING", "OK"),
]


def story(stream: str = "camera", *, at_s: float = 2.0, until_s: float = 4.0) -> Scenario:
    return Scenario("test", 0, 60.0, events=(Event(at_s, until_s, stream, "drop"),))


DEGRADED = [*START, change(2.4, "camera", "OK", "DEGRADED"), change(5.0, "camera", "DEGRADED", "OK")]


@pytest.mark.parametrize(
    ("scenario", "events", "expected"),
    [
        (story("camera"), CAMERA_OUT, ("OK", False, 0.2, 0.2, 1.1, False)),
        (story("/cam"), CAMERA_OUT, ("OK", False, 0.2, 0.2, 1.1, False)),
        (story(), DEGRADED, ("OK", False, 0.4, None, 1.0, False)),
        (story(), START, ("OK", False, None, None, None, False)),
        (story(at_s=3.0), CAMERA_OUT, ("LOST", True, None, 1.0, 1.1, False)),
        (story(), CAMERA_OUT[:4], ("OK", False, 0.2, 0.2, None, True)),
    ],
    ids=["by sensor", "by topic", "degraded alone", "not noticed", "out already", "does not return"],
)
def test_reaction_has_delays_from_injection_and_from_the_end(
    scenario: Scenario, events: list[dict[str, Any]], expected: tuple[Any, ...]
) -> None:
    (found,) = reactions(scenario, events, topics=TOPICS, kinds=dict(KINDS), played_s=10.0)
    keys = ("state_before", "already_out", "noticed_after_s", "left_mask_after_s", "recovered_after_s")
    assert tuple(found[key] for key in (*keys, "still_out")) == expected
    assert (found["sensor"], found["code"]) == ("camera", "" if expected[2] is None else "timeout")


def test_reactions_are_one_for_each_recorded_sensor_when_a_fault_hits_all() -> None:
    found = reactions(story("all"), CAMERA_OUT, topics=TOPICS, kinds=dict(KINDS), played_s=10.0)
    assert [item["sensor"] for item in found] == ["camera", "lidar"]


def test_reactions_leave_out_faults_that_were_never_reached() -> None:
    assert (
        reactions(story(at_s=12.0, until_s=13.0), START, topics=TOPICS, kinds=dict(KINDS), played_s=10.0)
        == []
    )


def test_reactions_leave_out_a_sensor_of_which_no_message_was_altered() -> None:
    scenario = story("all")
    altered = {(scenario.events[0], TOPICS[LIDAR])}
    found = reactions(scenario, CAMERA_OUT, topics=TOPICS, kinds=dict(KINDS), played_s=10.0, altered=altered)
    assert [item["sensor"] for item in found] == ["lidar"]


@pytest.mark.parametrize(
    ("scenario", "met", "why"),
    [
        (story(at_s=12.0, until_s=13.0), "", "only 10.0 s were played; let it begin sooner"),
        (story("imu"), "", "the recording has no such sensor; record it"),
        (story("camera"), "/cam", None),
        (story("camera"), "", "no message came then that it alters"),
        (story("/cam/camera_info"), "/cam/camera_info", None),  # of no sensor, and broken all the same
        (
            story("/velodyne"),
            "",
            "no such topic of the recording is read; give one of /cam, /cam/camera_info",
        ),
    ],
    ids=["too late", "not recorded", "injected", "silent then", "another topic", "no topic"],
)
def test_faults_that_were_not_injected_are_told(scenario: Scenario, met: str, why: str | None) -> None:
    told = missed(
        scenario,
        topics=TOPICS,
        kinds=dict(KINDS),
        played_s=10.0,
        read={*TOPICS.values(), "/cam/camera_info"},
        altered={(scenario.events[0], met)} if met else set(),
    )
    assert len(told) == (why is not None)
    assert all(f"s was not injected, {why}" in line for line in told)


def test_budgets_that_were_not_set_are_told_with_the_faults() -> None:
    scenario = Scenario("late", 0, 60.0, actions=(Action(9.0, level=1), Action(12.0, level=2)))
    (line,) = missed(scenario, topics=TOPICS, kinds=dict(KINDS), played_s=10.0, read=set(), altered=set())
    assert line.startswith("budget at 12 s was not set, only 10.0 s were played")


@pytest.mark.parametrize(("until_s", "told"), [(10.0, 0), (12.0, 1), (float("inf"), 0)])
def test_fault_is_told_when_the_recording_ends_before_it_does(until_s: float, told: int) -> None:
    scenario = story("camera", until_s=until_s)
    lines = cut_off(scenario, altered={(scenario.events[0], "/cam")}, played_s=10.0)
    assert [line.endswith("only 10.0 s were played: nothing was seen of its end") for line in lines] == (
        [True] * told
    )


def test_alarm_is_false_when_no_fault_hit_that_sensor_then() -> None:
    late_s = 4.0 + AFTERMATH_S + 0.1
    events = [*CAMERA_OUT, change(3.0, "lidar", "OK", "DEGRADED"), change(late_s, "camera", "OK", "LOST")]
    found = false_alarms(events, scenario=story(), topics=TOPICS, kinds=dict(KINDS), played_s=36.0)
    assert [(item["sensor"], item["t"]) for item in found["events"]] == [("lidar", 3.0), ("camera", late_s)]
    assert (found["count"], found["per_hour"]) == (2, pytest.approx(200.0))


def test_alarm_is_false_when_the_fault_then_altered_no_message() -> None:
    scenario, events = story(), [*START, change(2.2, "camera", "OK", "DEGRADED")]
    for altered, count in (({(scenario.events[0], "/cam")}, 0), (set(), 1)):
        found = false_alarms(
            events, scenario=scenario, topics=TOPICS, kinds=dict(KINDS), played_s=10.0, altered=altered
        )
        assert found["count"] == count


def test_further_finding_is_no_second_alarm_when_the_sensor_is_degraded_already() -> None:
    events = [*START, change(2.2, "camera", "OK", "DEGRADED"), change(3.0, "camera", "DEGRADED", "DEGRADED")]
    found = false_alarms(events, scenario=None, topics=TOPICS, kinds=dict(KINDS), played_s=10.0)
    assert [item["t"] for item in found["events"]] == [2.2]


def test_alarms_are_all_false_when_nothing_was_injected() -> None:
    found = false_alarms(CAMERA_OUT, scenario=None, topics=TOPICS, kinds=dict(KINDS), played_s=3600.0)
    assert (found["count"], found["per_hour"]) == (1, pytest.approx(1.0))
