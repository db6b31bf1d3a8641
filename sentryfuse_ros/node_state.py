"""What a fusion node says of itself, gathered from its messages; knows neither ROS nor the terminal."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sentryfuse_core.account.diagnostics import NODE_NAME, status_name
from sentryfuse_core.account.latency import STAGES, LatencyWindow
from sentryfuse_core.clock import NS_PER_S

__all__ = ["PARTS", "Latency", "NodeState", "Snapshot"]

PARTS = tuple(stage for stage in STAGES if stage != "e2e")  # what `e2e` is made of, in order
_RATE_S = 5.0  # sets a second are counted over this time
_EVENT_S = 30.0  # a restart or a time jump is told for so long
_LATENCY, _INFERENCE = "latency", "inference"
_RANKS = ("p50", "p95", "p99", "max")


@dataclass(frozen=True)
class Latency:
    """Milliseconds of one stage over the window, and of the last set."""

    p50: float
    p95: float
    p99: float
    max: float
    last: float


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """All that is known at one moment; NaN or None where it is not known."""

    node: str
    status: Any  # the last FusionStatus
    since_status_s: float
    detections: Sequence[Any] | None  # FusedDetection
    sets_per_s: float
    sets_seen: int
    latency_ms: Mapping[str, Latency]  # by stage
    window: str  # whose window the percentiles are over
    window_sets: int
    deadline_miss: float  # share, 0..1
    switches: int | None
    switch_us_p99: float
    widths: str  # of the parts that run; empty where the node does not tell
    trust: str  # in each sensor; empty or '-' where it is not told
    events: tuple[str, ...]  # restarts and time jumps of late


@dataclass
class NodeState:
    """Takes messages with the steady time of their arrival in s; no `snapshot` before the first status."""

    node: str
    window_s: float  # of percentiles taken here while the node's own are not known
    _status: Any = None
    _at_s: float = math.nan
    _seen: int = 0
    _detections: Sequence[Any] | None = None
    _arrivals: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=1000))
    _window: LatencyWindow = field(init=False)
    _diagnosed: dict[str, dict[str, str]] = field(default_factory=dict)
    _events: list[tuple[float, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._window = LatencyWindow(self.window_s)

    def take_status(self, status: Any, now_s: float) -> None:
        """Take a FusionStatus."""
        last = self._status
        if last is not None and status.sequence < last.sequence:
            self._restart(f"the node began anew after set {last.sequence}", now_s)
        elif last is not None and status.epoch != last.epoch:
            self._events.append((now_s, f"time jump: epoch {last.epoch} -> {status.epoch}"))
        fresh = self._status is None or status.sequence != self._status.sequence
        self._status, self._at_s = status, now_s
        if not fresh:  # the last one again, while no sensor sends
            return
        self._seen += 1
        self._arrivals.append((now_s, status.sequence))
        values = {stage: float(getattr(status, f"{stage}_ms")) for stage in STAGES}
        self._window.add(round(now_s * NS_PER_S), values, missed=False)

    def take_detections(self, array: Any) -> None:
        """Take a FusedDetectionArray."""
        self._detections = array.detections

    def take_diagnostics(self, array: Any) -> None:
        """Take a DiagnosticArray if it is this node's: that of another one has other names or topics.

        A node of an earlier release has the default names whatever its own is.
        """
        found = {status.name: status for status in array.status}
        if self._status is None:
            return
        for node in (self.node, NODE_NAME):
            named = {name: found.get(status_name(node, name)) for name in (_LATENCY, _INFERENCE)}
            sensors = {status_name(node, f"sensor/{item.name}"): item.topic for item in self._status.sensors}
            mine = all(name in found and found[name].hardware_id == topic for name, topic in sensors.items())
            if mine and named[_LATENCY] is not None:
                self._diagnosed = {
                    name: {item.key: item.value for item in status.values}
                    for name, status in named.items()
                    if status is not None
                }
                return

    @property
    def diagnosed(self) -> bool:
        """Whether the node's own figures have come."""
        return bool(self._diagnosed)

    def since_status_s(self, now_s: float) -> float:
        """How long ago the last status came; NaN before the first."""
        return now_s - self._at_s

    def snapshot(self, now_s: float) -> Snapshot | None:
        """What is known at `now_s`."""
        status = self._status
        if status is None:
            return None
        inference = self._diagnosed.get(_INFERENCE, {})
        runs = bool(status.used)  # else what was told of the network is of a set before
        latency, window, count = self._latency(now_s)
        return Snapshot(
            node=self.node,
            status=status,
            since_status_s=self.since_status_s(now_s),
            detections=self._detections if runs else (),
            sets_per_s=self._sets_per_s(now_s),
            sets_seen=self._seen,
            latency_ms=latency,
            window=window,
            window_sets=count,
            deadline_miss=_number(self._diagnosed.get(_LATENCY, {}).get("deadline_miss")),
            switches=int(inference["switches"]) if "switches" in inference else None,
            switch_us_p99=_number(inference.get("switch_us_p99")),
            widths=inference.get("widths", "") if runs else "",
            trust=inference.get("trust", "") if runs else "",
            events=tuple(
                f"{text}, {now_s - at_s:.0f} s ago" for at_s, text in self._events if now_s - at_s < _EVENT_S
            ),
        )

    def _latency(self, now_s: float) -> tuple[dict[str, Latency], str, int]:
        """Latencies by stage, whose window they are over, and its sets."""
        told = self._diagnosed.get(_LATENCY, {})
        if told.get("n", "0") != "0":
            ranks = {stage: [_number(told.get(f"{stage}_ms_{rank}")) for rank in _RANKS] for stage in STAGES}
            window, count = f"the node's last {_number(told.get('window_s')):g} s", int(told["n"])
        else:
            self._window.expire(round(now_s * NS_PER_S))
            ranks = {stage: [self._window.stage(stage)[rank] for rank in _RANKS] for stage in STAGES}
            window, count = f"seen here in the last {self.window_s:g} s", len(self._window)
        last = self._status
        found = {stage: Latency(*ranks[stage], float(getattr(last, f"{stage}_ms"))) for stage in STAGES}
        return found, window, count

    def _sets_per_s(self, now_s: float) -> float:
        if self._arrivals and self._at_s > self._arrivals[-1][0]:  # said again: no sensor sends
            return 0.0
        recent = [item for item in self._arrivals if item[0] >= now_s - _RATE_S]
        if len(recent) < 2:
            return math.nan
        (first_s, first), (last_s, last) = recent[0], recent[-1]
        return (last - first) / (last_s - first_s) if last_s > first_s else math.nan

    def _restart(self, what: str, now_s: float) -> None:
        """Forget what the node before said."""
        self._events.append((now_s, what))
        self._arrivals.clear()
        self._window = LatencyWindow(self.window_s)
        self._diagnosed.clear()
        self._detections = None


def _number(text: str | None) -> float:
    return math.nan if text is None else float(text)
