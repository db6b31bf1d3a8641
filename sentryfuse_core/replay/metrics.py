"""Totals of a replay: coverage, masks, latencies, states; nothing here reads a clock."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from sentryfuse_core.account.latency import STAGES, percentiles
from sentryfuse_core.clock import NS_PER_S
from sentryfuse_core.json_values import json_value
from sentryfuse_core.replay.records import SetRecord
from sentryfuse_core.replay.truth import Truth, matched
from sentryfuse_core.types import Modality, ModalitySet, SensorReport, Transition

__all__ = ["ANCHORS", "event_mapping", "output_mapping", "sensor_mapping", "totals"]

ANCHORS = (Modality.LIDAR, Modality.CAMERA)  # kinds, by priority


def totals(
    records: Sequence[SetRecord],
    *,
    stamps: Mapping[str, Collection[int]],
    steps_ms: Sequence[float],
    truth: Truth | None,
) -> dict[str, Any]:
    """Plain values for metrics.json, of all sets; times in ms and s, as the names say.

    Args:
        records: of the sets, in their order.
        stamps: of the messages of each lidar and camera, in ns; each of the first of them should give a set.
        steps_ms: wall time that the whole step of each set took.
        truth: the true boxes, where they are known.
    """
    absences: dict[str, Counter[str]] = {}
    for record in records:
        for name, absence in record.absent.items():
            absences.setdefault(name, Counter())[absence] += 1
    masks = Counter(record.used for record in records)
    levels = Counter(record.level for record in records)
    gaps_ns = (after.stamp_ns - before.stamp_ns for before, after in pairwise(records))
    stages = {stage: [record.latency_ms[stage] for record in records] for stage in STAGES}
    return {
        "coverage": _coverage(records, stamps),
        "sets": len(records),
        "sets_without_some_sensor": sum(bool(record.absent) for record in records),
        "detections": sum(len(record.detections) for record in records),
        "masks": {str(used): masks[used] for used in sorted(masks)},
        "levels": {str(level): levels[level] for level in sorted(levels)},
        "anchors": dict(sorted(Counter(record.anchor for record in records).items())),
        "absences": {sensor: dict(sorted(absences[sensor].items())) for sensor in sorted(absences)},
        "recall_4m": {} if truth is None else _recall(records, truth),
        "longest_gap_between_sets_s": round(max((0, *gaps_ns)) / NS_PER_S, 6),
        "latency_ms": {
            stage: json_value(percentiles(values_ms), 3)
            for stage, values_ms in {**stages, "step": steps_ms}.items()
        },
    }


def _coverage(records: Sequence[SetRecord], stamps: Mapping[str, Collection[int]]) -> dict[str, Any] | None:
    """Share of the best anchor's stamps that a set carries; None without camera and lidar."""
    for name, own in stamps.items():
        if recorded := set(own):
            covered = len(recorded & {record.stamp_ns for record in records})
            share = round(covered / len(recorded), 6)
            return {"anchor": name, "stamps": len(recorded), "sets": covered, "share": share}
    return None


def _recall(records: Sequence[SetRecord], truth: Truth) -> dict[str, dict[str, float]]:
    """How many of the true boxes were found within 4 m, by the sensors that were used."""
    there: Counter[ModalitySet] = Counter()
    found: Counter[ModalitySet] = Counter()
    for record in records:
        boxes = truth.near(record.stamp_ns) or ()
        there[record.used] += len(boxes)
        found[record.used] += matched(record.detections, boxes)
    return {
        str(used): {"found": found[used], "boxes": boxes, "share": round(found[used] / boxes, 4)}
        for used, boxes in sorted(there.items())
        if boxes
    }


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
        "sensor": transition.sensor,
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
