"""The steady clock of simulated time: paused, slow and fast simulations lose no sensor."""

from __future__ import annotations

from dataclasses import replace

import builders
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentryfuse_core.clock import NS_PER_MS, NS_PER_S
from sentryfuse_core.config import Config
from sentryfuse_core.ingest import Ingest
from sentryfuse_core.types import Modality, SensorState
from sentryfuse_ros.pause import SimulatedClock


class World:
    """Real and simulated time, moved by hand."""

    def __init__(self, *, ros_ns: int = 100 * NS_PER_S) -> None:
        self.real_ns = 5 * NS_PER_S
        self.ros_ns = ros_ns
        self.clock = SimulatedClock(lambda: self.ros_ns, monotonic_ns=lambda: self.real_ns)

    def run(self, milliseconds: int, *, tick_ms: int, factor: float = 1.0) -> None:
        """Both times move, simulated time in ticks."""
        for _ in range(milliseconds // tick_ms):
            self.real_ns += tick_ms * NS_PER_MS
            self.ros_ns += round(factor * tick_ms * NS_PER_MS)
            self.clock.now_ns()

    def stand(self, milliseconds: int) -> None:
        """Only real time moves."""
        self.real_ns += milliseconds * NS_PER_MS


@pytest.mark.parametrize("factor", [0.3, 1.0, 2.0])
@pytest.mark.parametrize("tick_ms", [1, 10, 100])
def test_clock_runs_with_simulated_time_a_tick_behind(tick_ms: int, factor: float) -> None:
    world = World()
    start_ns = world.clock.now_ns()
    world.run(2000, tick_ms=tick_ms, factor=factor)
    tick_ns = round(factor * tick_ms * NS_PER_MS)
    assert world.clock.now_ns() - start_ns == round(factor * 2 * NS_PER_S) - tick_ns
    world.real_ns += tick_ms * NS_PER_MS // 2
    assert world.clock.now_ns() - start_ns == round(factor * 2 * NS_PER_S) - tick_ns // 2
    assert world.clock.paused_s == 0.0


def test_clock_stops_when_simulated_time_stands_still() -> None:
    world = World()
    world.run(1000, tick_ms=10)
    before_ns = world.clock.now_ns()
    world.stand(60_000)
    assert world.clock.now_ns() - before_ns == 10 * NS_PER_MS
    assert world.clock.paused_s == 60.0
    world.run(1000, tick_ms=10)
    assert world.clock.now_ns() - before_ns == NS_PER_S
    assert world.clock.paused_s == 0.0


def test_clock_does_not_leap_when_simulated_time_is_wound_forward_or_back() -> None:
    world = World()
    world.run(1000, tick_ms=10)
    for leap_ns in (60 * NS_PER_S, -90 * NS_PER_S, 2 * NS_PER_S):
        before_ns = world.clock.now_ns()
        world.ros_ns += leap_ns
        assert world.clock.now_ns() - before_ns <= 10 * NS_PER_MS
        world.run(100, tick_ms=10)
        assert world.clock.now_ns() - before_ns == 100 * NS_PER_MS


def test_clock_is_paused_and_does_not_leap_when_the_first_clock_message_comes() -> None:
    world = World(ros_ns=0)
    world.stand(3000)
    assert world.clock.paused_s == 3.0
    before_ns = world.clock.now_ns()
    world.ros_ns = 1_700_000_000 * NS_PER_S
    assert world.clock.now_ns() == before_ns
    world.run(1000, tick_ms=10)
    assert world.clock.now_ns() - before_ns == 990 * NS_PER_MS
    assert world.clock.paused_s == 0.0


@given(st.lists(st.tuples(st.integers(1, 2000), st.integers(-3000, 3000)), max_size=30))
def test_clock_never_goes_back_nor_beyond_the_steps_forward(steps: list[tuple[int, int]]) -> None:
    world = World()
    last_ns = begin_ns = world.clock.now_ns()
    forward_ns = 0
    for milliseconds, step_ms in steps:
        world.stand(milliseconds)
        world.ros_ns += step_ms * NS_PER_MS
        forward_ns += step_ms * NS_PER_MS if 0 < step_ms <= 500 else 0
        now_ns = world.clock.now_ns()
        assert last_ns <= now_ns <= begin_ns + forward_ns
        last_ns = now_ns


@pytest.mark.parametrize("factor", [0.3, 1.0, 2.0])
@pytest.mark.parametrize("clock_hz", [10, 40, 1000])  # messages a real second
def test_no_sensor_is_degraded_when_the_simulation_is_slow_or_fast(factor: float, clock_hz: int) -> None:
    world, ingest = World(), Ingest(Config())
    start_ros_ns = world.ros_ns
    for milliseconds in range(8000):  # real
        world.real_ns += NS_PER_MS
        simulated_ns = round(factor * milliseconds * NS_PER_MS)
        if milliseconds % (1000 // clock_hz) == 0:
            world.ros_ns = start_ros_ns + simulated_ns
        before_ns = round(factor * (milliseconds - 1) * NS_PER_MS)
        for modality, rate_hz in ((Modality.IMU, 200), (Modality.LIDAR, 10)):
            count = simulated_ns * rate_hz // NS_PER_S
            if count > before_ns * rate_hz // NS_PER_S:
                stamp_ns = start_ros_ns + count * NS_PER_S // rate_hz
                sample = builders.sample(modality, stamp_ns, arrival_ns=world.clock.now_ns())
                ingest.sample(replace(sample, received_ns=world.ros_ns))
        if milliseconds % 5 == 0:
            ingest.advance(world.clock.now_ns())
    found = {(item.modality, item.after) for item in ingest.take_transitions()}
    assert found == {(Modality.IMU, SensorState.OK), (Modality.LIDAR, SensorState.OK)}
