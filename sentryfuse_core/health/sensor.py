"""The state machine of one sensor: INIT -> OK <-> DEGRADED -> LOST -> RECOVERING -> OK."""

from __future__ import annotations

from collections import Counter, deque

from sentryfuse_core.clock import NS_PER_MS, NS_PER_S
from sentryfuse_core.config import HealthConfig
from sentryfuse_core.health import criteria
from sentryfuse_core.health.criteria import (
    AudioStats,
    CloudStats,
    ContentStats,
    Coverage,
    Finding,
    ImageStats,
)
from sentryfuse_core.health.rate import RateMeter
from sentryfuse_core.types import ImuReading, Modality, Sample, SensorReport, SensorState, Transition

__all__ = ["SensorHealth"]

_START_GOOD = 2  # messages that make a new sensor OK
_SHARE_OF = 100  # messages that shares are taken of
_CONTENT_OF = 5  # content checks that `bad_of_five` is taken of


class _Share:
    """How many of the last hundred messages were marked."""

    def __init__(self) -> None:
        self._marks: deque[bool] = deque(maxlen=_SHARE_OF)
        self.marked = 0

    def add(self, *, mark: bool) -> None:
        marks = self._marks
        if len(marks) == _SHARE_OF and marks[0]:
            self.marked -= 1
        marks.append(mark)
        if mark:
            self.marked += 1

    def clear(self) -> None:
        self._marks.clear()
        self.marked = 0


