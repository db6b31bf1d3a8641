"""Totals of a replay: coverage, masks, latencies, states; nothing here reads a clock."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sentryfuse_core.account.latency import STAGES, percentiles, stage_values
from sentryfuse_core.clock import NS_PER_S
from sentryfuse_core.types import FusionResult, Modality, ModalitySet, SensorReport, Transition

__all__ = [
    "RunMetrics",
    "event_mapping",
    "output_mapping",
    "sensor_mapping",
]

_ANCHORS = (Modality.LIDAR, Modality.CAMERA)  # by priority


@dataclass
class RunMetrics:
    """Totals of one replay, added to set by set."""

    sets: int = 0
    detections: int = 0
    partial: int = 0
    masks: Counter[int] = field(default_factory=Counter)
    levels: Counter[int] = field(default_factory=Counter)
    anchors: Counter[str] = field(default_factory=Counter)
    absences: Counter[tuple[str, str]] = field(default_factory=Counter)
    stages: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in (*STAGES, "step")})
    stamps: dict[Modality, set[int]] = field(default_factory=lambda: {name: set() for name in _ANCHORS})
    moments: set[int] = field(default_factory=set)  # stamps of the sets
    truth: dict[int, tuple[int, int]] = field(default_factory=dict)  # boxes found and there, by mask
    longest_gap_s: float = 0.0
    _last_stamp_ns: int | None = None

    def add(self, result: FusionResult, *, e2e_ms: float, step_ms: float) -> None:
        """Enter one set; `step_ms` is the wall time of the whole step."""
        synced = result.synced
        self.sets += 1
        self.moments.add(synced.stamp_ns)
        self.detections += len(result.detections)
        self.partial += bool(result.absent)
        self.masks[result.used.bits] += 1
        self.levels[result.plan.level] += 1
        self.anchors["tick" if synced.anchor is None else synced.anchor.value] += 1
        for modality, absence in result.absent.items():
            self.absences[modality.value, absence.value] += 1
        for name, value in stage_values(result.times, e2e_ms).items():
            self.stages[name].append(value)
        self.stages["step"].append(step_ms)
        if self._last_stamp_ns is not None:
            self.longest_gap_s = max(self.longest_gap_s, (synced.stamp_ns - self._last_stamp_ns) / NS_PER_S)
        self._last_stamp_ns = synced.stamp_ns

    def add_stamp(self, modality: Modality, stamp_ns: int) -> None:
        """Enter a message's stamp; of camera and lidar alone each should give a set."""
        if modality in self.stamps:
            self.stamps[modality].add(stamp_ns)

    def coverage(self) -> dict[str, Any] | None:
        """Share of the best anchor's stamps that a set carries; None without camera and lidar."""
        for modality, stamps in self.stamps.items():
            if stamps:
                covered = len(stamps & self.moments)
                share = round(covered / len(stamps), 6)
                return {"anchor": modality.value, "stamps": len(stamps), "sets": covered, "share": share}
        return None

    def add_truth(self, used: ModalitySet, *, found: int, boxes: int) -> None:
        """Enter how many of a set's true boxes were found within 4 m."""
        before = self.truth.get(used.bits, (0, 0))
        self.truth[used.bits] = (before[0] + found, before[1] + boxes)

    def to_mapping(self) -> dict[str, Any]:
        """Plain values for metrics.json; times in ms and s, as the names say."""
        absences: dict[str, dict[str, int]] = {}
        for (sensor, reason), count in sorted(self.absences.items()):
            absences.setdefault(sensor, {})[reason] = count
        return {
            "coverage": self.coverage(),
            "sets": self.sets,
            "sets_without_some_sensor": self.partial,
            "detections": self.detections,
            "masks": {str(ModalitySet(bits)): count for bits, count in sorted(self.masks.items())},
            "levels": {str(level): count for level, count in sorted(self.levels.items())},
            "anchors": dict(sorted(self.anchors.items())),
            "absences": absences,
            "recall_4m": {
                str(ModalitySet(bits)): {"found": found, "boxes": boxes, "share": round(found / boxes, 4)}
                for bits, (found, boxes) in sorted(self.truth.items())
                if boxes
            },
            "longest_gap_between_sets_s": round(self.longest_gap_s, 6),
            "latency_ms": {name: _rounded(percentiles(values)) for name, values in self.stages.items()},
        }


def _rounded(values: Mapping[str, float]) -> dict[str, float | None]:
    """JSON has no NaN: null where nothing was measured."""
    return {name: None if math.isnan(value) else round(value, 3) for name, value in values.items()}


def sensor_mapping(report: SensorReport) -> dict[str, Any]:
    """A sensor's part of metrics.json."""
    return {
        "topic": report.topic,
        "state": "NEVER" if math.isnan(report.age_ms) else report.state.name,
        "reason": report.reason,
        "rate_hz": round(report.rate_hz, 3),
        "late": report.late,
        "out_of_order": report.out_of_order,
        "duplicate": report.duplicate,
        "invalid": report.invalid,
        "invalid_reasons": dict(report.invalid_reasons),
        "frozen": report.frozen,
        "epoch": report.epoch,
    }


def event_mapping(transition: Transition, *, start_ns: int) -> dict[str, Any]:
    """A change of state in metrics.json; `t` in s from the start of the recording."""
    return {
        "t": round((transition.at_ns - start_ns) / NS_PER_S, 6),
        "sensor": transition.modality.value,
        "before": transition.before.name,
        "after": transition.after.name,
        "code": transition.code,
        "reason": transition.reason,
        "remedy": transition.remedy,
    }


def output_mapping(
    released_ns: Iterable[int], *, start_ns: int, end_ns: int, holds_ns: int
) -> dict[str, float | None]:
    """How much of a run had an output no older than `holds_ns`, 0..1, and the longest time without a new one.

    `released_ns` rises; both count from the start to the end of the run.
    """
    if end_ns <= start_ns:
        return {"share": None, "longest_silence_s": None}
    silent_ns, longest_ns, last_ns = 0, 0, start_ns
    covered_until_ns = start_ns
    for now_ns in (*(at_ns for at_ns in released_ns if at_ns < end_ns), end_ns):
        silent_ns += max(0, now_ns - covered_until_ns)
        longest_ns = max(longest_ns, now_ns - last_ns)
        covered_until_ns, last_ns = now_ns + holds_ns, now_ns
    share = 1.0 - silent_ns / (end_ns - start_ns)
    return {"share": round(share, 6), "longest_silence_s": round(longest_ns / NS_PER_S, 6)}
