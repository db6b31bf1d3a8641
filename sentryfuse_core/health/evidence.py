"""What speaks against one sensor at the moment: faults by criterion, from its messages and their absence."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, replace

from sentryfuse_core.clock import NS_PER_MS, NS_PER_S
from sentryfuse_core.config import HealthConfig
from sentryfuse_core.health import clocks, criteria
from sentryfuse_core.health.criteria import AudioStats, ContentStats, Coverage, Finding, ImageStats, View
from sentryfuse_core.health.heartbeat import BACKLOG_NS
from sentryfuse_core.health.rate import RateMeter
from sentryfuse_core.health.tracks import AudioGaps, ImuUnits, StuckAxis
from sentryfuse_core.text import bounded
from sentryfuse_core.types import AudioBlock, ImuReading, Modality, Sample

__all__ = ["Evidence", "SensorTraits"]

_SHARE_OF = 100  # messages that shares are taken of
_DEVICES = {
    Modality.CAMERA: "camera",
    Modality.LIDAR: "lidar",
    Modality.IMU: "IMU",
    Modality.AUDIO: "microphone",
}
_NO_FAULT = ("field_absent",)  # an IMU that measures less than the network needs is sound
_SHARED = "several_publishers"
_FRAME_CHANGES = 3  # of the last hundred messages
_NAMES, _NAME_LENGTH = 5, 100  # of strangers, in a reason
_CONTENT_OF = 5  # content checks that `bad_of_five` is taken of


@dataclass(frozen=True, kw_only=True)
class SensorTraits:
    """What is given of one sensor."""

    modality: Modality
    topic: str
    enabled: bool
    expected_rate_hz: float  # 0: learned
    timeout_floor_ns: int
    slowest_hz: float  # a learned rate below this is not accepted
    frozen_run: int  # identical messages in a row that mean frozen
    may_repeat: bool = False  # as a simulator without noise does: what repeats to the bit is no fault


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


class Evidence:
    """Faults that hold now.

    `losing` and `degrading` hold findings by criterion; a criterion takes its finding back by itself when
    it no longer applies. `counts` has out_of_order, duplicate and frozen, `invalid_reasons` the messages
    that could not be used.
    """

    def __init__(self, traits: SensorTraits, config: HealthConfig) -> None:
        self.losing: dict[str, Finding] = {}
        self.degrading: dict[str, Finding] = {}
        self.counts: Counter[str] = Counter()
        self.invalid_reasons: Counter[str] = Counter()
        self.meter = RateMeter(traits.expected_rate_hz)
        self.arrival_ns: int | None = None  # steady time of the newest message, also of one that was no good,
        # but not of one that only repeats the last stamp
        self.excused_ns = 0  # time since then in which nobody listened
        self.offset_ns: int | None = None  # received minus stamp of the newest message
        self.last_invalid = False
        self._traits = traits
        self._device = _DEVICES[traits.modality]
        self._config = config
        self._coverage = Coverage()
        self._view = View()
        self._shared: Finding | None = None  # who else publishes on the topic
        self._frame_id = ""
        self._frames = _Share()  # marks messages that name another frame than the one before
        self._disorder = _Share()
        self._invalid = _Share()
        self._content: deque[Finding | None] = deque(maxlen=_CONTENT_OF)
        self._content_bad = 0
        self._sounded = False
        self._sounded_channels = 0
        self._axes = StuckAxis(config)
        self._units = ImuUnits()
        self._gaps = AudioGaps(config)
        self._apart_ns = round(config.clock_apart_s * NS_PER_S)
        self._compared = False  # whether the newest message came with a time to compare its stamp with
        self._apart = 0  # messages in a row whose stamps are far from the clock
        self._deaf_ns = 0  # how long nobody listened the last time
        self._deaf_until_ns = -BACKLOG_NS  # and until when
        self._stamp_ns: int | None = None
        self._fingerprint: int | None = None
        self._same = 0  # equal fingerprints in a row
        self._invalid_in_row = 0
        self._undecodable_in_row = 0
        self._out_of_window_in_row = 0
        self._understood = False  # whether any message could be read
        self._refused: tuple[str, str] | None = None  # reason and detail of the last unreadable message

    @property
    def refused(self) -> Finding | None:
        """What to tell of a sensor that has sent only what could not be read; None: nothing came."""
        if self._refused is None:
            return None
        count = sum(self.invalid_reasons.values())
        return self._malformed(*self._refused, f"none of {count} messages could be used")

    @property
    def timeout_ns(self) -> int:
        """Silence that makes the sensor lost: so many periods, but never less than its floor."""
        floor_ns = self._traits.timeout_floor_ns
        return max(round(self._config.timeout_periods * (self.meter.period_ns or floor_ns)), floor_ns)

    @property
    def fault(self) -> Finding | None:
        """The oldest of the gravest; that others publish too is told only where nothing else is wrong."""
        faults = self.losing or self.degrading
        first = (found for code, found in faults.items() if code != _SHARED)
        return next(first, faults.get(_SHARED))

    def readable(self, sample: Sample, now_ns: int) -> bool:
        """Take in a message that could be read; True when its stamp is in order.

        One with the stamp of the message before is that message again: no sign of life, and no proof
        that the content is frozen.
        """
        if sample.stamp_ns == self._stamp_ns:
            self.counts["duplicate"] += 1
            self._note_order(in_order=False)
            return False
        self._heard(now_ns, invalid=False)
        self._understood = True
        self.losing.pop("malformed", None)
        self.offset_ns = sample.received_ns - sample.stamp_ns
        self._compared = sample.received_ns != 0
        backlog = now_ns <= self._deaf_until_ns + BACKLOG_NS
        in_order = self._check_order(sample.stamp_ns, backlog=backlog)
        self._check_frozen(sample.fingerprint)
        self._check_source(sample.frame_id)
        if backlog:
            self._gaps.restart()
        else:
            if self.meter.arrived(now_ns):
                self._check_rate()
            self._check_clock()
        payload = sample.payload
        if isinstance(payload, ImuReading):
            found = criteria.imu_finding(payload, self._config)
            stuck = None if self._traits.may_repeat else self._axes.look(payload, sample.stamp_ns)
            self._check_content(found or stuck)
            self._tell("units", self._units.look(payload, sample.stamp_ns, sound=found is None))
        elif isinstance(payload, AudioBlock):
            if in_order:
                self._tell("gapped", self._gaps.look(payload, sample.stamp_ns))
            else:
                self._gaps.restart()
        return in_order

    def unreadable(self, reason: str, detail: str, now_ns: int, *, offset_ns: int | None = None) -> None:
        """Take in a message that could not be read, or whose stamp, `offset_ns` behind the clock, is wrong.

        One stamp far in the future is poison, a run of them another clock. The sensor is lost for it: such
        stamps can never pair with those of the others.
        """
        self._heard(now_ns, invalid=True)
        self.invalid_reasons[reason] += 1
        self._refused = reason, detail
        if self._invalid_in_row < self._config.invalid_run:
            return
        if reason == clocks.FUTURE_STAMP and offset_ns is not None and -offset_ns > self._apart_ns:
            reason = clocks.OTHER_CLOCK
        what = f"{self._invalid_in_row} messages in a row were malformed"
        self.losing["malformed"] = self._malformed(reason, detail, what)

    def undecodable(self, reason: str, detail: str) -> Finding | None:
        """Take in that a readable message could not be decoded; the finding when that is beyond patience."""
        if reason in _NO_FAULT:
            return None
        if reason == "no_data":
            self._tell(reason, self._out_of_window(detail))
            return None
        self.last_invalid = True
        if reason == "no_pose":  # nothing is wrong with the messages, so losing the sensor would cure nothing
            remedy = "publish the transform, or set output.extrinsics: parameters"
            self.degrading[reason] = Finding(reason, detail, remedy)
            return None
        self.invalid_reasons[reason] += 1
        self._undecodable_in_row += 1
        remedy = f"check the driver that publishes {self._traits.topic}"
        found = Finding(reason, f"content cannot be used, {reason}: {detail}", remedy)
        self._check_content(found)
        if self._undecodable_in_row < self._config.invalid_run:
            return None
        self._undecodable_in_row = 0
        return found

    def decoded(self, stats: ContentStats | None) -> None:
        """Take in that a message was decoded, and what its content looks like; None: nothing to judge by."""
        self._undecodable_in_row = 0
        self._out_of_window_in_row = 0
        self.last_invalid = False
        self.degrading.pop("no_pose", None)
        self.degrading.pop("no_data", None)
        if stats is None:
            return
        if isinstance(stats, ImageStats):
            found = criteria.image_finding(stats, self._view, self._config)
            self._view.learn(stats.cells, self._config.flat_std, fine=found is None)
        elif isinstance(stats, AudioStats):
            # Encoders begin with zeros; a microphone that never says anything is found frozen.
            self._sounded = self._sounded or not stats.silent
            if self._traits.may_repeat:
                stats = replace(stats, silent=False, live_channels=-1)
            self._sounded_channels |= stats.live_channels
            found = None
            if self._sounded:
                found = criteria.audio_finding(stats, self._config, sounded=self._sounded_channels)
        else:
            found = criteria.cloud_finding(stats, self._coverage, self._config)
            if found is None:
                self._coverage.learn(stats.occupancy)
        self._check_content(found)

    def publishers_changed(self, names: Sequence[str]) -> bool:
        """Take in who publishes on the topic, one or nobody known if all is well; whether that is news."""
        found = None
        if len(names) > 1:
            shown = ", ".join(bounded(name, _NAME_LENGTH) for name in names[:_NAMES])
            more = f" and {len(names) - _NAMES} more" if len(names) > _NAMES else ""
            found = Finding(
                _SHARED,
                f"{len(names)} publishers on {self._traits.topic} are mixed: {shown}{more}",
                "stop all but one, or remap each to a topic of its own; "
                "one that died is forgotten within 20 s",
            )
        if found == self._shared:
            return False
        self._shared = found
        self._tell(_SHARED, found)
        return True

    def offset_changed(self, excess_ns: int | None) -> bool:
        """Take in how much the stamps disagree with the anchor's; whether that is news."""
        if (excess_ns is None) == ("clock_offset" not in self.degrading):
            return False
        if excess_ns is None:
            del self.degrading["clock_offset"]
            return True
        name, apart_ms = self._traits.modality.value, abs(excess_ns) / NS_PER_MS
        if excess_ns > 0:
            slow = f"{name} is slow, set {name}.expected_lag_s to {apart_ms / 1e3:.3f}"
        else:
            slow = (
                "the anchor is slow (a lidar that stamps the start of its turn is), "
                f"set its expected_lag_s to {apart_ms / 1e3:.3f}"
            )
        self.degrading["clock_offset"] = Finding(
            "clock_offset",
            f"stamps lie {apart_ms:.0f} ms {'more' if excess_ns > 0 else 'less'} behind their arrival than "
            "the anchor's, so pairs would be a guess",
            f"if {slow}; if a clock is off, set {name}.stamp_offset_s to {-excess_ns / NS_PER_S:.3f}",
        )
        return True

    def silent(self, now_ns: int) -> bool:
        """Whether nothing has come for too long."""
        if self.arrival_ns is None:
            return False
        silent_ns = now_ns - self.arrival_ns - self.excused_ns
        if silent_ns < self.timeout_ns:
            return False
        silent_ms, allowed_ms = silent_ns / NS_PER_MS, self.timeout_ns / NS_PER_MS
        reason = f"no new message for {silent_ms:.0f} ms, {allowed_ms:.0f} ms allowed"
        remedy = (
            f"check power, cable and driver of the {self._device}, and who publishes {self._traits.topic}"
        )
        refused = None if self._understood else self.refused
        if refused is not None:
            reason, remedy = f"{refused.reason}; since then {reason}", refused.remedy
        self.losing["timeout"] = Finding("timeout", reason, remedy)
        return True

    def excuse(self, silence_ns: int, until_ns: int) -> None:
        """Nobody listened for `silence_ns`, until `until_ns`: what came meanwhile comes now or never."""
        if self.arrival_ns is not None:
            self.excused_ns += min(silence_ns, max(0, until_ns - self.arrival_ns))
        self._deaf_ns, self._deaf_until_ns = silence_ns, until_ns
        self._gaps.restart()
        self.meter.interrupted()

    def forget_content(self) -> None:
        """The sensor is lost: what its content looked like and how fast it came says nothing any more."""
        self._content.clear()
        self._content_bad = 0
        self._apart = 0
        self._gaps.restart()
        self.degrading.clear()
        self.meter.stopped()

    def forget_stamps(self) -> None:
        """The clock of the stamps has jumped."""
        self._stamp_ns = None
        self._gaps.restart()

    def _malformed(self, reason: str, detail: str, what: str) -> Finding:
        if reason in clocks.FAULTS:
            return clocks.finding(reason, detail, self._traits.topic)
        remedy = f"check the driver that publishes {self._traits.topic}"
        return Finding("malformed", f"{what}, the last one {reason}: {detail}", remedy)

    def _out_of_window(self, detail: str) -> Finding | None:
        """The first block of a stream begins where the set's window ends; only if all do it is a mistake."""
        self._out_of_window_in_row += 1
        if self._out_of_window_in_row < self._config.invalid_run:
            return None
        name = self._traits.modality.value
        remedy = f"correct {name}.stamp_offset_s or {name}.latency_s, or raise {name}.window_s"
        return Finding("no_data", f"{detail}, {self._out_of_window_in_row} times in a row", remedy)

    def _heard(self, now_ns: int, *, invalid: bool) -> None:
        self.arrival_ns = now_ns
        # What had come before nobody listened may be taken in only now: the time since is excused, too.
        self.excused_ns = max(0, min(self._deaf_ns, self._deaf_until_ns - now_ns))
        self.losing.pop("timeout", None)
        self.last_invalid = invalid
        self._invalid_in_row = self._invalid_in_row + 1 if invalid else 0
        self._invalid.add(mark=invalid)
        self._judge_share("invalid", self._invalid, self._config.invalid_share, "messages were malformed")

    def _judge_share(self, code: str, share: _Share, allowed: float, what: str) -> None:
        if share.marked > allowed * _SHARE_OF:
            reason = f"{share.marked} of the last {_SHARE_OF} {what}"
            remedy = f"check the driver and the link of {self._traits.topic}"
            self.degrading[code] = Finding(code, reason, remedy)
        elif code in self.degrading:
            del self.degrading[code]

    def _check_order(self, stamp_ns: int, *, backlog: bool) -> bool:
        before_ns, self._stamp_ns = self._stamp_ns, stamp_ns
        in_order = before_ns is None or stamp_ns > before_ns
        if not in_order:
            self.counts["out_of_order"] += 1
        elif before_ns is not None and not backlog:
            self.meter.learn(stamp_ns - before_ns)
        self._note_order(in_order=in_order or backlog)
        return in_order

    def _note_order(self, *, in_order: bool) -> None:
        self._disorder.add(mark=not in_order)
        allowed = self._config.disorder_share
        self._judge_share("disorder", self._disorder, allowed, "stamps were repeated or out of order")

    def _check_source(self, frame_id: str) -> None:
        """Two frames in turn are two sensors on one topic; one change is a driver that was set up anew."""
        if self._shared is not None:
            self.degrading[_SHARED] = self._shared
        before, self._frame_id = self._frame_id, frame_id
        changed = bool(before) and frame_id != before
        self._frames.add(mark=changed)
        if not changed:
            if not self._frames.marked and "mixed_frames" in self.degrading:
                del self.degrading["mixed_frames"]
        elif self._frames.marked >= _FRAME_CHANGES:
            one, other = sorted(bounded(name, _NAME_LENGTH) for name in (before, frame_id))
            self.degrading["mixed_frames"] = Finding(
                "mixed_frames",
                f"messages of {self._traits.topic} name frames in turn: '{one}' and '{other}'",
                "two sensors on one topic? stop one of them or remap it to a topic of its own",
            )

    def _check_frozen(self, fingerprint: int) -> None:
        """Noise never repeats to the bit, so a robot that stands still is not a frozen sensor."""
        if fingerprint != self._fingerprint:
            self._fingerprint = fingerprint
            self._same = 1
            self.losing.pop("frozen", None)
            return
        self._same += 1
        self.counts["frozen"] += 1
        if self._same >= self._traits.frozen_run and not self._traits.may_repeat:
            self.losing["frozen"] = Finding(
                "frozen",
                f"the last {self._same} messages are identical to the bit",
                f"restart the {self._device} or its driver; "
                f"if it is simulated without noise, set {self._traits.modality.value}.may_repeat",
            )

    def _check_rate(self) -> None:
        """Judge a new rate. One that was only learned may have been left on purpose, as at night.

        A rate at the limit must not come and go: lost for it, a sensor has to be half-way back to fine.
        """
        was_lost = self.losing.pop("rate", None) is not None
        self.degrading.pop("rate", None)
        if not self.meter.expected_hz:
            return
        share = self.meter.rate_hz / self.meter.expected_hz
        finding = Finding(
            "rate",
            f"{self.meter.rate_hz:.1f} Hz of {self.meter.expected_hz:.1f} Hz expected",
            "check load, bandwidth and exposure; "
            f"if it is meant, set {self._traits.modality.value}.expected_rate_hz",
        )
        error = self._config.rate_error
        limit = (error + max(self._config.rate_warn, error)) / 2 if was_lost else error
        if share < limit and self.meter.given:
            self.losing["rate"] = finding
        elif share < self._config.rate_warn:
            self.degrading["rate"] = finding

        if self.meter.expected_hz < self._traits.slowest_hz and not self.meter.given:
            name = self._traits.modality.value
            reason = f"learned rate {self.meter.expected_hz:.2g} Hz is below {self._traits.slowest_hz:g} Hz"
            remedy = f"check the driver's rate; if it is meant, set {name}.expected_rate_hz"
            self.degrading["slow"] = Finding("slow", reason, remedy)
        else:
            self.degrading.pop("slow", None)

    def _check_clock(self) -> None:
        """Stamps far from the clock, again and again, are another clock's; one alone is just a bad stamp."""
        offset_ns = self.offset_ns or 0
        if abs(offset_ns) <= self._apart_ns or not self._compared:
            if self._apart:
                self._apart = 0
                self.degrading.pop(clocks.OTHER_CLOCK, None)
            return
        self._apart += 1
        if self._apart >= self._config.invalid_run:
            detail = f"stamps are {offset_ns / NS_PER_S:.1f} s behind the clock"
            found = clocks.finding(clocks.OTHER_CLOCK, detail, self._traits.topic)
            self.degrading[clocks.OTHER_CLOCK] = found

    def _tell(self, code: str, found: Finding | None) -> None:
        if found is not None:
            self.degrading[code] = found
        elif code in self.degrading:
            del self.degrading[code]

    def _check_content(self, found: Finding | None) -> None:
        content = self._content
        if len(content) == _CONTENT_OF and content[0] is not None:
            self._content_bad -= 1
        content.append(found)
        if found is not None:
            self._content_bad += 1
            if self._content_bad >= self._config.bad_of_five:
                self.degrading["content"] = found
        elif "content" in self.degrading and self._content_bad < self._config.bad_of_five:
            del self.degrading["content"]
