"""Why a sensor brings nothing, as its report and the log tell it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import results

from sentryfuse_core.types import Modality, SensorReport, SensorState
from sentryfuse_ros.causes import Causes
from sentryfuse_ros.problems import Problem

pytestmark = pytest.mark.ros

CAMERA, LIDAR, IMU, AUDIO = Modality
GONE = Problem("no_publisher", "no publisher on /camera", "start its driver")


class Log:
    """Keeps the warnings."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def warning(self, text: str) -> None:
        self.lines.append(text)


def made(state: SensorState, code: str) -> dict[Modality, SensorReport]:
    return {CAMERA: results.sensor_report(CAMERA, state, code=code)}


@pytest.mark.parametrize(
    ("state", "code", "explained"),
    [
        (SensorState.INIT, "never", True),
        (SensorState.LOST, "timeout", True),
        (SensorState.LOST, "zero_stamp", False),
        (SensorState.DEGRADED, "other_clock", False),
        (SensorState.DEGRADED, "no_pose", False),
        (SensorState.INIT, "disabled", False),
        (SensorState.OK, "", False),
    ],
)
def test_problem_of_the_topic_explains_silence_and_hides_nothing_else(
    state: SensorState, code: str, explained: bool
) -> None:
    log: Any = Log()
    before = made(state, code)
    after = Causes(lambda: {CAMERA: GONE}, log).explained(before)
    if explained:
        told = (after[CAMERA].code, after[CAMERA].reason, after[CAMERA].remedy)
        assert told == (GONE.code, GONE.reason, GONE.remedy)
    else:
        assert after == before


def test_cause_is_logged_once_and_again_when_the_sensor_was_well_meanwhile() -> None:
    log: Any = Log()
    problems: dict[Modality, Problem] = {CAMERA: GONE}
    causes = Causes(lambda: problems, log)

    def tell(state: SensorState, code: str) -> list[str]:
        log.lines.clear()
        causes.log(causes.explained(made(state, code)))
        return list(log.lines)

    first = "camera: nothing received: no publisher on /camera; start its driver"
    assert tell(SensorState.INIT, "never") == [first]
    assert tell(SensorState.INIT, "never") == []
    problems.clear()
    assert len(tell(SensorState.INIT, "never")) == 1  # a publisher that does not send is another cause
    problems[CAMERA] = replace(GONE, remedy="set camera.transport to compressed")  # somebody publishes that
    assert len(tell(SensorState.INIT, "never")) == 1
    assert tell(SensorState.INIT, "never") == []
    problems.clear()
    assert tell(SensorState.OK, "") == []
    assert tell(SensorState.LOST, "timeout") == []  # its transition is in the log
    problems[CAMERA] = GONE
    assert tell(SensorState.LOST, "timeout") == [first.replace("received:", "received any more:")]
    assert tell(SensorState.LOST, "timeout") == []
