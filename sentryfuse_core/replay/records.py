"""One line of history per set: what sets.jsonl holds and reports are drawn from."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sentryfuse_core.account import messages
from sentryfuse_core.account.latency import STAGES, stage_values
from sentryfuse_core.bags.readers import BagReader
from sentryfuse_core.clock import NS_PER_MS, NS_PER_S
from sentryfuse_core.types import Detection, FusionResult, Modality, ModalitySet, SensorState

__all__ = [
    "SetRecord",
    "counted_notes",
    "from_result",
    "json_line",
    "read_results",
    "rounded",
]

# A measured value: a number that stands by itself, and not one in the name of a frame, topic or file.
_VALUE = re.compile(r"(?<![\w./-])\d+(?:\.\d+)?")

_PAIRED = (Modality.CAMERA, Modality.LIDAR)  # the others come as windows that end at the stamp


@dataclass(frozen=True)
class SetRecord:
    """A set and what became of it."""

    sequence: int
    epoch: int
    stamp_ns: int
    released_ns: int  # on the clock of the recording
    anchor: str
    used: ModalitySet
    states: Mapping[Modality, SensorState]
    reasons: Mapping[Modality, str]  # of states that are not OK
    absent: Mapping[Modality, str]
    offsets_ms: Mapping[Modality, float]  # of the samples used
    wait_ms: float
    skew_ms: float
    level: int
    level_reason: str  # why this level
    pruning: str
    ratio: float
    heads_kept: int
    channels_kept: int
    gmacs: float
    severity: int
    detections: tuple[Detection, ...]
    notes: tuple[str, ...]
    latency_ms: Mapping[str, float]  # by stage; pre, infer, post and e2e: wall-clock


def from_result(result: FusionResult, *, released_ns: int, e2e_ms: float) -> SetRecord:
    """The record of a fresh result."""
    synced, plan = result.synced, result.plan
    return SetRecord(
        sequence=synced.sequence,
        epoch=synced.epoch,
        stamp_ns=synced.stamp_ns,
        released_ns=released_ns,
        anchor=synced.anchor_name,
        used=result.used,
        states={modality: report.state for modality, report in result.reports.items()},
        reasons={modality: report.reason for modality, report in result.reports.items() if report.reason},
        absent={modality: absence.value for modality, absence in result.absent.items()},
        offsets_ms={modality: synced.offset_ns(modality) / NS_PER_MS for modality in result.used},
        wait_ms=synced.wait_ns / NS_PER_MS,
        skew_ms=synced.skew_ns / NS_PER_MS,
        level=plan.level,
        level_reason=plan.reason,
        pruning=plan.kind,
        ratio=plan.ratio,
        heads_kept=plan.heads_kept,
        channels_kept=plan.channels_kept,
        gmacs=plan.gmacs,
        severity=messages.severity(result),
        detections=result.detections,
        notes=(*result.errors, *result.notes),
        latency_ms=stage_values(result.times, e2e_ms),
    )


def counted_notes(records: Sequence[SetRecord]) -> Iterator[str]:
    """What the sets' notes say and how often; those that differ in values alone are one, the last."""
    kinds: dict[str, list[str]] = {}
    for record in records:
        for kind, note in {_VALUE.sub("#", note): note for note in record.notes}.items():
            kinds.setdefault(kind, []).append(note)
    for notes in kinds.values():
        note, count = notes[-1], len(notes)
        about = [f"in {count} of {len(records)} sets"] if count < len(records) else []
        if len(set(notes)) > 1:
            about.append("these values in the last")
        yield f"{note} ({', '.join(about)})" if about else note


