"""What speaks against one sensor at the moment: faults by criterion, from its messages and their absence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sentryfuse_core.clock import NS_PER_MS, NS_PER_S
from sentryfuse_core.config import Config
from sentryfuse_core.health.clocks import STAMP_FAULTS
from sentryfuse_core.health.content import CONTENT, REPEATING
from sentryfuse_core.health.criteria import REMEDIES, Finding, find, of_sensor
from sentryfuse_core.health.heartbeat import BACKLOG_NS
from sentryfuse_core.health.rate import RateMeter
from sentryfuse_core.health.stats import ContentStats, ImuValues
from sentryfuse_core.health.tracks import AudioGaps, ImuUnits, Share, StuckAxis
from sentryfuse_core.health.usual import Coverage, Heard, View
from sentryfuse_core.text import bounded
from sentryfuse_core.types import AudioBlock, ImuReading, Modality, Sample

__all__ = ["Evidence"]

_SHARE_OF = 100  # messages that shares are taken of
_CONTENT_OF = 5  # content checks that `bad_of_five` is taken of
_USUAL = {Modality.CAMERA: View, Modality.LIDAR: Coverage, Modality.AUDIO: Heard}
_DEVICES = {
    Modality.CAMERA: "camera",
    Modality.LIDAR: "lidar",
    Modality.IMU: "IMU",
    Modality.AUDIO: "microphone",
}
_NO_FAULT = ("field_absent",)  # an IMU that measures less than the network needs is sound
_SHARED = "several_publishers"
_LOW_TRUST = "low_trust"
_TOLD_LAST = (_SHARED, _LOW_TRUST)  # in this order, after whatever names the cause better
_FRAME_CHANGES = 3  # of the last hundred messages
_NAMES, _NAME_LENGTH = 5, 100  # of strangers, in a reason


class Evidence:
    """Faults that hold now.

    `losing` and `degrading` hold findings by criterion; a criterion takes its finding back by itself when
    it no longer applies. `counts` has out_of_order, duplicate and frozen, `invalid_reasons` the messages
    that could not be used.
    """

    def __init__(self, config: Config, name: str, topic: str) -> None:
        sensor, modality = config.sensor(name), config.kind_of(name)
        self.losing: dict[str, Finding] = {}
        self.degrading: dict[str, Finding] = {}
        self.counts: Counter[str] = Counter()
        self.invalid_reasons: Counter[str] = Counter()
        self.meter = RateMeter(sensor.expected_rate_hz)
        self.arrival_ns: int | None = None  # steady time of the newest message, also of one that was no good,
        # but not of one that only repeats the last stamp
        self.excused_ns = 0  # time since then in which nobody listened
        self.offset_ns: int | None = None  # received minus stamp of the newest message
        self.last_invalid = False
        self.sound = True  # whether the newest reading of an IMU tells how it turned
        self._config = config.health
        self._topic = topic
        self._told = {"topic": topic, "name": name, "device": _DEVICES[modality]}  # in remedies
        self._floor_ns = round(of_sensor(config.health, "timeout_floor_{sensor}_s", modality) * NS_PER_S)
        self._slowest_hz = of_sensor(config.health, "slowest_{sensor}_hz", modality)
        self._frozen_run = of_sensor(config.health, "frozen_{content}", modality)
        self._may_repeat = sensor.may_repeat
        self._checks = [
            (code, check)
            for code, check in CONTENT[modality].items()
            if not (self._may_repeat and code in REPEATING)
        ]
        usual = _USUAL.get(modality)  # nothing is learned of single readings of an IMU
        self._usual: Any = None if usual is None else usual()
        self._shared: Finding | None = None  # who else publishes on the topic
        self._frame_id = ""
        self._frames = Share(_SHARE_OF)  # marks messages that name another frame than the one before
        self._disorder = Share(_SHARE_OF)
        self._invalid = Share(_SHARE_OF)
        self._content = Share(_CONTENT_OF)
        self._trust = Share(_CONTENT_OF)
        self._axes = StuckAxis(config.health)
        self._units = ImuUnits()
        self._gaps = AudioGaps(config.health)
        self._apart_ns = round(config.health.clock_apart_s * NS_PER_S)
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
        periods_ns = self._config.timeout_periods * (self.meter.period_ns or self._floor_ns)
        return max(round(periods_ns), self._floor_ns)

    @property
    def faults(self) -> list[Finding]:
        """The gravest ones, the oldest first; low trust names no cause and stands for others alone."""
        faults = self.losing or self.degrading
        first = (found for code, found in faults.items() if code not in _TOLD_LAST)
        last = (faults[code] for code in _TOLD_LAST if code in faults)
        found = [*first, *last]
        return found[:-1] if len(found) > 1 and found[-1].code == _LOW_TRUST else found

    @property
    def fault(self) -> Finding | None:
        """The one to tell where one is told."""
        return next(iter(self.faults), None)

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
            self._check_imu(payload, sample.stamp_ns)
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
        if reason == "future_stamp" and offset_ns is not None and -offset_ns > self._apart_ns:
            reason = "other_clock"
        what = f"{self._invalid_in_row} messages in a row were malformed"
        self.losing["malformed"] = self._malformed(reason, detail, what)

    def undecodable(self, reason: str, detail: str) -> Finding | None:
        """Take in that a readable message could not be decoded; the finding when that is beyond patience."""
        if reason in _NO_FAULT:
            return None
        if reason == "no_data":  # a stream's first block begins where the window ends; all are a mistake
            self._out_of_window_in_row += 1
            if self._out_of_window_in_row >= self._config.invalid_run:
                told = f"{detail}, {self._out_of_window_in_row} times in a row"
                self.degrading[reason] = self._find(reason, told)
            return None
        self.last_invalid = True
        if reason == "no_pose":  # nothing is wrong with the messages, so losing the sensor would cure nothing
            self.degrading[reason] = self._find(reason, detail)
            return None
        self.invalid_reasons[reason] += 1
        told = f"content cannot be used, {reason}: {detail}"
        if reason == "no_finite_points":  # as a covered lidar writes: to lose it would cure nothing
            self._check_last("content", self._content, self._find("few_points", told))
            return None
        self._undecodable_in_row += 1
        found = replace(self._find(reason if reason in REMEDIES else "malformed", told), code=reason)
        self._check_last("content", self._content, found)
        if self._undecodable_in_row < self._config.invalid_run:
            return None
        self._undecodable_in_row = 0
        return found

    def placed(self) -> None:
        """Take in that there is a pose, whether or not the message was of use otherwise."""
        self.degrading.pop("no_pose", None)

    def decoded(self, stats: ContentStats | None) -> None:
        """Take in that a message was decoded, and what its content looks like; None: nothing to judge by."""
        self._undecodable_in_row = 0
        self._out_of_window_in_row = 0
        self.last_invalid = False
        self.degrading.pop("no_data", None)
        if stats is not None:
            found = self._look(stats)
            self._usual.learn(stats, self._config, fine=found is None)
            self._check_last("content", self._content, found)

    def trusted(self, trust: float, *, poor: bool) -> None:
        """Take in how far the network trusts what a set had of the sensor, 0..1; `poor`: too little."""
        told = f"the network trusts it {trust:.2f} of 1: its data looks poor"
        self._check_last("low_trust", self._trust, self._find("low_trust", told) if poor else None)

    def publishers_changed(self, names: Sequence[str]) -> bool:
        """Take in who publishes on the topic, one or nobody known if all is well; whether that is news."""
        found = None
        if len(names) > 1:
            shown = ", ".join(bounded(name, _NAME_LENGTH) for name in names[:_NAMES])
            more = f" and {len(names) - _NAMES} more" if len(names) > _NAMES else ""
            found = self._find(_SHARED, f"{len(names)} publishers on {self._topic} are mixed: {shown}{more}")
        if found == self._shared:
            return False
        self._shared = found
        self._tell(_SHARED, found)
        return True

    def timing_changed(self, told: Mapping[str, Finding | None]) -> bool:
        """Take in what is told of the stamps against the anchor's, by code; whether any of it is news."""
        news = [code for code, found in told.items() if (found is None) is (code in self.degrading)]
        for code in news:
            self._tell(code, told[code])
        return bool(news)

    def silent(self, now_ns: int) -> bool:
        """Whether nothing has come for too long."""
        if self.arrival_ns is None:
            return False
        silent_ns = now_ns - self.arrival_ns - self.excused_ns
        if silent_ns < self.timeout_ns:
            return False
        silent_ms, allowed_ms = silent_ns / NS_PER_MS, self.timeout_ns / NS_PER_MS
        found = self._find("timeout", f"no new message for {silent_ms:.0f} ms, {allowed_ms:.0f} ms allowed")
        refused = None if self._understood else self.refused
        if refused is not None:
            found = Finding("timeout", f"{refused.reason}; since then {found.reason}", refused.remedy)
        self.losing["timeout"] = found
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
        self._content = Share(_CONTENT_OF)
        self._trust = Share(_CONTENT_OF)
        self._apart = 0
        self._gaps.restart()
        self.degrading.clear()
        self.meter.stopped()

    def forget_stamps(self) -> None:
        """The clock of the stamps has jumped."""
        self._stamp_ns = None
        self._gaps.restart()

    def _find(self, code: str, reason: str, **values: str) -> Finding:
        return find(code, reason, **self._told, **values)

    def _tell(self, code: str, found: Finding | None) -> None:
        if found is not None:
            self.degrading[code] = found
        elif code in self.degrading:
            del self.degrading[code]

    def _malformed(self, reason: str, detail: str, what: str) -> Finding:
        if reason in STAMP_FAULTS:
            return self._find(reason, f"{reason.replace('_', ' ')}: {detail}")
        found = self._find("malformed", f"{what}, the last one {reason}: {detail}")
        if reason == "empty" and self._told["device"] == "lidar":  # some drivers leave out what is no return
            return replace(found, remedy=REMEDIES["few_points"])
        return found

    def _heard(self, now_ns: int, *, invalid: bool) -> None:
        self.arrival_ns = now_ns
        # What had come before nobody listened may be taken in only now: the time since is excused, too.
        self.excused_ns = max(0, min(self._deaf_ns, self._deaf_until_ns - now_ns))
        self.losing.pop("timeout", None)
        self.last_invalid = invalid
        self._invalid_in_row = self._invalid_in_row + 1 if invalid else 0
        if self._invalid.add(mark=invalid):
            self._judge_share("invalid", self._invalid, self._config.invalid_share, "messages were malformed")

    def _judge_share(self, code: str, share: Share, allowed: float, what: str) -> None:
        count = len(share.marks)
        wrong = count > allowed * _SHARE_OF
        self._tell(code, self._find(code, f"{count} of the last {_SHARE_OF} {what}") if wrong else None)

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
        if self._disorder.add(mark=not in_order):
            allowed = self._config.disorder_share
            self._judge_share("disorder", self._disorder, allowed, "stamps were repeated or out of order")

    def _check_source(self, frame_id: str) -> None:
        """Two frames in turn are two sensors on one topic; one change is a driver that was set up anew."""
        if self._shared is not None:
            self.degrading[_SHARED] = self._shared
        before, self._frame_id = self._frame_id, frame_id
        changed = bool(before) and frame_id != before
        if not self._frames.add(mark=changed):
            return
        if not self._frames.marks:
            self.degrading.pop("mixed_frames", None)
        elif changed and len(self._frames.marks) >= _FRAME_CHANGES:
            one, other = sorted(bounded(name, _NAME_LENGTH) for name in (before, frame_id))
            told = f"messages of {self._topic} name frames in turn: '{one}' and '{other}'"
            self.degrading["mixed_frames"] = self._find("mixed_frames", told)

    def _check_frozen(self, fingerprint: int) -> None:
        """Noise never repeats to the bit, so a robot that stands still is not a frozen sensor."""
        if fingerprint != self._fingerprint:
            self._fingerprint = fingerprint
            self._same = 1
            self.losing.pop("frozen", None)
            return
        self._same += 1
        self.counts["frozen"] += 1
        if self._same >= self._frozen_run and not self._may_repeat:
            told = f"the last {self._same} messages are identical to the bit"
            self.losing["frozen"] = self._find("frozen", told)

    def _check_rate(self) -> None:
        """Judge a new rate. One that was only learned may have been left on purpose, as at night.

        A rate at the limit must not come and go: lost for it, a sensor has to be half-way back to fine.
        """
        was_lost = "rate" in self.losing
        expected_hz, given = self.meter.expected_hz, self.meter.given
        if not expected_hz:
            return
        found = self._find("rate", f"{self.meter.rate_hz:.1f} Hz of {expected_hz:.1f} Hz expected")
        share, warn, error = self.meter.rate_hz / expected_hz, self._config.rate_warn, self._config.rate_error
        lost = given and share < ((error + max(warn, error)) / 2 if was_lost else error)
        for faults, holds in ((self.losing, lost), (self.degrading, not lost and share < warn)):
            if holds:
                faults["rate"] = found  # where it stood, if it stays: the oldest is told first
            else:
                faults.pop("rate", None)

        slow = None
        if expected_hz < self._slowest_hz and not given:
            told = f"learned rate {expected_hz:.2g} Hz is below {self._slowest_hz:g} Hz"
            slow = self._find("slow", told)
        self._tell("slow", slow)

    def _check_clock(self) -> None:
        """Stamps far from the clock, again and again, are another clock's; one alone is just a bad stamp."""
        offset_ns = self.offset_ns or 0
        if abs(offset_ns) <= self._apart_ns or not self._compared:
            if self._apart:
                self._apart = 0
                self.degrading.pop("other_clock", None)
            return
        self._apart += 1
        if self._apart >= self._config.invalid_run:
            detail = f"stamps are {offset_ns / NS_PER_S:.1f} s behind the clock"
            self.degrading["other_clock"] = self._malformed("other_clock", detail, "")

    def _check_imu(self, reading: ImuReading, stamp_ns: int) -> None:
        gyro, accel = reading.angular_velocity, reading.linear_acceleration
        values = ([] if gyro is None else gyro.tolist(), [] if accel is None else accel.tolist())
        found = self._look(values)
        stuck = None if self._may_repeat else self._axes.look(values, stamp_ns)
        self._check_last("content", self._content, found or stuck)
        self._tell("units", self._units.look(values, stamp_ns, sound=found is None))
        doubtful = self._axes.doubtful and not self._may_repeat
        self.sound = not (found or stuck or doubtful or self._units.turns_wrongly)

    def _look(self, content: ContentStats | ImuValues) -> Finding | None:
        """The first criterion of the sensor's content that is not met."""
        for code, check in self._checks:
            reason = check(content, self._usual, self._config)
            if reason is not None:
                return self._find(code, reason)
        return None

    def _check_last(self, what: str, last: Share, found: Finding | None) -> None:
        news = last.add(mark=found is not None)
        if news and len(last.marks) < self._config.bad_of_five:
            self.degrading.pop(what, None)
        elif found is not None:
            self.degrading[what] = found
