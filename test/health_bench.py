"""One sensor under test by the health monitor."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from builders import PERIOD_NS, S, sample

from sentryfuse_core.config import Config, override
from sentryfuse_core.health import ContentStats, HealthMonitor
from sentryfuse_core.types import Modality, Payload, Sample, SensorReport, SensorState, Transition


class Bench:
    """One sensor under test: sends messages at its rate and keeps what the monitor said."""

    def __init__(self, modality: Modality, **options: float) -> None:
        self.modality = modality
        self.period_ns = PERIOD_NS[modality]
        self.monitor = HealthMonitor(
            override(Config(), {k.replace("__", "."): v for k, v in options.items()})
        )
        self.now_ns = S
        self.transitions: list[Transition] = []
        self._payload = sample(modality, 0).payload
        self._count = 0

    @property
    def state(self) -> SensorState:
        return self.monitor.state(self.modality)

    @property
    def history(self) -> list[SensorState]:
        return [transition.after for transition in self.transitions]

    def sample(self) -> Sample:
        self._count += 1
        found = sample(self.modality, self.now_ns, payload=self._payload)
        return replace(found, fingerprint=self._count)

    def send(
        self, item: Sample | None = None, *, step_ns: int | None = None, payload: Payload | None = None
    ) -> None:
        """Let a period pass, then send a message: `item` as it is, or a new one, perhaps of this content."""
        self.wait(self.period_ns if step_ns is None else step_ns)
        item = item or self.sample()
        self.monitor.observe(item if payload is None else replace(item, payload=payload))
        self._collect()

    def good(self, seconds: float) -> None:
        for _ in range(max(1, round(seconds * S / self.period_ns))):
            self.send()

    def wait(self, step_ns: int) -> None:
        """Let time pass as a driver does: each deadline at its time."""
        end_ns = self.now_ns + step_ns
        while (deadline_ns := self.monitor.next_deadline_ns()) is not None and deadline_ns <= end_ns:
            self.monitor.update(deadline_ns)
        self.now_ns = end_ns
        self.monitor.update(end_ns)
        self._collect()

    def content(self, stats: Iterable[ContentStats]) -> None:
        for item in stats:
            self.send()
            self.monitor.observe_decoded(self.modality, item, self.now_ns)
            self._collect()

    def invalid(self, count: int = 1, *, reason: str = "truncated", offset_ns: int | None = None) -> None:
        for _ in range(count):
            self.wait(self.period_ns)
            self.monitor.observe_invalid(
                self.modality, reason, "7 bytes of 9", self.now_ns, offset_ns=offset_ns
            )
            self._collect()

    @property
    def report(self) -> SensorReport:
        return self.monitor.reports(self.now_ns)[self.modality]

    def _collect(self) -> None:
        self.transitions += self.monitor.take_transitions()
