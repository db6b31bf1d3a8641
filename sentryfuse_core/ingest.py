"""Where messages come in: checked, stamped and handed to health and synchroniser under one lock.

Any thread may call any method. Nothing in here raises for a bad message: it is counted with a reason.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, cast

from sentryfuse_core.clock import NS_PER_S
from sentryfuse_core.config import AudioConfig, Config, ImuConfig
from sentryfuse_core.convert import informed, odometry_reading, to_sample
from sentryfuse_core.ego import EgoMotion
from sentryfuse_core.errors import ConfigError, InvalidMessageError
from sentryfuse_core.health.clocks import is_zero_stamp
from sentryfuse_core.health.heartbeat import BACKLOG_NS, Stall
from sentryfuse_core.health.monitor import HealthMonitor
from sentryfuse_core.health.stats import ContentStats
from sentryfuse_core.sync import MatchedSet, Synchronizer, streams, synced_set
from sentryfuse_core.sync.buffer import stamp_fault
from sentryfuse_core.types import (
    Absence,
    Modality,
    Sample,
    SensorReport,
    SensorState,
    SyncedSet,
    Transition,
)

__all__ = ["Ingest"]

_MAX_READY = 64  # sets kept for a worker that does not come; the oldest go first
_MAX_TRANSITIONS = 1000
_MAX_READINGS = 8192  # readings of an IMU kept for a set that does not come, as many as the synchroniser's


class Ingest:
    """The thread-safe front end of time and trust, the same for a live node and a replay.

    `on_ready` is called, outside the lock, whenever new sets or transitions can be taken; what it raises
    is counted.
    """

    def __init__(
        self,
        config: Config,
        *,
        topics: Mapping[str, str] | None = None,
        on_ready: Callable[[], None] | None = None,
    ) -> None:
        self._config = config
        self._kinds = dict(config.kinds)
        self._sections = dict(config.sensors)  # with what an AudioInfo says
        self._max_future_ns = round(config.sync.max_future_s * NS_PER_S)
        self._apart_ns = round(config.health.clock_apart_s * NS_PER_S)
        self._on_ready = on_ready
        self.ego = EgoMotion(config.odometry)  # looked at set by set, by whoever handles them
        self._lock = threading.Lock()
        self._sync: Synchronizer[str, Sample] = Synchronizer(config.sync, streams(config))
        self._heard = tuple(name for name in config.sensors if config.sensor(name).enabled)
        self._health = HealthMonitor(config, topics=topics)
        self._readings: dict[str, deque[tuple[int, Sample]]] = {  # of each IMU, with the epoch it came in
            name: deque(maxlen=_MAX_READINGS) for name in config.of_kind(Modality.IMU)
        }
        self._window_ns = {
            name: round(cast(ImuConfig, config.sensor(name)).window_s * NS_PER_S) for name in self._readings
        }
        self._ready: deque[SyncedSet] = deque()
        self._transitions: deque[Transition] = deque(maxlen=_MAX_TRANSITIONS)
        self._backlog_until_ns = -1  # what comes until then may have waited for this node
        self._excused_late = Counter[str]()
        self._news = False  # something was put in one of the queues and nobody told
        self.overflowed = 0  # sets that were dropped because nobody took them
        self.callback_errors = 0  # how often `on_ready` raised

    @property
    def epoch(self) -> int:
        """Number of time jumps so far."""
        return self._sync.epoch

    @property
    def anchor(self) -> str | None:
        """Name of the sensor whose stamps the sets carry now; None: a tick, or nothing yet."""
        return self._sync.anchor

    def message(self, name: str, message: Any, *, type_name: str, arrival_ns: int, received_ns: int) -> None:
        """Take in one message of a sensor, rclpy's or rosbags'."""
        try:
            sample = to_sample(
                self._kinds[name],
                message,
                sensor=name,
                type_name=type_name,
                config=self._sections[name],
                received_ns=received_ns,
                arrival_ns=arrival_ns,
            )
        except InvalidMessageError as error:
            self.reject(name, error, arrival_ns)
        except Exception as error:  # noqa: BLE001 - what no check foresaw is counted and ends nothing
            detail = f"{type(error).__name__}: {error}"
            self.reject(name, InvalidMessageError("unreadable", detail), arrival_ns)
        else:
            self.sample(sample)

    def audio_info(self, message: Any, name: str = Modality.AUDIO) -> None:
        """Take over what an AudioInfo says of a sensor's blocks that do not say it.

        Raises InvalidMessageError, and ConfigError where the sensor is no pair of microphones.
        """
        section = self._config.sensor(name)
        if not isinstance(section, AudioConfig):
            raise ConfigError(f"{name} is of kind {self._kinds[name]}; AudioInfo is for audio")
        self._sections[name] = informed(section, message)

    def odometry(self, message: Any) -> None:
        """Take in a nav_msgs/Odometry; one that cannot be read is told with the next set."""
        try:
            self.ego.take(odometry_reading(message, config=self._config.odometry))
        except InvalidMessageError as error:
            self.ego.refuse(error)

    def sample(self, sample: Sample) -> None:
        """Take in one message that is already converted."""
        with self._lock:
            self._run_until(sample.arrival_ns)
            fault = stamp_fault(sample, self._max_future_ns)
            if is_zero_stamp(sample.stamp_ns, sample.received_ns, self._apart_ns):
                fault = "zero"
            if fault is None:
                self._health.observe(sample)
                self._sync.set_lost(self._health.lost())
                self._add(sample)
                if sample.sensor in self._readings and self._health.is_sound(sample.sensor):
                    self._readings[sample.sensor].append((self._sync.epoch, sample))
            else:
                offset_ns, at_ns = sample.received_ns - sample.stamp_ns, sample.arrival_ns
                detail = f"stamp {sample.stamp_ns} ns, {-offset_ns / 1e6:.0f} ms ahead of the clock"
                reason = f"{fault}_stamp"
                self._health.observe_invalid(sample.sensor, reason, detail, at_ns, offset_ns=offset_ns)
                self._follow_health(at_ns)
        self._notify()

    def _add(self, sample: Sample) -> None:
        """Hand the sample to the synchroniser; being late is not held against one that had to wait for us."""
        name, excused = sample.sensor, sample.arrival_ns <= self._backlog_until_ns
        before = self._sync.counters if excused else {}
        self._collect(self._sync.add(name, sample))
        if name in before:
            late = self._sync.counters[name].get("late", 0)
            self._excused_late[name] += late - before[name].get("late", 0)

    def reject(self, name: str, error: InvalidMessageError, now_ns: int) -> None:
        """Count a message that came and could not be read."""
        with self._lock:
            self._run_until(now_ns)
            self._health.observe_invalid(name, error.reason, error.detail, now_ns)
            self._follow_health(now_ns)
        self._notify()

    def advance(self, now_ns: int, *, heard_ns: int | None = None) -> None:
        """Let the steady time pass: deadlines of sets and of silent sensors.

        `heard_ns`: what came later has not been taken in, so time passes no further; None: all was.
        """
        now_ns = now_ns if heard_ns is None else min(now_ns, heard_ns)
        with self._lock:
            self._run_until(now_ns)
            self._collect(self._sync.advance(now_ns))
        self._notify()

    def stalled(self, stall: Stall) -> None:
        """The node did not listen for a while: call it before what came meanwhile is handed over."""
        with self._lock:
            self._health.excuse(stall.silence_ns, stall.until_ns)
            self._sync.excuse(stall.silence_ns, stall.until_ns)
            self._backlog_until_ns = stall.until_ns + BACKLOG_NS

    def next_deadline_ns(self) -> int | None:
        """Steady time at which `advance` has something to do; None: not before another message."""
        with self._lock:
            return self._next_deadline_ns()

    def take(self) -> list[SyncedSet]:
        """The sets released since the last call, oldest first."""
        with self._lock:
            ready = list(self._ready)
            self._ready.clear()
            return ready

    def take_transitions(self) -> list[Transition]:
        """The state changes since the last call, oldest first."""
        with self._lock:
            transitions = list(self._transitions)
            self._transitions.clear()
            return transitions

    def readings(self, synced: SyncedSet) -> dict[str, list[Sample]]:
        """What each IMU measured in its window and since the set before that was asked for, by rising stamp.

        Windows end apart where sets are rare or were skipped. Readings that health found at fault when they
        came are left out. What came after the set was released is the next one's, however late this is asked,
        so that a replay finds the same.
        """
        found: dict[str, list[Sample]] = {}
        with self._lock:
            for name, kept in self._readings.items():
                waiting = list(kept)
                kept.clear()
                found[name] = []
                begin_ns = synced.stamp_ns - self._window_ns[name]
                for epoch, one in waiting:
                    if epoch < synced.epoch:
                        continue
                    came = one.stamp_ns <= synced.stamp_ns and one.arrival_ns <= synced.released_ns
                    if came and epoch == synced.epoch:
                        found[name].append(one)
                    if one.stamp_ns > begin_ns or not came or epoch > synced.epoch:
                        kept.append((epoch, one))
                found[name].sort(key=lambda one: one.stamp_ns)
        return found

    def trust(self, synced: SyncedSet) -> tuple[tuple[str, ...], dict[str, Absence]]:
        """Names of the sensors of the set that may be used, and for every other one why not."""
        with self._lock:
            trusted = self._health.trusted()
            used = tuple(name for name in self._kinds if name in synced.samples and name in trusted)
            return used, {name: self._absence(name, synced) for name in self._kinds if name not in used}

    def observe_invalid(self, name: str, reason: str, detail: str, now_ns: int) -> None:
        """A message already taken in turned out bad when it was decoded."""
        with self._lock:
            self._health.observe_undecodable(name, reason, detail, now_ns)
            self._follow_health(now_ns)
        self._notify()

    def observe_placed(self, names: Iterable[str], now_ns: int) -> None:
        """It is known where these sensors were at a set, whether or not their data was of use to it."""
        with self._lock:
            for name in names:
                self._health.observe_placed(name, now_ns)
            self._follow_health(now_ns)
        self._notify()

    def observe_decoded(self, name: str, stats: ContentStats | None, now_ns: int) -> None:
        """A message was decoded, and what its content looks like, where that can be judged."""
        with self._lock:
            self._health.observe_decoded(name, stats, now_ns)
            self._follow_health(now_ns)
        self._notify()

    def observe_trust(self, name: str, trust: float, *, poor: bool, now_ns: int) -> None:
        """How far the network trusts what a set has of a sensor, 0..1, and whether it goes by it.

        Right after the node stood still windows have holes: that says nothing of a sensor.
        """
        with self._lock:
            if now_ns <= self._backlog_until_ns:
                return
            self._health.observe_trust(name, trust, poor=poor, now_ns=now_ns)
            self._follow_health(now_ns)
        self._notify()

    def observe_publishers(self, name: str, names: Sequence[str], now_ns: int) -> None:
        """Who publishes on a sensor's topic, by name: more than one are mixed."""
        with self._lock:
            self._health.observe_publishers(name, names, now_ns)
            self._follow_health(now_ns)
        self._notify()

    def jump(self, now_ns: int) -> None:
        """The clock that stamps come from has jumped: begin a new epoch, unless the stamps just did."""
        with self._lock:
            self._run_until(now_ns)
            if not self._sync.just_went_back:
                self._sync.reset()
            self._health.forget_stamps()
            self._collect(self._sync.advance(now_ns))
        self._notify()

    def reports(self, now_ns: int) -> Mapping[str, SensorReport]:
        """What is known of every sensor at steady time `now_ns`."""
        with self._lock:
            counters = self._sync.counters
            late = {
                name: by_reason.get("late", 0) - self._excused_late[name]
                for name, by_reason in counters.items()
            }
            epochs = {name: by_reason.get("rebased", 0) for name, by_reason in counters.items()}
            return self._health.reports(now_ns, late=late, epochs=epochs)

    def sync_counters(self) -> Mapping[str, Mapping[str, int]]:
        """Per sensor: messages dropped or noted by the synchroniser, by reason."""
        with self._lock:
            return self._sync.counters

    def _next_deadline_ns(self) -> int | None:
        sync_ns, health_ns = self._sync.next_deadline_ns(), self._health.next_deadline_ns()
        if sync_ns is None or health_ns is None:
            return health_ns if sync_ns is None else sync_ns
        return min(sync_ns, health_ns)

    def _run_until(self, now_ns: int) -> None:
        """Deadlines of both rooms in the order of their times, so that a replay goes like the live run."""
        while True:
            due_ns = self._next_deadline_ns()
            if due_ns is None or due_ns > now_ns:
                return
            self._health.update(due_ns)
            self._sync.set_lost(self._health.lost())
            self._collect(self._sync.advance(due_ns))

    def _follow_health(self, now_ns: int) -> None:
        self._sync.set_lost(self._health.lost())
        self._collect(self._sync.advance(now_ns))

    def _collect(self, released: list[MatchedSet[str, Sample]]) -> None:
        """Queue new sets and transitions."""
        if released:
            for name in self._heard:
                self._health.observe_timing(
                    name,
                    released[-1].released_ns,
                    anchor=self._sync.anchor or "",
                    excess_ns=self._sync.clock_offset_ns(name, sure=True),
                    ahead_ns=self._sync.ahead_ns(name),
                    missed=self._sync.missed(name),
                )
        transitions = self._health.take_transitions()
        if not (released or transitions):
            return
        self._news = True
        self._transitions.extend(transitions)
        self._ready.extend(synced_set(matched, self._kinds) for matched in released)
        while len(self._ready) > _MAX_READY:
            self._ready.popleft()
            self.overflowed += 1

    def _absence(self, name: str, synced: SyncedSet) -> Absence:
        state = self._health.state(name)
        if state is SensorState.LOST:
            return Absence.LOST
        if state is SensorState.RECOVERING or name in synced.samples:
            return Absence.RECOVERING
        absence = synced.absent[name]
        if absence in (Absence.NEVER, Absence.LATE) and self._health.last_invalid(name):
            return Absence.INVALID
        return absence

    def _notify(self) -> None:
        """Tell of news, if any; never under the lock, so that the callback may call back."""
        with self._lock:
            news, self._news = self._news, False
        if news and self._on_ready is not None:
            try:
                self._on_ready()
            except Exception:  # noqa: BLE001 - counted and shown; the next message is still heard
                with self._lock:
                    self.callback_errors += 1
