"""The steady clock that stops while simulated time stands still."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sentryfuse_core.clock import NS_PER_MS, NS_PER_S
from sentryfuse_ros.pause import PausableClock


class World:
    """Real and simulated time, moved by hand."""

    def __init__(self) -> None:
        self.real_ns = 5 * NS_PER_S
        self.ros_ns = 100 * NS_PER_S
        self.clock = PausableClock(lambda: self.ros_ns, monotonic_ns=lambda: self.real_ns)

    def run(self, milliseconds: int, *, tick_ms: int) -> None:
        """Both times move, simulated time in ticks."""
        for _ in range(milliseconds // tick_ms):
            self.real_ns += tick_ms * NS_PER_MS
            self.ros_ns += tick_ms * NS_PER_MS
            self.clock.now_ns()

    def stand(self, milliseconds: int) -> None:
        """Only real time moves."""
        self.real_ns += milliseconds * NS_PER_MS


def test_clock_runs_with_real_time_when_simulated_time_moves() -> None:
    for tick_ms in (1, 10, 100, 250):
        world = World()
        start_ns = world.clock.now_ns()
        world.run(2000, tick_ms=tick_ms)
        assert world.clock.now_ns() - start_ns == 2 * NS_PER_S
        assert world.clock.paused_s == 0.0


def test_clock_stops_within_40_ms_when_simulated_time_stands_still() -> None:
    world = World()
    world.run(1000, tick_ms=10)
    before_ns = world.clock.now_ns()
    world.stand(60_000)
    assert world.clock.now_ns() - before_ns <= 40 * NS_PER_MS
    assert world.clock.paused_s == 60.0
    world.run(1000, tick_ms=10)
    assert world.clock.now_ns() - before_ns <= 1050 * NS_PER_MS
    assert world.clock.paused_s == 0.0


@given(st.lists(st.tuples(st.integers(1, 2000), st.booleans()), max_size=30))
def test_clock_never_goes_back_nor_overtakes_real_time(steps: list[tuple[int, bool]]) -> None:
    world = World()
    begin_ns = last_ns = world.clock.now_ns()
    begin_real_ns = world.real_ns
    for milliseconds, moves in steps:
        world.stand(milliseconds)
        if moves:
            world.ros_ns += milliseconds * NS_PER_MS
        now_ns = world.clock.now_ns()
        assert now_ns >= last_ns
        assert now_ns - begin_ns <= world.real_ns - begin_real_ns
        last_ns = now_ns
