"""The budget: which of operator, power, heat, battery, deadline and floor wins, and what is said."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sentryfuse_core.budget import BudgetController, MachineReading, Zone
from sentryfuse_core.clock import NS_PER_S
from sentryfuse_core.config import BudgetConfig
from sentryfuse_core.types import Modality, ModalitySet

ALL = ModalitySet.all()
AUDIO = ModalitySet.of(Modality.AUDIO)
LIDAR = ModalitySet.of(Modality.LIDAR)
NO_LIMIT = math.nan
LEVELS = (1.0, 0.5, 0.25)
HALVED = (1.0, 0.5)
MAPS = {(15, 0): 0.80, (15, 1): 0.76, (15, 2): 0.60}
TICK_NS = NS_PER_S // 10


def controller(
    levels: tuple[float, ...] = LEVELS, *, maps: dict[tuple[int, int], float] | None = None, **options: float
) -> BudgetController:
    """With a warm-up of 20, 10, 6.7 ... ms by level for every set of sensors."""
    budget = BudgetController(BudgetConfig(**options), levels=levels, maps=maps)
    budget.set_latency_table(
        {(mask, level): 20.0 / (level + 1) for mask in range(16) for level in range(len(levels))}
    )
    return budget


class Robot:
    """A clock, a budget and a machine that is read once a second while sets come at 10 Hz."""

    def __init__(self, budget: BudgetController) -> None:
        self.budget = budget
        self.now_ns = 0
        self.levels: list[int] = []
        self.reason = ""

    def run(self, seconds: float, reading: Callable[[int], MachineReading] | None) -> Robot:
        """`reading(level)` is what the machine says while `level` runs; its time is put in here."""
        level = self.levels[-1] if self.levels else 0
        for _ in range(round(seconds * 10)):
            if reading is not None and self.now_ns % NS_PER_S == 0:
                self.budget.update_machine(replace(reading(level), at_ns=self.now_ns))
            level, self.reason = self.budget.choose(ALL, self.now_ns)
            self.levels.append(level)
            self.now_ns += TICK_NS
        return self

    @property
    def changes(self) -> int:
        return sum(a != b for a, b in zip(self.levels, self.levels[1:], strict=False))


def draws(*watts: float) -> Callable[[int], MachineReading]:
    """Power by level."""
    return lambda level: MachineReading(at_ns=0, power_w=watts[level], power_source="RAPL package-0")


def hot(celsius: float, *, throttling: str = "") -> Callable[[int], MachineReading]:
    zones = (Zone("board", 40.0), Zone("cpu", celsius, 90.0))
    return lambda _level: MachineReading(at_ns=0, zones=zones, throttling=throttling)


def test_budget_runs_full_width_when_nothing_is_asked() -> None:
    budget = controller(HALVED)
    assert budget.choose(ALL, 0) == (0, "no limit asks for less")
    assert math.isnan(budget.latency_ms)
    assert math.isnan(budget.power_w)


@given(st.floats(0.1, 20.0), st.floats(0.1, 20.0))
def test_budget_never_widens_when_power_shrinks(one: float, other: float) -> None:
    chosen = []
    for power_w in sorted((one, other)):
        budget = controller((1.0, 0.75, 0.5, 0.25))
        budget.update_budget(NO_LIMIT, power_w, -1, "", 0)
        chosen.append(budget.choose(ALL, 0)[0])
    assert chosen[0] >= chosen[1]


def test_budget_takes_the_operators_level_when_one_is_given() -> None:
    budget = controller(HALVED, level=0, power_w=1.0)
    assert budget.choose(ALL, 0) == (0, "operator: level 0 by parameter budget.level")
    budget.update_budget(NO_LIMIT, NO_LIMIT, 7, "console", 0)
    level, reason = budget.choose(ALL, 0)
    assert level == 1
    assert "level 7 by Budget message from console, narrowest is 1" in reason


def test_budget_forgets_a_message_when_its_time_is_over() -> None:
    budget = controller(HALVED, timeout_s=2.0)
    budget.update_budget(NO_LIMIT, 5.0, -1, "pmu", 0)
    assert budget.choose(ALL, 2 * NS_PER_S)[0] == 1
    assert budget.choose(ALL, 2 * NS_PER_S + 1)[0] == 0
    lasting = controller(HALVED)  # timeout_s 0: until the next
    lasting.update_budget(NO_LIMIT, 5.0, -1, "pmu", 0)
    assert lasting.choose(ALL, 86_400 * NS_PER_S)[0] == 1


def test_budget_takes_the_smaller_limit_when_parameter_and_message_differ() -> None:
    budget = controller(HALVED, latency_ms=30.0, power_w=10.0)
    budget.update_budget(12.0, NO_LIMIT, -1, "pmu", 0)
    assert budget.latency_ms == 12.0
    assert budget.power_w == 10.0


@pytest.mark.parametrize("nothing", [0.0, -1.0, math.nan])
def test_budget_has_no_limit_when_a_message_leaves_fields_empty(nothing: float) -> None:
    budget = controller(HALVED)
    budget.update_budget(nothing, nothing, -1, "pmu", 0)
    assert budget.choose(ALL, 0)[0] == 0


def test_budget_meets_the_deadline_of_the_mask_at_hand_when_latency_is_limited() -> None:
    budget = controller(HALVED)
    budget.set_latency_table({(15, 0): 20.0, (15, 1): 12.0, (2, 0): 9.0, (2, 1): 6.0})
    budget.update_budget(13.0, NO_LIMIT, -1, "planner", 0)
    level, reason = budget.choose(ALL, 0)
    assert level == 1
    assert "20.0 ms" in reason
    assert "13.0 ms" in reason
    assert budget.choose(LIDAR, 0)[0] == 0


def test_budget_keeps_a_level_until_a_wider_one_has_headroom() -> None:
    budget = controller(HALVED)
    budget.set_latency_table({(15, 0): 20.0, (15, 1): 12.0})
    for limit_ms, level in ((19.0, 1), (21.0, 1), (30.0, 0), (21.0, 0), (19.0, 1)):
        budget.update_budget(limit_ms, NO_LIMIT, -1, "", 0)
        assert budget.choose(ALL, 0)[0] == level


def test_budget_message_holds_when_it_comes_as_the_last_one_expires() -> None:
    budget = controller(HALVED, timeout_s=2.0)
    message = threading.Thread(
        target=budget.update_budget, args=(NO_LIMIT, NO_LIMIT, 1, "pmu", 3 * NS_PER_S), daemon=True
    )

    class Moment(int):
        """A time; while the age of the last message is taken, the next one comes."""

        def __sub__(self, other: int) -> int:
            if message.ident is None:
                message.start()
                message.join(0.1)  # it is in by then, or kept waiting
            return int(self) - other

    budget.choose(ALL, Moment(3 * NS_PER_S))
    message.join()
    assert budget.choose(ALL, 3 * NS_PER_S) == (1, "operator: level 1 by Budget message from pmu")


def test_power_without_a_reading_is_in_proportion_and_says_why() -> None:
    budget = controller(power_w=8.0)
    reason = "power: 8 W of the 15 W that full width is worth"
    assert budget.choose(ALL, 0) == (1, f"{reason} (not measured: no reading was taken)")
    budget.update_machine(MachineReading(at_ns=0, no_power="no RAPL package"))
    assert budget.choose(ALL, 0) == (1, f"{reason} (not measured: no RAPL package)")
    assert controller(power_w=15.0).choose(ALL, 0)[0] == 0


def test_power_is_held_by_measurement_where_there_is_one() -> None:
    """The proportion says level 1, the meter says that level 1 is still too much."""
    robot = Robot(controller(power_w=8.0)).run(10, draws(14.0, 9.0, 7.5))
    assert robot.levels[0] == 1
    assert robot.levels[-1] == 2
    assert robot.reason == "power: measured 7.5 W of 8 W by RAPL package-0; level 1 is tried below 7.2 W"


def test_power_goes_wider_than_the_proportion_when_the_meter_allows_it() -> None:
    robot = Robot(controller(power_w=8.0)).run(20, draws(6.0, 5.0, 4.0))
    assert robot.levels[0] == 1
    assert robot.levels[-1] == 0


def test_power_says_what_was_measured_when_nothing_narrower_is_left() -> None:
    robot = Robot(controller(power_w=15.0)).run(20, draws(40.0, 39.0, 38.0))
    assert robot.levels[-1] == 2
    assert robot.reason == "power: measured 38.0 W of 15 W by RAPL package-0"


@settings(max_examples=25)
@given(st.floats(1.0, 30.0), st.lists(st.floats(1.0, 30.0), min_size=3, max_size=3))
def test_power_does_not_flutter_whatever_the_levels_draw(limit_w: float, watts: list[float]) -> None:
    """Ten minutes: each try of a wider level that fails doubles the wait for the next."""
    watts.sort(reverse=True)
    robot = Robot(controller(power_w=limit_w)).run(600, draws(*watts))
    assert robot.changes <= 26
    over = sum(watts[level] > limit_w for level in robot.levels[100:]) / len(robot.levels[100:])
    assert over < 0.12 or watts[2] > limit_w


def test_power_falls_back_to_the_proportion_when_readings_end_or_are_not_wanted() -> None:
    budget = controller(power_w=8.0)
    robot = Robot(budget).run(10, draws(14.0, 9.0, 7.5)).run(6, None)
    assert robot.levels[-1] == 1
    assert "not measured: no reading for 7 s" in robot.reason
    budget.config = replace(budget.config, measure_power=False)
    robot.run(10, draws(14.0, 9.0, 7.5))
    assert robot.levels[-1] == 1
    assert "not measured: budget.measure_power is false" in robot.reason


def test_power_keeps_its_level_when_a_reading_fails() -> None:
    """The proportion of 12 W is level 1; it must not come back for a second at a time."""
    robot = Robot(controller(power_w=12.0)).run(10, draws(40.0, 20.0, 11.0))
    assert robot.levels[-1] == 2
    for _ in range(5):
        before = len(robot.levels)
        robot.run(1, lambda _level: MachineReading(at_ns=0, no_power="NVML: timeout"))
        assert robot.reason == "power: 12 W, by what was measured a moment ago (now: NVML: timeout)"
        robot.run(2, draws(40.0, 20.0, 11.0))
        assert set(robot.levels[before:]) == {2}
    robot.run(10, lambda _level: MachineReading(at_ns=0, no_power="NVML: timeout"))
    assert robot.levels[-1] == 1
    assert "not measured: NVML: timeout" in robot.reason


def test_new_power_limit_takes_effect_on_the_next_set() -> None:
    budget = controller()
    robot = Robot(budget).run(10, draws(14.0, 9.0, 7.5))
    budget.update_budget(math.nan, 5.0, -1, "pmu", robot.now_ns)
    assert budget.choose(ALL, robot.now_ns)[0] == 2


def test_heat_narrows_one_level_at_a_time_and_tells_the_zone() -> None:
    robot = Robot(controller()).run(4.5, hot(93.0))
    assert robot.levels[0] == robot.levels[-1] == 1
    assert robot.reason == "thermal: cpu 93 C is above 90 C"
    assert robot.run(2, hot(93.0)).levels[-1] == 2


def test_heat_lets_width_back_only_after_it_has_cooled_for_a_while() -> None:
    robot = Robot(controller()).run(3, hot(93.0)).run(30, hot(87.0))
    assert robot.levels[-1] == 1
    assert robot.reason == "thermal: cpu 87 C, cooling down to 85 C"
    assert robot.run(9.5, hot(84.0)).levels[-1] == 1
    assert robot.run(2, hot(84.0)).levels[-1] == 0


def test_throttling_narrows_without_any_thermometer() -> None:
    robot = Robot(controller())
    robot.run(1, lambda _level: MachineReading(at_ns=0, throttling="cpu was throttled by heat"))
    assert (robot.levels[-1], robot.reason) == (1, "thermal: cpu was throttled by heat")


def test_throttling_without_a_thermometer_counts_on_and_fades_when_it_comes_and_goes() -> None:
    """The usual PC: its counts of throttling are all there is, its thermal zones have no trip point."""
    robot = Robot(controller())
    now_and_then = ("cpu was throttled by heat", "", "")

    def reading(_level: int) -> MachineReading:
        return MachineReading(at_ns=0, throttling=now_and_then[robot.now_ns // NS_PER_S % 3])

    robot.run(7, reading)
    assert robot.levels[-1] == 2
    robot.run(9, lambda _level: MachineReading(at_ns=0))
    assert (robot.levels[-1], robot.reason) == (2, "thermal: cooling down")
    assert robot.run(12, lambda _level: MachineReading(at_ns=0)).levels[-1] == 0


def test_heat_has_the_limit_that_is_set_or_none() -> None:
    assert Robot(controller(max_temperature_c=80.0)).run(1, hot(84.0)).levels[-1] == 1
    assert Robot(controller(thermal=False)).run(20, hot(120.0)).levels[-1] == 0
    no_trip = MachineReading(at_ns=0, zones=(Zone("board", 140.0),))
    assert Robot(controller()).run(20, lambda _level: no_trip).levels[-1] == 0


def test_heat_is_forgotten_when_readings_end() -> None:
    assert Robot(controller()).run(3, hot(93.0)).run(6, None).levels[-1] == 0


def test_heat_narrows_again_and_a_message_ends_in_time_when_time_begins_anew() -> None:
    budget = controller(timeout_s=5.0)
    robot = Robot(budget)
    robot.now_ns = 3600 * NS_PER_S
    robot.run(3, hot(93.0)).run(6, None)
    budget.update_budget(NO_LIMIT, 0.0, 2, "pmu", robot.now_ns)
    robot.now_ns = 0
    assert set(robot.run(5, hot(50.0)).levels[-50:]) == {2}
    assert robot.run(3, hot(50.0)).levels[-1] == 0
    assert robot.run(2, hot(93.0)).levels[-1] == 1


def test_power_is_tried_wider_again_when_time_begins_anew() -> None:
    robot = Robot(controller(power_w=5.0))
    robot.now_ns = 3600 * NS_PER_S
    assert robot.run(3, draws(4.0, 3.0, 2.0)).levels[-1] > 0
    robot.now_ns = 0
    assert robot.run(30, draws(4.0, 3.0, 2.0)).levels[-1] == 0


def test_battery_must_be_well_above_the_limit_before_width_comes_back() -> None:
    budget = controller(min_battery=0.2)
    levels = []
    for charge in (0.21, 0.19, 0.22, 0.249, 0.26, 0.21, 0.1, math.nan):
        budget.update_battery(charge)
        levels.append(budget.choose(ALL, 0)[0])
    assert levels == [0, 2, 2, 2, 0, 0, 2, 0]
    budget.update_battery(0.19)
    budget.choose(ALL, 0)
    budget.update_battery(0.22)
    assert budget.choose(ALL, 0)[1] == "battery: 22% was below 20% and is not yet 25%"


@pytest.mark.parametrize("minimum", [0.0, 0.1])
def test_battery_is_not_low_any_more_when_a_lower_limit_is_set(minimum: float) -> None:
    budget = controller(min_battery=0.2)
    budget.update_battery(0.12 if minimum else 0.03)
    assert budget.choose(ALL, 0)[0] == 2
    budget.config = replace(budget.config, min_battery=minimum)
    assert budget.choose(ALL, 0) == (0, "no limit asks for less")


def test_floor_holds_the_narrowest_level_that_is_accurate_enough() -> None:
    budget = controller(maps=MAPS, min_map_share=0.9)
    budget.update_battery(0.1)
    level, reason = budget.choose(ALL, 0)
    assert level == 1
    assert reason == (
        "battery: 10% is below 20%; asks for level 2, the floor of accuracy holds level 1: "
        "mAP 60.0% at level 2, 90% of full width's 80.0% is asked for"
    )


@given(st.lists(st.floats(0.0, 1.0), min_size=3, max_size=3), st.floats(0.01, 1.0), st.floats(0.0, 0.19))
def test_floor_is_never_undercut_by_any_limit(maps: list[float], share: float, charge: float) -> None:
    budget = controller(maps={(15, level): value for level, value in enumerate(maps)}, min_map_share=share)
    budget.update_battery(charge)
    level, _ = budget.choose(ALL, 0)
    assert level == 0 or maps[level] >= share * maps[0]


def test_floor_is_none_where_nothing_was_evaluated_and_that_is_said() -> None:
    budget = controller(maps=MAPS, min_map_share=0.99)
    budget.update_battery(0.1)
    level, reason = budget.choose(AUDIO, 0)
    assert level == 2
    assert reason.endswith("no floor of accuracy: audio was not evaluated")


def test_operator_goes_below_the_floor_and_is_told() -> None:
    budget = controller(maps=MAPS, min_map_share=0.9, level=2)
    level, reason = budget.choose(ALL, 0)
    assert level == 2
    assert reason.startswith(
        "operator: level 2 by parameter budget.level; below the floor of accuracy: mAP 60"
    )


@pytest.mark.parametrize("asked", ["power", "thermal", "battery", "latency"])
def test_the_narrowest_wish_runs_and_gives_the_reason(asked: str) -> None:
    """Each in turn asks for the most."""
    budget = controller(
        power_w=4.0 if asked == "power" else 8.0, latency_ms=7.0 if asked == "latency" else 14.0
    )
    budget.set_latency_table({(15, 0): 20.0, (15, 1): 12.0, (15, 2): 6.0})
    budget.update_battery(0.1 if asked == "battery" else 0.9)
    robot = Robot(budget).run(7 if asked == "thermal" else 1, hot(95.0))
    assert robot.levels[-1] == 2
    assert robot.reason.startswith(f"{asked}: ")
