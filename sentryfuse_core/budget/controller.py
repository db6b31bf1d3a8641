"""BudgetController: what latency, pace, power, battery, heat and operators wish becomes one level."""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sentryfuse_core.budget.battery import BatteryLimit
from sentryfuse_core.budget.floor import AccuracyFloor
from sentryfuse_core.budget.heat import HeatLimit, hottest
from sentryfuse_core.budget.latency import LatencyLimit
from sentryfuse_core.budget.load import work_key
from sentryfuse_core.budget.pace import PaceLimit
from sentryfuse_core.budget.power import PowerLimit
from sentryfuse_core.budget.readings import NO_READING, STALE_NS, MachineReading
from sentryfuse_core.budget.wish import NO_WISH, Wish
from sentryfuse_core.clock import NS_PER_S
from sentryfuse_core.config import BudgetConfig
from sentryfuse_core.types import ModalitySet

__all__ = ["BudgetController"]


@dataclass(frozen=True)
class _Request:
    """A Budget message; by itself, it asks for nothing."""

    latency_ms: float = math.nan
    power_w: float = math.nan
    level: int = -1
    source: str = ""
    at_ns: int = 0


class BudgetController:
    """Chooses a level for every set; higher levels are narrower.

    An operator's level comes first. Otherwise the narrowest of what power, battery, heat, latency and pace
    ask for runs, but none below the floor of accuracy. `choose` and `observe...` belong to one thread; the
    `update_...` methods may be called from another.
    """

    def __init__(
        self,
        config: BudgetConfig,
        *,
        levels: Sequence[float],
        maps: Mapping[tuple[int, int], float] | None = None,
    ) -> None:
        """`levels`: share of the network's units that each level keeps, level 0 first, falling.

        `maps`: mean average precision by (mask bits, level), as far as it is known.
        """
        self.config = config  # may be replaced at run time
        self._levels = tuple(levels)
        self._now_ns = self._work = 0  # of the last choice
        self._request = _Request()
        self._asking = threading.Lock()  # held to replace it: a new one must not go with one that expires
        self._charge = math.nan
        self._machine = NO_READING
        self._latency = LatencyLimit(len(levels))
        self._pace = PaceLimit(len(levels), self._latency.model)
        self._power = PowerLimit(levels)
        self._battery = BatteryLimit(len(levels))
        self._heat = HeatLimit(len(levels))
        self._floor = AccuracyFloor(maps or {})

    def set_latency_table(self, latency_ms: Mapping[tuple[int, int], float]) -> None:
        """Take measured milliseconds by (mask bits, level), as from a warm-up."""
        self._latency.model.take(latency_ms)

    def update_budget(self, latency_ms: float, power_w: float, level: int, source: str, now_ns: int) -> None:
        """Take a Budget message; NaN or 0 means no limit, level -1 automatic."""
        with self._asking:
            self._request = _Request(latency_ms, power_w, level, source, now_ns)

    def update_battery(self, fraction: float) -> None:
        """Take the battery's charge, 0..1; NaN: unknown."""
        self._charge = fraction

    def update_machine(self, reading: MachineReading) -> None:
        """Take a reading of power and heat; it counts for 5 s."""
        self._machine = reading

    def observe(
        self, mask: ModalitySet, level: int, infer_ms: float, *, sectors: Sequence[ModalitySet] = ()
    ) -> None:
        """Correct what is known of latency with one measured set; `sectors` as in `choose`."""
        self._latency.observe(work_key(sectors or (mask,)), level, infer_ms)

    def observe_pace(self, now_ns: int, *, skipped: int, busy_ms: float, level: int) -> None:
        """Take the set of the last choice: it took `busy_ms` in all, and `skipped` older ones were given up.

        On the machine's time. Where nothing is ever skipped, as in a replay, it is not called.
        """
        if self.config.keep_pace:
            self._pace.observe(now_ns, skipped=skipped, busy_ms=busy_ms, work=self._work, level=level)

    @property
    def latency_ms(self) -> float:
        """The deadline of one inference in force; NaN: none."""
        return self._stricter(self._request.latency_ms, self.config.latency_ms)

    @property
    def power_w(self) -> float:
        """The power limit in force; NaN: none."""
        return self._stricter(self._request.power_w, self.config.power_w)

    def account(self) -> dict[str, Any]:
        """What was measured last, for the diagnostics."""
        machine = self._machine
        zone = hottest(machine.zones, self.config.max_temperature_c)
        return {
            "power_measured_w": machine.power_w,
            "power_source": machine.power_source or f"none: {machine.no_power}",
            "energy_j": machine.energy_j,
            "cpu_s": machine.cpu_s,
            "temperature_c": math.nan if zone is None else zone.celsius,
            "temperature_limit_c": math.nan if zone is None else zone.trip_celsius,
            "throttling": machine.throttling or "no",
            "slow_down": self._latency.model.now,
        }

    def choose(self, mask: ModalitySet, now_ns: int, *, sectors: Sequence[ModalitySet] = ()) -> Wish:
        """The level to run for the sensors in `mask`, and why in one phrase.

        `sectors` are those of each sector, where the network runs for several.
        """
        if now_ns < self._now_ns:
            self._begin_anew(now_ns)
        self._now_ns = now_ns
        timeout_s = self.config.timeout_s
        with self._asking:
            if timeout_s and now_ns - self._request.at_ns > timeout_s * NS_PER_S:
                self._request = _Request()
        work = self._work = work_key(sectors or (mask,))
        wish = max(self._wishes(work, now_ns), key=lambda wish: wish.level)
        insisted = self._insisted(mask)
        if insisted:
            return insisted
        return self._above_floor(mask, wish) if wish.level else Wish(0, "no limit asks for less")

    def _begin_anew(self, now_ns: int) -> None:
        """Time went back, as with a simulation that begins anew: what is remembered of later says nothing.

        What was asked for still is, as if it was now.
        """
        with self._asking:
            self._request = replace(self._request, at_ns=min(self._request.at_ns, now_ns))
        if self._machine.at_ns > now_ns:
            self._machine = NO_READING
        self._power, self._heat = PowerLimit(self._levels), HeatLimit(len(self._levels))

    def _wishes(self, work: int, now_ns: int) -> tuple[Wish, ...]:
        """All of them, also while an operator insists: their memories of what was go on."""
        config, machine = self.config, self._measured(now_ns)
        return (
            self._power.wish(self.power_w, config.full_power_w, machine, now_ns),
            self._battery.wish(self._charge, config.min_battery),
            self._heat_wish(machine, now_ns),
            self._latency.wish(work, self.latency_ms),
            self._pace_wish(),
        )

    def _pace_wish(self) -> Wish:
        if not self.config.keep_pace:
            self._pace.reset()
        return self._pace.wish()

    def _heat_wish(self, machine: MachineReading, now_ns: int) -> Wish:
        if not self.config.thermal or now_ns - machine.at_ns > STALE_NS:
            self._heat.reset()
            return NO_WISH
        return self._heat.wish(self.config.max_temperature_c, machine)

    def _measured(self, now_ns: int) -> MachineReading:
        """The last reading without what is too old or not wanted."""
        machine, config = self._machine, self.config
        if machine is NO_READING:
            return machine
        if now_ns - machine.at_ns > STALE_NS:
            age_s = (now_ns - machine.at_ns) / NS_PER_S
            return MachineReading(at_ns=machine.at_ns, no_power=f"no reading for {age_s:.0f} s")
        if not config.measure_power:
            machine = replace(machine, power_w=math.nan, no_power="budget.measure_power is false")
        return machine

    def _insisted(self, mask: ModalitySet) -> Wish | None:
        request = self._request
        by_message = (request.level, f"Budget message from {request.source or 'unnamed'}")
        for wanted, source in (by_message, (self.config.level, "parameter budget.level")):
            if wanted >= 0:
                level = min(wanted, len(self._levels) - 1)
                cut = f", narrowest is {level}" if wanted > level else ""
                share = self.config.min_map_share
                if not self._floor.keeps(mask, level, share):
                    cut += f"; below the floor of accuracy: {self._floor.told(mask, level, share)}"
                return Wish(level, f"operator: level {wanted} by {source}{cut}")
        return None

    def _above_floor(self, mask: ModalitySet, wish: Wish) -> Wish:
        share = self.config.min_map_share
        if share and not self._floor.known(mask, wish.level):
            return Wish(wish.level, f"{wish.reason}; no floor of accuracy: {mask} was not evaluated")
        level = self._floor.held(mask, wish.level, share)
        if level == wish.level:
            return wish
        held = f"asks for level {wish.level}, the floor of accuracy holds level {level}"
        return Wish(level, f"{wish.reason}; {held}: {self._floor.told(mask, level + 1, share)}")

    @staticmethod
    def _stricter(requested: float, configured: float) -> float:
        """The smaller of two limits; NaN and what is not above 0 (a field left empty) are none."""
        limits = [limit for limit in (requested, configured) if limit > 0.0]
        return min(limits, default=math.nan)