class SensorHealth:
    """Knows one sensor: its state, the faults that hold now, and its counters."""

    def __init__(
        self,
        modality: Modality,
        config: HealthConfig,
        *,
        topic: str,
        enabled: bool,
        expected_rate_hz: float,
        timeout_floor_ns: int,
        frozen_run: int,
    ) -> None:
        self.state = SensorState.INIT
        self.last_invalid = False
        self._modality = modality
        self._config = config
        self._topic = topic
        self._enabled = enabled
        self._timeout_floor_ns = timeout_floor_ns
        self._frozen_run = frozen_run
        self._meter = RateMeter(expected_rate_hz)
        self._coverage = Coverage()
        self._disorder = _Share()
        self._invalid = _Share()
        self._content: deque[Finding | None] = deque(maxlen=_CONTENT_OF)
        self._losing: dict[str, Finding] = {}  # faults that make the sensor LOST, by criterion
        self._degrading: dict[str, Finding] = {}
        self._told = Finding(
            "never", "nothing received yet", f"check who publishes {topic}, its type and its QoS"
        )
        self._counts: Counter[str] = Counter()
        self._invalid_reasons: Counter[str] = Counter()
        self._arrival_ns: int | None = None  # of any message, also of one that could not be read
        self._stamp_ns: int | None = None
        self._offset_ns: int | None = None
        self._fingerprint: int | None = None
        self._same = 0  # equal fingerprints in a row
        self._invalid_in_row = 0
        self._undecodable_in_row = 0
        self._since_ns: int | None = None
        self._good = 0  # good messages that count towards restoring trust
        self._clean_ns = 0  # since when nothing was wrong
        self._restored_ns: int | None = None
        self._hold_ns = round(config.recover_s * NS_PER_S)

    @property
    def timeout_ns(self) -> int:
        """Silence that makes the sensor lost: three periods, but never less than its floor."""
        period_ns = self._meter.period_ns or self._timeout_floor_ns
        return max(round(self._config.timeout_periods * period_ns), self._timeout_floor_ns)

    @property
    def timeout_at_ns(self) -> int | None:
        """Steady time at which the sensor is lost if nothing comes; None: it is not speaking."""
        if self._arrival_ns is None or self.state is SensorState.LOST:
            return None
        return self._arrival_ns + self.timeout_ns

    def observe(self, sample: Sample) -> Transition | None:
        """A message that could be read."""
        now_ns = self._heard(sample.arrival_ns, invalid=False)
        self._offset_ns = sample.received_ns - sample.stamp_ns
        in_order = self._check_order(sample.stamp_ns)
        self._check_frozen(sample.fingerprint)
        self._check_rate(now_ns)
        self._losing.pop("malformed", None)
        if isinstance(sample.payload, ImuReading):
            self._check_content(criteria.imu_finding(sample.payload, self._config))
        if in_order:
            self._good += 1
        return self._settle(now_ns)

    def observe_invalid(self, reason: str, detail: str, now_ns: int) -> Transition | None:
        """A message that could not be read."""
        now_ns = self._heard(now_ns, invalid=True)
        self._invalid_reasons[reason] += 1
        self._good = 0
        if self._invalid_in_row >= self._config.invalid_run:
            self._losing["malformed"] = Finding(
                "malformed",
                f"{self._invalid_in_row} messages in a row were malformed, the last one {reason}: {detail}",
                f"check the driver that publishes {self._topic}",
            )
        return self._settle(now_ns)

    def observe_undecodable(self, reason: str, detail: str, now_ns: int) -> Transition | None:
        """A message that looked right when it came and turned out bad when it was decoded."""
        self.last_invalid = True
        self._invalid_reasons[reason] += 1
        self._good = 0
        self._undecodable_in_row += 1
        remedy = f"check the driver that publishes {self._topic}, and the transform of its frame"
        found = Finding(reason, f"content cannot be used, {reason}: {detail}", remedy)
        self._check_content(found)
        if self._undecodable_in_row < self._config.invalid_run:
            return self._settle(now_ns)
        # Nothing is decoded of a lost sensor, so this fault cannot end by itself: drop once, then try again.
        self._undecodable_in_row = 0
        self._losing["undecodable"] = found
        transition = self._settle(now_ns)
        del self._losing["undecodable"]
        return transition

    def observe_content(self, stats: ContentStats, now_ns: int) -> Transition | None:
        """What the decoded content of a message looks like."""
        self._undecodable_in_row = 0
        self.last_invalid = False
        self._check_content(self._content_finding(stats))
        return self._settle(now_ns)

    def update(self, now_ns: int) -> Transition | None:
        """Let the steady time pass."""
        timeout_at_ns = self.timeout_at_ns
        if timeout_at_ns is None or now_ns < timeout_at_ns or self._arrival_ns is None:
            return None
        silent_ms = (now_ns - self._arrival_ns) / NS_PER_MS
        self._losing["timeout"] = Finding(
            "timeout",
            f"no message for {silent_ms:.0f} ms, {self.timeout_ns / NS_PER_MS:.0f} ms allowed",
            f"check power, cable and driver of the {self._modality.value}, and who publishes {self._topic}",
        )
        return self._settle(now_ns)

    def forget_stamps(self) -> None:
        """The clock of the stamps has jumped."""
        self._stamp_ns = None

    def report(self, now_ns: int) -> SensorReport:
        """What is known at steady time `now_ns`."""
        faults = self._losing or self._degrading
        told = self._told
        if faults and self.state in (SensorState.DEGRADED, SensorState.LOST):
            told = next(iter(faults.values()))
        if not self._enabled:
            told = Finding("disabled", "disabled by parameter", f"set {self._modality.value}.enabled")
        ok = self.state is SensorState.OK
        nan = float("nan")
        return SensorReport(
            modality=self._modality,
            topic=self._topic,
            state=self.state,
            reason="" if ok else told.reason,
            remedy="" if ok else told.remedy,
            since_s=0.0 if self._since_ns is None else max(0, now_ns - self._since_ns) / NS_PER_S,
            rate_hz=self._meter.current_hz,
            expected_hz=self._meter.expected_hz,
            age_ms=nan if self._arrival_ns is None else max(0, now_ns - self._arrival_ns) / NS_PER_MS,
            offset_ms=nan if self._offset_ns is None else self._offset_ns / NS_PER_MS,
            late=0,
            out_of_order=self._counts["out_of_order"],
            duplicate=self._counts["duplicate"],
            invalid=sum(self._invalid_reasons.values()),
            frozen=self._counts["frozen"],
            epoch=0,
            invalid_reasons=dict(self._invalid_reasons),
        )

    def _heard(self, now_ns: int, *, invalid: bool) -> int:
        """A message of any kind has come; returns the steady time, which never goes back."""
        if self._arrival_ns is not None and now_ns < self._arrival_ns:
            now_ns = self._arrival_ns
        if self._since_ns is None:
            self._since_ns = now_ns
        self._arrival_ns = now_ns
        self._losing.pop("timeout", None)
        self.last_invalid = invalid
        self._invalid_in_row = self._invalid_in_row + 1 if invalid else 0
        self._invalid.add(mark=invalid)
        marked, allowed = self._invalid.marked, self._config.invalid_share
        self._judge_share("invalid", marked, allowed, "messages were malformed")
        return now_ns

    def _judge_share(self, code: str, marked: int, allowed: float, what: str) -> None:
        if marked > allowed * _SHARE_OF:
            reason = f"{marked} of the last {_SHARE_OF} {what}"
            self._degrading[code] = Finding(code, reason, f"check the driver and the link of {self._topic}")
        elif code in self._degrading:
            del self._degrading[code]

    def _check_order(self, stamp_ns: int) -> bool:
        before_ns, self._stamp_ns = self._stamp_ns, stamp_ns
        in_order = before_ns is None or stamp_ns > before_ns
        if before_ns is not None and in_order:
            self._meter.learn(stamp_ns - before_ns)
        elif not in_order:
            self._counts["duplicate" if stamp_ns == before_ns else "out_of_order"] += 1
        self._disorder.add(mark=not in_order)
        marked, allowed = self._disorder.marked, self._config.disorder_share
        self._judge_share("disorder", marked, allowed, "stamps were repeated or out of order")
        if stamp_ns == before_ns:
            self._fingerprint = None  # a message sent twice says nothing about its content
        return in_order

    def _check_frozen(self, fingerprint: int) -> None:
        """Noise never repeats to the bit, so a robot that stands still is not a frozen sensor."""
        if fingerprint != self._fingerprint:
            self._fingerprint = fingerprint
            self._same = 1
            self._losing.pop("frozen", None)
            return
        self._same += 1
        self._counts["frozen"] += 1
        if self._same >= self._frozen_run:
            self._losing["frozen"] = Finding(
                "frozen",
                f"the last {self._same} messages are identical to the bit",
                f"restart the {self._modality.value} or its driver",
            )

    def _check_rate(self, now_ns: int) -> None:
        if not self._meter.arrived(now_ns) or not self._meter.expected_hz:
            return
        share = self._meter.rate_hz / self._meter.expected_hz
        finding = Finding(
            "rate",
            f"{self._meter.rate_hz:.1f} Hz of {self._meter.expected_hz:.1f} Hz expected",
            f"check load, bandwidth and exposure; if meant, set {self._modality.value}.expected_rate_hz",
        )
        self._losing.pop("rate", None)
        self._degrading.pop("rate", None)
        if share < self._config.rate_error and self._meter.given:  # what was learned may change, as at night
            self._losing["rate"] = finding
        elif share < self._config.rate_warn:
            self._degrading["rate"] = finding

    def _content_finding(self, stats: ContentStats) -> Finding | None:
        if isinstance(stats, ImageStats):
            return criteria.image_finding(stats, self._config)
        if isinstance(stats, AudioStats):
            return criteria.audio_finding(stats, self._config)
        return self._cloud_finding(stats)

    def _cloud_finding(self, stats: CloudStats) -> Finding | None:
        found = criteria.cloud_finding(stats, self._coverage, self._config)
        if found is None:
            self._coverage.learn(stats.occupancy)
        return found

    def _check_content(self, found: Finding | None) -> None:
        content = self._content
        content.append(found)
        bad = len(content) - content.count(None)
        if bad >= self._config.bad_of_five:
            latest = next(finding for finding in reversed(content) if finding is not None)
            self._degrading["content"] = latest
        elif "content" in self._degrading:
            del self._degrading["content"]

    def _settle(self, now_ns: int) -> Transition | None:
        """Move to the state that the faults call for, or, with none, back up when that is earned."""
        state = self.state
        if self._losing:
            after = SensorState.LOST
        elif state is SensorState.LOST:
            after = SensorState.LOST if self.last_invalid else SensorState.RECOVERING
        elif state is SensorState.RECOVERING:
            after = self._believed() if self._earned(now_ns, self._since_ns or 0) else state
        elif state is SensorState.INIT:
            after = self._believed() if self._good >= _START_GOOD else state
        elif self._degrading:
            after = SensorState.DEGRADED
            self._good, self._clean_ns = 0, now_ns
        elif state is SensorState.DEGRADED:
            after = SensorState.OK if self._earned(now_ns, self._clean_ns) else state
        else:
            after = state
        return None if after is state else self._enter(after, now_ns)

    def _believed(self) -> SensorState:
        return SensorState.DEGRADED if self._degrading else SensorState.OK

    def _earned(self, now_ns: int, since_ns: int) -> bool:
        return self._good >= self._config.recover_good and now_ns - since_ns >= self._hold_ns

    def _enter(self, after: SensorState, now_ns: int) -> Transition:
        before, self.state = self.state, after
        faults = self._losing or self._degrading
        if faults:
            self._told = next(iter(faults.values()))
        if after is SensorState.RECOVERING:
            good, hold_s = self._config.recover_good, self._hold_ns / NS_PER_S
            self._told = Finding(
                "recovering",
                f"arriving again after: {self._told.reason}",
                f"wait: used again after {good} good messages and {hold_s:.1f} s",
            )
        if after is SensorState.LOST:
            self._content.clear()
            self._degrading.clear()
            self._meter.stopped()
        relapsed = before is SensorState.RECOVERING and after is SensorState.LOST
        if before is SensorState.OK or relapsed:
            self._lengthen_hold(before, now_ns)
        if before is SensorState.RECOVERING or (before is SensorState.DEGRADED and after is SensorState.OK):
            self._restored_ns = now_ns
        self._since_ns = now_ns
        self._good, self._clean_ns = 0, now_ns
        told = Finding("", "", "") if after is SensorState.OK else self._told
        return Transition(self._modality, now_ns, before, after, told.reason, told.remedy)

    def _lengthen_hold(self, before: SensorState, now_ns: int) -> None:
        """A relapse soon after the last recovery doubles the time that the next one takes."""
        relapse = before is SensorState.RECOVERING
        if self._restored_ns is not None:
            relapse |= now_ns - self._restored_ns <= round(self._config.relapse_s * NS_PER_S)
        start_ns = round(self._config.recover_s * NS_PER_S)
        cap_ns = max(start_ns, round(self._config.hold_cap_s * NS_PER_S))
        self._hold_ns = min(2 * self._hold_ns, cap_ns) if relapse else start_ns