def json_line(record: SetRecord) -> str:
    """The record as one line of JSON without anything measured by wall clock: equal runs give equal lines.

    A budget of milliseconds is the exception: they decide the level and are in its reason.
    """
    plain: dict[str, Any] = {}
    for name, value in vars(record).items():
        if name == "used":
            plain |= {"mask": record.used.bits, "used": list(record.used)}
        elif name == "detections":  # mm and a thousandth of a score are more than a detection is good for
            plain[name] = [
                rounded(vars(item), 3) | {"support": item.support.bits} for item in record.detections
            ]
        elif name == "states":
            plain[name] = {modality: state.name for modality, state in record.states.items()}
        elif name != "latency_ms":
            plain[name] = rounded(value, 6)
    return json.dumps(plain, allow_nan=False)


def rounded(value: Any, digits: int) -> Any:
    """The value with every float in it rounded; None for NaN, which JSON does not have."""
    if isinstance(value, Mapping):
        return {name: rounded(inner, digits) for name, inner in value.items()}
    if not isinstance(value, float):
        return value
    return None if math.isnan(value) else round(value, digits)


def _from_messages(status: Any, detections: Any | None, *, log_time_ns: int) -> SetRecord:
    """The record of a published FusionStatus and its FusedDetectionArray, as read from a bag or received."""
    sensors = {Modality(sensor.name): sensor for sensor in status.sensors}
    offsets_ms = {name: float(sensor.offset_ms) for name, sensor in sensors.items() if sensor.in_mask}
    return SetRecord(
        sequence=int(status.sequence),
        epoch=int(status.epoch),
        stamp_ns=_stamp_ns(status),
        released_ns=log_time_ns,
        anchor=status.anchor,
        used=ModalitySet(int(status.mask)),
        states={modality: SensorState(int(sensor.state)) for modality, sensor in sensors.items()},
        reasons={modality: sensor.reason for modality, sensor in sensors.items() if sensor.reason},
        absent={modality: sensor.absence for modality, sensor in sensors.items() if sensor.absence},
        offsets_ms=offsets_ms,
        wait_ms=float(status.wait_ms),
        skew_ms=max((abs(offsets_ms[name]) for name in _PAIRED if name in offsets_ms), default=0.0),
        level=int(status.level),
        level_reason=status.level_reason,
        pruning=status.pruning,
        ratio=float(status.ratio),
        heads_kept=int(status.heads_kept),
        channels_kept=int(status.channels_kept),
        gmacs=float(status.gmacs),
        severity=int(status.severity),
        detections=() if detections is None else tuple(_detection(item) for item in detections.detections),
        notes=tuple(status.notes),
        latency_ms={stage: float(getattr(status, f"{stage}_ms")) for stage in STAGES},
    )


def _stamp_ns(message: Any) -> int:
    return int(message.header.stamp.sec) * NS_PER_S + int(message.header.stamp.nanosec)


def _detection(item: Any) -> Detection:
    position, rotation, size = item.pose.position, item.pose.orientation, item.size
    return Detection(
        label=item.label,
        class_id=int(item.class_id),
        score=float(item.score),
        x=float(position.x),
        y=float(position.y),
        z=float(position.z),
        length=float(size.x),
        width=float(size.y),
        height=float(size.z),
        yaw=messages.yaw_of(float(rotation.z), float(rotation.w)),
        support=ModalitySet(int(item.support)),
    )


def read_results(path: Path) -> Iterator[SetRecord]:
    """The records of a results.mcap in its order; a status whose detections are missing has no boxes."""
    with BagReader(path) as reader:
        names = {
            topic.type_name: topic.name
            for topic in reader.topics()
            if topic.type_name in (messages.STATUS_TYPE, messages.DETECTIONS_TYPE)
        }
        boxes: dict[int, Any] = {}
        statuses: list[tuple[int, Any]] = []
        for item in reader.messages(names.values()):
            if item.type_name == messages.DETECTIONS_TYPE:
                boxes[_stamp_ns(item.message)] = item.message
            else:
                statuses.append((item.log_time_ns, item.message))
    for log_time_ns, status in statuses:
        # A status made without any sensor may carry the stamp of the last set, whose boxes are not its own.
        found = boxes.get(_stamp_ns(status)) if status.mask else None
        yield _from_messages(status, found, log_time_ns=log_time_ns)
