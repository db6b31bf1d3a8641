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


@pytest.mark.parametrize("factor", [0.6, 1.0, 5.0])
@pytest.mark.parametrize("tick_ms", [600, 1000, 2000])
def test_clock_runs_when_clock_messages_are_seconds_apart(tick_ms: int, factor: float) -> None:
    world = World(ros_ns=0)
    world.stand(3000)
    world.ros_ns = 1_700_000_000 * NS_PER_S
    world.run(3 * tick_ms, tick_ms=tick_ms, factor=factor)
    before_ns, ros_ns = world.clock.now_ns(), world.clock.ros_now_ns()
    for _ in range(10):
        for _ in range(10):
            last_ns = world.clock.now_ns()
            world.stand(tick_ms // 10)
            assert world.clock.now_ns() - last_ns == round(factor * tick_ms * NS_PER_MS) // 10
            assert world.clock.paused_s == 0.0
        world.ros_ns += round(factor * tick_ms * NS_PER_MS)
    assert world.clock.now_ns() - before_ns == 10 * round(factor * tick_ms * NS_PER_MS)
    assert world.clock.ros_now_ns() - ros_ns == 10 * round(factor * tick_ms * NS_PER_MS)


def test_clock_is_paused_when_one_of_seconds_stands_still_for_longer_than_its_pace() -> None:
    world = World()
    world.run(5000, tick_ms=1000)
    world.stand(2400)
    assert world.clock.paused_s == 0.0
    world.stand(30_000)
    assert world.clock.paused_s == 32.4
    before_ns = world.clock.now_ns()
    world.run(1000, tick_ms=1000)  # one step after the pause, and it is in pace
    world.stand(1000)
    assert world.clock.now_ns() - before_ns == NS_PER_S
    assert world.clock.paused_s == 0.0


def test_ros_time_runs_on_between_clock_messages_and_stands_when_they_stop() -> None:
    world = World()
    world.run(1000, tick_ms=100)
    world.stand(50)
    assert world.clock.ros_now_ns() == world.ros_ns + 50 * NS_PER_MS
    world.stand(10_000)
    assert world.clock.ros_now_ns() == world.ros_ns + 100 * NS_PER_MS
    world.ros_ns -= 90 * NS_PER_S
    world.stand(10)
    assert world.clock.ros_now_ns() == world.ros_ns
    unbegun = World(ros_ns=0)
    unbegun.stand(3000)
    assert unbegun.clock.ros_now_ns() == 0


@given(st.lists(st.tuples(st.integers(1, 2000), st.integers(-3000, 3000)), max_size=30))
def test_clock_never_goes_back_nor_beyond_the_steps_forward(steps: list[tuple[int, int]]) -> None:
    world = World()
    last_ns = begin_ns = world.clock.now_ns()
    forward_ns = before_ms = 0
    for milliseconds, step_ms in steps:
        world.stand(milliseconds)
        world.ros_ns += step_ms * NS_PER_MS
        if step_ms > 0:
            in_pace = max(step_ms, before_ms) <= 2 * min(step_ms, before_ms)
            forward_ns += step_ms * NS_PER_MS if step_ms <= 500 or in_pace else 0
            before_ms = step_ms
        now_ns = world.clock.now_ns()
        assert last_ns <= now_ns <= begin_ns + forward_ns
        last_ns = now_ns


@pytest.mark.parametrize("factor", [0.3, 1.0, 2.0])
@pytest.mark.parametrize("clock_hz", [1, 10, 40, 1000])  # messages a real second
def test_no_sensor_is_degraded_when_the_simulation_is_slow_or_fast(factor: float, clock_hz: int) -> None:
    world, ingest = World(), Ingest(Config())
    start_ros_ns = world.ros_ns
    for milliseconds in range(11_000):  # real
        world.real_ns += NS_PER_MS
        simulated_ns = round(factor * milliseconds * NS_PER_MS)
        if milliseconds % (1000 // clock_hz) == 0:
            world.ros_ns = start_ros_ns + simulated_ns
        before_ns = round(factor * (milliseconds - 1) * NS_PER_MS)
        for modality, rate_hz in ((Modality.IMU, 200), (Modality.LIDAR, 10)):
            count = simulated_ns * rate_hz // NS_PER_S
            # The pace of a slow /clock is known after its second step.
            if milliseconds >= 3000 and count > before_ns * rate_hz // NS_PER_S:
                stamp_ns = start_ros_ns + count * NS_PER_S // rate_hz
                sample = builders.sample(modality, stamp_ns, arrival_ns=world.clock.now_ns())
                ingest.sample(replace(sample, received_ns=world.clock.ros_now_ns()))
        if milliseconds % 5 == 0:
            ingest.advance(world.clock.now_ns())
    found = {(item.modality, item.after) for item in ingest.take_transitions()}
    assert found == {(Modality.IMU, SensorState.OK), (Modality.LIDAR, SensorState.OK)}
