"""A sensor that comes and goes: it is dropped fast and does not flap."""

from __future__ import annotations

import pytest
from builders import S
from health_bench import Bench

from sentryfuse_core.types import Modality, SensorState


def flicker(bench: Bench, seconds: float, *, period_s: float) -> None:
    """Silent in the first half of each period."""
    for _ in range(round(seconds / period_s)):
        bench.wait(round(period_s / 2 * S))
        bench.good(period_s / 2)


@pytest.mark.parametrize("period_s", [0.5, 1.0, 2.0, 3.0, 4.0, 10.0, 20.0])
@pytest.mark.parametrize("modality", list(Modality), ids=lambda modality: modality.value)
def test_sensor_changes_state_at_most_six_times_when_it_is_away_half_of_a_minute(
    modality: Modality, period_s: float
) -> None:
    bench = Bench(modality)
    bench.good(5.0)
    flicker(bench, 60.0, period_s=period_s)
    assert len(bench.transitions) > 1
    bench.good(20.0)
    assert len(bench.transitions) <= 7  # with the first
    assert bench.state is SensorState.OK


def test_recovering_sensor_is_lost_again_when_it_is_silent_for_as_long_as_its_hold() -> None:
    bench = Bench(Modality.LIDAR)
    bench.good(3.0)
    bench.wait(S)
    bench.good(0.3)
    assert bench.state is SensorState.RECOVERING
    silent_ns = bench.now_ns
    bench.wait(20 * S)  # the relapse doubles the hold to 2 s
    assert bench.state is SensorState.LOST
    assert bench.transitions[-1].code == "timeout"
    assert (bench.transitions[-1].at_ns - silent_ns) / S == pytest.approx(2.0, abs=0.11)


def test_recovering_sensor_says_that_it_failed_again_when_it_falls_silent() -> None:
    bench = Bench(Modality.CAMERA)
    bench.good(3.0)
    bench.wait(S)
    bench.good(0.3)
    bench.wait(S // 2)
    assert bench.state is SensorState.RECOVERING
    assert bench.report.reason.startswith("came back and failed again: no new message")


def test_sensor_is_back_after_twice_the_first_hold_when_it_was_well_for_longer_than_out() -> None:
    bench = Bench(Modality.CAMERA)
    bench.good(3.0)
    bench.wait(2 * S)
    bench.good(8.0)
    bench.wait(2 * S)
    bench.good(6.0)
    recovering, ok = bench.transitions[-2:]
    assert (recovering.after, ok.after) == (SensorState.RECOVERING, SensorState.OK)
    assert (ok.at_ns - recovering.at_ns) / S == pytest.approx(2.0, abs=0.1)
