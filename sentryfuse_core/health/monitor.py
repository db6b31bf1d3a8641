"""Decides which sensors are believed: a state machine per sensor, fed with every message and the time.

Liveness runs on the steady clock (`Sample.arrival_ns`), order and rate of a sensor on its own stamps.
Faults come and go by themselves; the state drops at once and is restored slowly.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from sentryfuse_core.config import Config
from sentryfuse_core.health.clocks import ahead_finding, missed_finding, offset_finding
from sentryfuse_core.health.criteria import Finding
from sentryfuse_core.health.sensor import USED, SensorHealth
from sentryfuse_core.health.stats import ContentStats
from sentryfuse_core.types import Missed, Sample, SensorReport, SensorState, Transition

__all__ = ["HealthMonitor"]

_NONE: Mapping[str, int] = MappingProxyType({})
_GONE = (SensorState.LOST, SensorState.RECOVERING)


class HealthMonitor:
    """State of every sensor, by name, and why."""

    def __init__(self, config: Config, *, topics: Mapping[str, str] | None = None) -> None:
        topics = topics or {}
        self._config = config
        self._sensors = {
            name: SensorHealth(config, name, topics.get(name, section.topic))
            for name, section in config.sensors.items()
        }
        self._transitions: list[Transition] = []
        self._lost: frozenset[str] = frozenset()
        self._deadline_ns: int | None = None  # never later than the first timeout

    def observe(self, sample: Sample) -> None:
        """A message that could be read."""
        sensor = self._sensors[sample.sensor]
        self._note(sensor.observe(sample))
        self._watch(sensor)

    def observe_invalid(
        self, name: str, reason: str, detail: str, now_ns: int, *, offset_ns: int | None = None
    ) -> None:
        """A message that could not be read, or whose stamp, `offset_ns` behind the clock, cannot be right."""
        sensor = self._sensors[name]
        self._note(sensor.observe_invalid(reason, detail, now_ns, offset_ns=offset_ns))
        self._watch(sensor)

    def observe_undecodable(self, name: str, reason: str, detail: str, now_ns: int) -> None:
        """A message that was observed as good and turned out bad when it was decoded."""
        self._note(self._sensors[name].observe_undecodable(reason, detail, now_ns))

    def observe_placed(self, name: str, now_ns: int) -> None:
        """It is known where the sensor was when it sent a message."""
        sensor = self._sensors[name]
        sensor.evidence.placed()
        self._note(sensor.settle(now_ns))

    def observe_decoded(self, name: str, stats: ContentStats | None, now_ns: int) -> None:
        """A message was decoded, and what its content looks like, where that can be judged."""
        sensor = self._sensors[name]
        sensor.evidence.decoded(stats)
        self._note(sensor.settle(now_ns))

    def observe_trust(self, name: str, trust: float, *, poor: bool, now_ns: int) -> None:
        """How far the network trusts what a set has of a sensor, 0..1, and whether that is too little."""
        sensor = self._sensors[name]
        sensor.evidence.trusted(trust, poor=poor)
        self._note(sensor.settle(now_ns))

    def observe_timing(
        self,
        name: str,
        now_ns: int,
        *,
        anchor: str,
        excess_ns: int | None,
        ahead_ns: int | None,
        missed: Missed | None,
    ) -> None:
        """How a sensor's stamps stand to those of `anchor`.

        They lag so much more that it cannot be paired, or lie ahead of their arrival, or nothing of it is in
        the sets; None: not so.
        """
        sensor, config = self._sensors[name], self._config
        told: dict[str, Finding | None] = dict.fromkeys(("clock_offset", "clock_ahead", "unpaired"))
        if excess_ns is not None:
            told["clock_offset"] = offset_finding(excess_ns, name, anchor=anchor, config=config)
        if ahead_ns is not None:
            told["clock_ahead"] = ahead_finding(ahead_ns, name, config=config)
        if missed is not None:
            told["unpaired"] = missed_finding(missed, name, anchor=anchor, config=config)
        if sensor.evidence.timing_changed(told):
            self._note(sensor.settle(now_ns))

    def observe_publishers(self, name: str, names: Sequence[str], now_ns: int) -> None:
        """Who publishes on a sensor's topic, by name: more than one are mixed."""
        sensor = self._sensors[name]
        if sensor.evidence.publishers_changed(names) and sensor.state is not SensorState.INIT:
            self._note(sensor.settle(now_ns))

    def update(self, now_ns: int) -> None:
        """Let the steady time pass: sensors that were silent for too long are lost."""
        if self._deadline_ns is not None and now_ns >= self._deadline_ns:
            self._deadline_ns = None
            for sensor in self._sensors.values():
                self._note(sensor.update(now_ns))
                self._watch(sensor)

    def take_transitions(self) -> list[Transition]:
        """Every change of state since the last call, oldest first."""
        transitions, self._transitions = self._transitions, []
        return transitions

    def next_deadline_ns(self) -> int | None:
        """Steady time to call `update` at, no later than the next timeout; None: no sensor speaks."""
        return self._deadline_ns

    def excuse(self, silence_ns: int, until_ns: int) -> None:
        """The node did not listen for `silence_ns`, until about `until_ns`: that is no sensor's silence."""
        for sensor in self._sensors.values():
            sensor.evidence.excuse(silence_ns, until_ns)

    def forget_stamps(self) -> None:
        """The clock that stamps come from has jumped: going back is no disorder this once."""
        for sensor in self._sensors.values():
            sensor.evidence.forget_stamps()

    def state(self, name: str) -> SensorState:
        """State of one sensor."""
        return self._sensors[name].state

    def last_invalid(self, name: str) -> bool:
        """Whether the sensor's latest message could not be used."""
        return self._sensors[name].evidence.last_invalid

    def is_sound(self, name: str) -> bool:
        """Whether nothing was found wrong with the content of the sensor's latest message when it came."""
        return self._sensors[name].evidence.sound

    def lost(self) -> frozenset[str]:
        """Names of the sensors not to be waited for: LOST, or RECOVERING and not yet believed."""
        return self._lost

    def trusted(self) -> frozenset[str]:
        """Names of the sensors whose data may be used: OK or DEGRADED."""
        return frozenset(name for name, sensor in self._sensors.items() if sensor.state in USED)

    def reports(
        self, now_ns: int, *, late: Mapping[str, int] = _NONE, epochs: Mapping[str, int] = _NONE
    ) -> dict[str, SensorReport]:
        """What is known of every sensor at steady time `now_ns`; `late` and `epochs` by name."""
        return {
            name: sensor.report(now_ns, late=late.get(name, 0), epoch=epochs.get(name, 0))
            for name, sensor in self._sensors.items()
        }

    def _watch(self, sensor: SensorHealth) -> None:
        at_ns = sensor.timeout_at_ns
        if at_ns is not None and (self._deadline_ns is None or at_ns < self._deadline_ns):
            self._deadline_ns = at_ns

    def _note(self, transition: Transition | None) -> None:
        if transition is not None:
            self._transitions.append(transition)
            gone = (name for name, sensor in self._sensors.items() if sensor.state in _GONE)
            self._lost = frozenset(gone)
