"""Decides which sensors are believed: a state machine per sensor, fed with every message and the time.

Liveness runs on the steady clock (`Sample.arrival_ns`), order and rate of a sensor on its own stamps.
Faults come and go by themselves; the state drops at once and is restored slowly.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sentryfuse_core.clock import NS_PER_S
from sentryfuse_core.config import Config
from sentryfuse_core.health.criteria import ContentStats
from sentryfuse_core.health.evidence import SensorTraits
from sentryfuse_core.health.sensor import SensorHealth
from sentryfuse_core.types import Modality, ModalitySet, Sample, SensorReport, SensorState, Transition

__all__ = ["HealthMonitor"]

_TRUSTED = (SensorState.OK, SensorState.DEGRADED)
_GONE = (SensorState.LOST, SensorState.RECOVERING)


class HealthMonitor:
    """State of every sensor, and why."""

    def __init__(self, config: Config, *, topics: Mapping[Modality, str] | None = None) -> None:
        topics = topics or {}
        floors_s = {
            Modality.CAMERA: config.health.timeout_floor_camera_s,
            Modality.LIDAR: config.health.timeout_floor_lidar_s,
            Modality.IMU: config.health.timeout_floor_imu_s,
            Modality.AUDIO: config.health.timeout_floor_audio_s,
        }
        frozen_runs = {
            Modality.CAMERA: config.health.frozen_image,
            Modality.LIDAR: config.health.frozen_cloud,
            Modality.IMU: config.health.frozen_imu,
            Modality.AUDIO: config.health.frozen_audio,
        }
        slowest_hz = {
            Modality.CAMERA: config.health.slowest_camera_hz,
            Modality.LIDAR: config.health.slowest_lidar_hz,
            Modality.IMU: config.health.slowest_imu_hz,
            Modality.AUDIO: config.health.slowest_audio_hz,
        }
        self._sensors = {
            modality: SensorHealth(
                SensorTraits(
                    modality=modality,
                    topic=topics.get(modality, config.sensor(modality).topic),
                    enabled=config.sensor(modality).enabled,
                    expected_rate_hz=config.sensor(modality).expected_rate_hz,
                    timeout_floor_ns=round(floors_s[modality] * NS_PER_S),
                    slowest_hz=slowest_hz[modality],
                    frozen_run=frozen_runs[modality],
                    may_repeat=config.sensor(modality).may_repeat,
                ),
                config.health,
            )
            for modality in Modality
        }
        self._transitions: list[Transition] = []
        self._lost = ModalitySet()
        self._deadline_ns: int | None = None  # never later than the first timeout

    def observe(self, sample: Sample) -> None:
        """A message that could be read."""
        sensor = self._sensors[sample.modality]
        self._note(sensor.observe(sample))
        self._watch(sensor)

    def observe_invalid(self, modality: Modality, reason: str, detail: str, now_ns: int) -> None:
        """A message that could not be read."""
        sensor = self._sensors[modality]
        self._note(sensor.observe_invalid(reason, detail, now_ns))
        self._watch(sensor)

    def observe_stamp_fault(self, sample: Sample, reason: str, detail: str) -> None:
        """A message whose stamp cannot be right, for `reason`: it is not used and counts as malformed."""
        sensor = self._sensors[sample.modality]
        offset_ns = sample.received_ns - sample.stamp_ns
        self._note(sensor.observe_invalid(reason, detail, sample.arrival_ns, offset_ns=offset_ns))
        self._watch(sensor)

    def observe_undecodable(self, modality: Modality, reason: str, detail: str, now_ns: int) -> None:
        """A message that was observed as good and turned out bad when it was decoded."""
        self._note(self._sensors[modality].observe_undecodable(reason, detail, now_ns))

    def observe_decoded(self, modality: Modality, stats: ContentStats | None, now_ns: int) -> None:
        """A message was decoded, and what its content looks like, where that can be judged."""
        self._note(self._sensors[modality].observe_decoded(stats, now_ns))

    def observe_offset(self, modality: Modality, excess_ns: int | None, now_ns: int) -> None:
        """How much more a sensor's stamps lag than the anchor's, where that is too much to pair it."""
        self._note(self._sensors[modality].observe_offset(excess_ns, now_ns))

    def observe_publishers(self, modality: Modality, names: Sequence[str], now_ns: int) -> None:
        """Who publishes on a sensor's topic, by name: more than one are mixed."""
        self._note(self._sensors[modality].observe_publishers(names, now_ns))

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
            sensor.excuse(silence_ns, until_ns)

    def forget_stamps(self) -> None:
        """The clock that stamps come from has jumped: going back is no disorder this once."""
        for sensor in self._sensors.values():
            sensor.forget_stamps()

    def state(self, modality: Modality) -> SensorState:
        """State of one sensor."""
        return self._sensors[modality].state

    def last_invalid(self, modality: Modality) -> bool:
        """Whether the sensor's latest message could not be used."""
        return self._sensors[modality].last_invalid

    def lost(self) -> ModalitySet:
        """Sensors not to be waited for: LOST, or RECOVERING and not yet believed."""
        return self._lost

    def trusted(self) -> ModalitySet:
        """Sensors whose data may be used: OK or DEGRADED."""
        return ModalitySet.of(*(m for m, sensor in self._sensors.items() if sensor.state in _TRUSTED))

    def reports(self, now_ns: int) -> Mapping[Modality, SensorReport]:
        """What is known of every sensor at steady time `now_ns`."""
        return {modality: sensor.report(now_ns) for modality, sensor in self._sensors.items()}

    def _watch(self, sensor: SensorHealth) -> None:
        at_ns = sensor.timeout_at_ns
        if at_ns is not None and (self._deadline_ns is None or at_ns < self._deadline_ns):
            self._deadline_ns = at_ns

    def _note(self, transition: Transition | None) -> None:
        if transition is not None:
            self._transitions.append(transition)
            gone = (m for m, sensor in self._sensors.items() if sensor.state in _GONE)
            self._lost = ModalitySet.of(*gone)
