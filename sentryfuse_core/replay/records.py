"""One line of history per set: what sets.jsonl holds and reports are drawn from."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from sentryfuse_core.account import messages
from sentryfuse_core.account.latency import STAGES
from sentryfuse_core.account.messages import Fields
from sentryfuse_core.bags.readers import BagReader
from sentryfuse_core.clock import NS_PER_S
from sentryfuse_core.types import Detection, Modality, ModalitySet, SensorState

__all__ = [
    "SetRecord",
    "counted_notes",
    "from_messages",
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


def from_messages(status: Fields, detections: Fields | None, *, released_ns: int) -> SetRecord:
    """The record of a FusionStatus and its FusedDetectionArray, as plain values by the fields' names."""
    sensors = {Modality(sensor["name"]): sensor for sensor in status["sensors"]}
    offsets_ms = {name: sensor["offset_ms"] for name, sensor in sensors.items() if sensor["in_mask"]}
    told = {item.name: status[item.name] for item in fields(SetRecord) if item.name in status}
    own = {
        "stamp_ns": _stamp_ns(status),
        "released_ns": released_ns,
        "used": ModalitySet(status["mask"]),
        "states": {name: SensorState(sensor["state"]) for name, sensor in sensors.items()},
        "reasons": {name: sensor["reason"] for name, sensor in sensors.items() if sensor["reason"]},
        "absent": {name: sensor["absence"] for name, sensor in sensors.items() if sensor["absence"]},
        "offsets_ms": offsets_ms,
        "skew_ms": max((abs(offsets_ms[name]) for name in _PAIRED if name in offsets_ms), default=0.0),
        "detections": () if detections is None else tuple(map(_detection, detections["detections"])),
        "notes": tuple(status["notes"]),
        "latency_ms": {stage: status[f"{stage}_ms"] for stage in STAGES},
    }
    return SetRecord(**(told | own))


def _stamp_ns(message: Fields) -> int:
    stamp = message["header"]["stamp"]
    return int(stamp["sec"]) * NS_PER_S + int(stamp["nanosec"])


def _detection(box: Fields) -> Detection:
    position, rotation, size = box["pose"]["position"], box["pose"]["orientation"], box["size"]
    return Detection(
        label=box["label"],
        class_id=box["class_id"],
        score=box["score"],
        x=position["x"],
        y=position["y"],
        z=position["z"],
        length=size["x"],
        width=size["y"],
        height=size["z"],
        yaw=messages.yaw_of(rotation["z"], rotation["w"]),
        support=ModalitySet(box["support"]),
    )


def read_results(path: Path) -> Iterator[SetRecord]:
    """The records of a results.mcap in its order; a status whose detections are missing has no boxes."""
    with BagReader(path) as reader:
        names = {
            topic.type_name: topic.name
            for topic in reader.topics()
            if topic.type_name in (messages.STATUS_TYPE, messages.DETECTIONS_TYPE)
        }
        boxes: dict[int, Fields] = {}
        statuses: list[tuple[int, Fields]] = []
        for item in reader.messages(names.values()):
            message = asdict(item.message)
            if item.type_name == messages.DETECTIONS_TYPE:
                boxes[_stamp_ns(message)] = message
            else:
                statuses.append((item.log_time_ns, message))
    for log_time_ns, status in statuses:
        # A status made without any sensor may carry the stamp of the last set, whose boxes are not its own.
        found = boxes.get(_stamp_ns(status)) if status["mask"] else None
        yield from_messages(status, found, released_ns=log_time_ns)
