"""The state machine of one sensor: INIT -> OK <-> DEGRADED -> LOST -> RECOVERING -> OK."""

from __future__ import annotations

from collections.abc import Sequence

from sentryfuse_core.clock import NS_PER_MS, NS_PER_S
from sentryfuse_core.config import Config
from sentryfuse_core.health.criteria import Finding
from sentryfuse_core.health.evidence import Evidence
from sentryfuse_core.types import Sample, SensorReport, SensorState, Transition

__all__ = ["USED", "SensorHealth"]

USED = (SensorState.OK, SensorState.DEGRADED)
_NOTHING = Finding("", "", "")


class SensorHealth:
    """Drops trust in a sensor as soon as the evidence says so, restores it slowly."""

    def __init__(self, config: Config, name: str, topic: str) -> None:
        self.state = SensorState.INIT
        self.evidence = Evidence(config, name, topic)
        self._name, self._kind = name, config.kind_of(name)
        self._topic = topic
        self._enabled = config.sensor(name).enabled
        self._told = Finding(
            "never", "nothing received yet", f"check who publishes {topic}, its type and its QoS"
        )
        self._since_ns: int | None = None
        self._held: set[str] = set()  # codes of what was told while DEGRADED and holds
        self._known_ns: dict[str, int] = {}  # when each held last
        self._good = 0  # good messages that count towards restoring trust
        self._clean_ns = 0  # since when nothing was wrong
        self._restored_ns: int | None = None
        self._out_since_ns = 0  # when it last spoke before the drop that lasts, or lasted
        self._recover_good = config.health.recover_good
        self._relapse_ns = round(config.health.relapse_s * NS_PER_S)
        self._first_hold_ns = round(config.health.recover_s * NS_PER_S)
        self._last_hold_ns = max(self._first_hold_ns, round(config.health.hold_cap_s * NS_PER_S))
        self._hold_ns = self._first_hold_ns
        self._drop_counted = False  # whether the hold was chosen for the drop that lasts
        self._fault_since_ns: int | None = None  # since when a recovering sensor is at fault again

    @property
    def timeout_at_ns(self) -> int | None:
        """Steady time at which the sensor is lost if nothing comes; None: it is not speaking."""
        if self.evidence.arrival_ns is None or self.state is SensorState.LOST:
            return None
        patience_ns = self.evidence.timeout_ns
        if self._fault_since_ns is not None and "timeout" in self.evidence.losing:
            patience_ns = max(patience_ns, self._hold_ns)
        return self.evidence.arrival_ns + self.evidence.excused_ns + patience_ns

    def observe(self, sample: Sample) -> Transition | None:
        """A message that could be read."""
        now_ns = self._heard(sample.arrival_ns)
        if self.evidence.readable(sample, now_ns):
            self._good += 1
        return self.settle(now_ns)

    def observe_invalid(
        self, reason: str, detail: str, now_ns: int, *, offset_ns: int | None = None
    ) -> Transition | None:
        """A message that could not be read, or whose stamp, `offset_ns` behind the clock, cannot be right."""
        now_ns = self._heard(now_ns)
        self.evidence.unreadable(reason, detail, now_ns, offset_ns=offset_ns)
        self._good = 0
        return self.settle(now_ns)

    def observe_undecodable(self, reason: str, detail: str, now_ns: int) -> Transition | None:
        """A message that looked right when it came and turned out bad when it was decoded."""
        self._good = 0
        hopeless = self.evidence.undecodable(reason, detail)
        if hopeless is None:
            return self.settle(now_ns)
        # Nothing is decoded of a lost sensor, so this fault cannot end by itself: drop once, then try again.
        self.evidence.losing["undecodable"] = hopeless
        transition = self.settle(now_ns)
        del self.evidence.losing["undecodable"]
        return transition

    def update(self, now_ns: int) -> Transition | None:
        """Let the steady time pass."""
        if self.state is SensorState.LOST or not self.evidence.silent(now_ns):
            return None
        return self.settle(now_ns)

    def report(self, now_ns: int, *, late: int, epoch: int) -> SensorReport:
        """What is known at steady time `now_ns`; `late` and `epoch` are the synchroniser's."""
        evidence, told = self.evidence, self._explanation()
        nan = float("nan")
        return SensorReport(
            modality=self._kind,
            topic=self._topic,
            state=self.state,
            reason=told.reason,
            remedy=told.remedy,
            since_s=0.0 if self._since_ns is None else max(0, now_ns - self._since_ns) / NS_PER_S,
            rate_hz=evidence.meter.current_hz,
            expected_hz=evidence.meter.expected_hz,
            age_ms=nan if evidence.arrival_ns is None else max(0, now_ns - evidence.arrival_ns) / NS_PER_MS,
            offset_ms=nan if evidence.offset_ns is None else evidence.offset_ns / NS_PER_MS,
            late=late,
            out_of_order=evidence.counts["out_of_order"],
            duplicate=evidence.counts["duplicate"],
            invalid=sum(evidence.invalid_reasons.values()),
            frozen=evidence.counts["frozen"],
            epoch=epoch,
            invalid_reasons=dict(evidence.invalid_reasons),
            code=told.code,
            name=self._name,
        )

    def _explanation(self) -> Finding:
        """Why the sensor is in its state, as of now; empty when OK."""
        if not self._enabled:
            return Finding("disabled", "disabled by parameter", f"set {self._name}.enabled to use it")
        if self.state is SensorState.OK:
            return _NOTHING
        faults = self.evidence.faults
        if faults and self.state in (SensorState.DEGRADED, SensorState.LOST):
            return _all_of(faults) if self.state is SensorState.DEGRADED else faults[0]
        if self.state is SensorState.INIT:
            return self.evidence.refused or self._told
        if self.state is SensorState.RECOVERING and self.evidence.losing:
            again = next(iter(self.evidence.losing.values()))
            return Finding("recovering", f"came back and failed again: {again.reason}", again.remedy)
        return _all_of((self._told, *faults))  # of a sensor that recovers: what will make it DEGRADED

    def _heard(self, now_ns: int) -> int:
        """Steady time of a message, which never goes back."""
        if self._since_ns is None:
            self._since_ns = now_ns
        return now_ns if self.evidence.arrival_ns is None else max(now_ns, self.evidence.arrival_ns)

    def settle(self, now_ns: int) -> Transition | None:
        """Move to the state that the faults call for, or, with none, back up when that is earned.

        To be called after whatever was told to `evidence`.
        """
        state, degrading = self.state, bool(self.evidence.degrading)
        after = state
        if state is SensorState.RECOVERING:
            after = self._recovery(now_ns)
        elif self.evidence.losing:
            after = SensorState.LOST
        elif state is SensorState.LOST:
            if not self.evidence.last_invalid:
                after = SensorState.RECOVERING
        elif state is SensorState.INIT:
            if self._good:  # one is enough: a robot that starts should see at once
                after = SensorState.DEGRADED if degrading else SensorState.OK
        elif degrading:
            after = SensorState.DEGRADED
            self._good, self._clean_ns = 0, now_ns
        elif state is SensorState.DEGRADED and self._earned(now_ns):
            after = SensorState.OK
        if after is not state:
            return self._enter(after, now_ns)
        return self._found_more(now_ns) if after is SensorState.DEGRADED else None

    def _found_more(self, now_ns: int) -> Transition | None:
        """A further finding on a DEGRADED sensor; again only once it was gone for the longest hold.

        Else one at its limit would be told for ever.
        """
        faults, gone_ns = self.evidence.faults, now_ns - self._last_hold_ns
        news = [
            item
            for item in faults
            if item.code not in self._held and self._known_ns.get(item.code, gone_ns) <= gone_ns
        ]
        self._held = {item.code for item in faults} - {item.code for item in news[1:]}  # one at a time
        unnamed = self._known_ns.keys() & self.evidence.degrading.keys()  # low trust beside its cause
        self._known_ns |= dict.fromkeys(self._held | unnamed, now_ns)
        if not news:
            return None
        self._told = news[0]
        return self._change(self.state, self._told, now_ns)

    def _recovery(self, now_ns: int) -> SensorState:
        """Where a recovering sensor goes: a fault makes it start over, one as long as the hold loses it.

        It is out of the mask all the same, so a sensor that comes and goes is spared the way back to LOST.
        """
        if self.evidence.losing:
            if self._fault_since_ns is None:
                silent = "timeout" in self.evidence.losing and self.evidence.arrival_ns is not None
                self._fault_since_ns = self.evidence.arrival_ns if silent else now_ns
                self._hold_ns = min(2 * self._hold_ns, self._last_hold_ns)
                self.evidence.forget_content()
            self._good, self._clean_ns = 0, now_ns
            held = now_ns - (self._fault_since_ns or 0) < self._hold_ns
            return SensorState.RECOVERING if held else SensorState.LOST
        if self._fault_since_ns is not None:
            self._fault_since_ns = None
            self._clean_ns = now_ns
        if not self._earned(now_ns):
            return SensorState.RECOVERING
        return SensorState.DEGRADED if self.evidence.degrading else SensorState.OK

    def _earned(self, now_ns: int) -> bool:
        return self._good >= self._recover_good and now_ns - self._clean_ns >= self._hold_ns

    def _enter(self, after: SensorState, now_ns: int) -> Transition:
        before, self.state = self.state, after
        fault = self.evidence.fault
        if after is SensorState.RECOVERING:
            self._told = Finding(
                "recovering",
                f"arriving again after: {self._told.reason}",
                f"wait: used again after {self._recover_good} good messages and "
                f"{self._hold_ns / NS_PER_S:.1f} s",
            )
        elif fault:
            self._told = fault
        if before in USED and not self._drop_counted:
            self._choose_hold()
            self._drop_counted = True
        if after is SensorState.LOST:
            self.evidence.forget_content()
        if before is SensorState.RECOVERING or (before is SensorState.DEGRADED and after is SensorState.OK):
            self._restored_ns = now_ns
            self._drop_counted = False
        self._fault_since_ns = None
        self._since_ns = now_ns
        self._good, self._clean_ns = 0, now_ns
        self._known_ns, self._held = {self._told.code: now_ns}, {self._told.code}
        return self._change(before, _NOTHING if after is SensorState.OK else self._told, now_ns)

    def _change(self, before: SensorState, told: Finding, now_ns: int) -> Transition:
        return Transition(
            self._kind, now_ns, before, self.state, told.reason, told.remedy, code=told.code, name=self._name
        )

    def _choose_hold(self) -> None:
        """How long the next recovery takes: at first `recover_s`, after a relapse longer.

        A relapse soon after the last recovery doubles it. A sensor that was well for no longer than it had
        been out before comes and goes, and must not be believed at each return however slowly it does: it
        has to hold for twice the time that it was there.
        """
        until_ns = self.evidence.arrival_ns or 0
        out_ns = (self._restored_ns or 0) - self._out_since_ns
        self._out_since_ns = until_ns
        if self._restored_ns is None or until_ns - self._restored_ns > self._relapse_ns:
            self._hold_ns = self._first_hold_ns
            return
        well_ns = max(until_ns - self._restored_ns, 0)
        there_ns = self._hold_ns + well_ns if well_ns <= out_ns else self._hold_ns
        self._hold_ns = min(2 * there_ns, self._last_hold_ns)


def _all_of(faults: Sequence[Finding]) -> Finding:
    """Findings that hold at the same time as one: each can be mended by itself; the first has the code."""
    texts = [item.reason for item in faults], [item.remedy for item in faults]
    reason, remedy = ("; also ".join(dict.fromkeys(each)) for each in texts)
    return Finding(faults[0].code, reason, remedy)
