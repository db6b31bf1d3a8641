"""A sensor that comes and goes: it is dropped fast and does not flap."""

from __future__ import annotations

import math

import pytest
from builders import PERIOD_NS, S, sample

from sentryfuse_core.config import Config
from sentryfuse_core.health.monitor import HealthMonitor
from sentryfuse_core.types import Modality, SensorState, Transition

SILENT = math.inf  # a period whose silent half has no end


class Flicker:
    """One sensor at its rate, silent in the first half of each period of the fault."""

    def __init__(self, modality: Modality) -> None:
        self.modality = modality
        self.monitor = HealthMonitor(Config())
        self.now_ns = S
        self._payload = sample(modality, 0).payload

    def run(self, seconds: float, *, period_s: float | None = None) -> list[Transition]:
        """Let `seconds` pass, each deadline at its time."""
        begin_ns, found = self.now_ns, []
        while self.now_ns < begin_ns + seconds * S:
            self.now_ns += PERIOD_NS[self.modality]
            while (due_ns := self.monitor.next_deadline_ns()) is not None and due_ns <= self.now_ns:
                self.monitor.update(due_ns)
            if period_s is None or (self.now_ns - begin_ns) / S % period_s >= period_s / 2:
                self.monitor.observe(sample(self.modality, self.now_ns, payload=self._payload))
            found += self.monitor.take_transitions()
        return found


@pytest.mark.parametrize("period_s", [0.5, 1.0, 2.0, 3.0, 4.0, 10.0, 20.0])
@pytest.mark.parametrize("modality", list(Modality), ids=lambda modality: modality.value)
def test_sensor_changes_state_at_most_six_times_when_it_is_away_half_of_a_minute(
    modality: Modality, period_s: float
) -> None:
    flicker = Flicker(modality)
    flicker.run(5.0)
    during = flicker.run(60.0, period_s=period_s)
    after = flicker.run(20.0)
    assert during
    assert len(during + after) <= 6
    assert flicker.monitor.state(modality) is SensorState.OK


def test_recovering_sensor_is_lost_again_when_it_is_silent_for_as_long_as_its_hold() -> None:
    flicker = Flicker(Modality.LIDAR)
    flicker.run(3.0)
    flicker.run(1.0, period_s=SILENT)
    assert [transition.after for transition in flicker.run(0.3)] == [SensorState.RECOVERING]
    states = flicker.run(20.0, period_s=SILENT)  # the relapse doubles the hold to 2 s
    assert [transition.after for transition in states] == [SensorState.LOST]
    assert states[0].code == "timeout"
    assert (states[0].at_ns - flicker.now_ns) / S == pytest.approx(2.0 - 20.0, abs=0.11)


def test_recovering_sensor_says_that_it_failed_again_when_it_falls_silent() -> None:
    flicker = Flicker(Modality.CAMERA)
    flicker.run(3.0)
    flicker.run(1.0, period_s=SILENT)
    flicker.run(0.3)
    flicker.run(0.5, period_s=SILENT)
    report = flicker.monitor.reports(flicker.now_ns)[Modality.CAMERA]
    assert report.state is SensorState.RECOVERING
    assert report.reason.startswith("came back and failed again: no new message")


def test_sensor_is_back_after_twice_the_first_hold_when_it_was_well_for_longer_than_out() -> None:
    flicker = Flicker(Modality.CAMERA)
    flicker.run(3.0)
    flicker.run(2.0, period_s=SILENT)
    flicker.run(8.0)
    flicker.run(2.0, period_s=SILENT)
    [recovering, ok] = flicker.run(6.0)
    assert (recovering.after, ok.after) == (SensorState.RECOVERING, SensorState.OK)
    assert (ok.at_ns - recovering.at_ns) / S == pytest.approx(2.0, abs=0.1)
