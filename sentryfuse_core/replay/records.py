"""One line of history per set: what sets.jsonl holds and reports are drawn from."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from sentryfuse_core.account import messages
from sentryfuse_core.account.latency import STAGES
from sentryfuse_core.account.messages import Fields
from sentryfuse_core.bags.readers import BagReader
from sentryfuse_core.clock import NS_PER_S
from sentryfuse_core.json_values import json_value
from sentryfuse_core.surroundings import stretches
from sentryfuse_core.track import Track, TrackState
from sentryfuse_core.types import Detection, ModalitySet, SensorState

__all__ = [
    "SetRecord",
    "counted_notes",
    "from_messages",
    "json_line",
    "read_results",
]

# A measured value: a number that stands by itself, and not one in the name of a frame, topic or file.
_VALUE = re.compile(r"(?<![\w./-])\d+(?:\.\d+)?")

_PAIRED = ("camera", "lidar")  # kinds; the others come as windows that end at the stamp

# Where a track's message has the variances that are known, and where its own covariance has them.
_ROS_AXES = np.ix_(messages.ROS_AXES, messages.ROS_AXES)
_OWN_AXES = {
    "pose": np.ix_(messages.PLACE_AXES, messages.PLACE_AXES),
    "twist": np.ix_(messages.SPEED_AXES, messages.SPEED_AXES),
}


@dataclass(frozen=True)
class SetRecord:
    """A set and what became of it."""

    sequence: int
    epoch: int
    stamp_ns: int
    released_ns: int  # on the clock of the recording
    anchor: str
    used: ModalitySet  # kinds
    sensors: tuple[str, ...]  # names of those used
    states: Mapping[str, SensorState]  # by name, as are the next three
    reasons: Mapping[str, str]  # of states that are not OK
    absent: Mapping[str, str]
    offsets_ms: Mapping[str, float]  # of the samples used
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
    detections: Sequence[Detection]
    tracks: Sequence[Track] | None  # None: tracking was off
    watched: tuple[tuple[int, int, int], ...]  # from and to degrees left of ahead, bits of what looks there
    over_ground: bool  # velocities of the tracks are; else relative to the robot
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
            plain |= {"mask": record.used.bits, "used": list(record.sensors)}
        elif name == "detections":  # mm and a thousandth of a score are more than a detection is good for
            plain[name] = [
                json_value(vars(item), 3) | {"support": item.support.bits} for item in record.detections
            ]
        elif name == "tracks":
            if record.tracks is not None:
                over = {"over_ground": record.over_ground}
                plain[name] = [track | over for track in _plain_tracks(record.tracks)]
        elif name == "states":
            plain[name] = {sensor: state.name for sensor, state in record.states.items()}
        elif name not in ("sensors", "over_ground", "latency_ms"):
            plain[name] = json_value(value, 6)
    return json.dumps(plain, allow_nan=False)


def _plain_tracks(tracks: Sequence[Track]) -> Iterator[dict[str, Any]]:
    """As a detection's box, and how sure its place is: the largest standard deviation there."""
    if not tracks:
        return
    places = np.array([track.covariance[:2, :2] for track in tracks])
    unsure_m = np.sqrt(np.linalg.eigvalsh(places)[:, -1]).tolist()
    for track, spread_m in zip(tracks, unsure_m, strict=True):
        own = {name: value for name, value in vars(track).items() if name not in ("covariance", "trail")}
        own |= {"state": track.state.name, "seen_by": track.seen_by.bits, "unsure_m": spread_m}
        yield json_value(own, 3)


def from_messages(
    status: Fields,
    detections: Fields | None,
    tracks: Fields | None = None,
    coverage: Fields | None = None,
    *,
    released_ns: int,
) -> SetRecord:
    """The record of a FusionStatus and the arrays of its set, as plain values by the fields' names."""
    sensors = {sensor["name"]: sensor for sensor in status["sensors"]}
    # Older recordings have no kinds: there each sensor is called like its own.
    paired = [name for name, sensor in sensors.items() if sensor.get("kind", name) in _PAIRED]
    offsets_ms = {name: sensor["offset_ms"] for name, sensor in sensors.items() if sensor["in_mask"]}
    told = {item.name: status[item.name] for item in fields(SetRecord) if item.name in status}
    own = {
        "stamp_ns": _stamp_ns(status),
        "released_ns": released_ns,
        "used": ModalitySet(status["mask"]),
        "sensors": tuple(offsets_ms),
        "states": {name: SensorState(sensor["state"]) for name, sensor in sensors.items()},
        "reasons": {name: sensor["reason"] for name, sensor in sensors.items() if sensor["reason"]},
        "absent": {name: sensor["absence"] for name, sensor in sensors.items() if sensor["absence"]},
        "offsets_ms": offsets_ms,
        "skew_ms": max((abs(offsets_ms[name]) for name in paired if name in offsets_ms), default=0.0),
        "detections": () if detections is None else tuple(map(_detection, detections["detections"])),
        "tracks": None if tracks is None else tuple(map(_track, tracks["tracks"])),
        "watched": () if coverage is None else stretches(np.asarray(coverage["sensors"], np.uint8)),
        "over_ground": tracks is not None and tracks["over_ground"],
        "notes": tuple(status["notes"]),
        # Older recordings do not have every stage.
        "latency_ms": {stage: status.get(f"{stage}_ms", math.nan) for stage in STAGES},
    }
    return SetRecord(**(told | own))


def _of_one_set(array: Fields, status: Fields) -> bool:
    same_frame = array["header"]["frame_id"] == status["header"]["frame_id"]
    if "mask" in array:
        return bool(array["mask"] == status["mask"] and same_frame)
    watching = int(np.bitwise_or.reduce(np.asarray(array["sensors"], np.uint8)))  # coverage has no mask
    return bool(watching | status["mask"] == status["mask"] and same_frame)


def _stamp_ns(message: Fields) -> int:
    stamp = message["header"]["stamp"]
    return int(stamp["sec"]) * NS_PER_S + int(stamp["nanosec"])


def _detection(box: Fields) -> Detection:
    return Detection(
        label=box["label"],
        class_id=box["class_id"],
        score=box["score"],
        support=ModalitySet(box["support"]),
        **_box(box["pose"], box["size"]),
    )


def _track(told: Fields) -> Track:
    """A track as far as its message tells it: without trail, and place and speed vary on their own."""
    speed = told["twist"]["twist"]
    covariance = np.zeros((6, 6))
    for name, own in _OWN_AXES.items():
        covariance[own] = np.reshape(told[name]["covariance"], (6, 6))[_ROS_AXES]
    return Track(
        identity=told["id"],
        label=told["label"],
        class_id=told["class_id"],
        state=TrackState(told["state"]),
        score=told["score"],
        existence=told["existence"],
        vx=speed["linear"]["x"],
        vy=speed["linear"]["y"],
        turn_rate=speed["angular"]["z"],
        covariance=covariance,
        age_s=told["age_s"],
        unseen_s=told["unseen_s"],
        seen_by=ModalitySet(told["seen_by"]),
        detection=None if told["detection"] < 0 else told["detection"],
        **_box(told["pose"]["pose"], told["size"]),
    )


def _box(pose: Fields, size: Fields) -> dict[str, Any]:
    position, rotation = pose["position"], pose["orientation"]
    return {
        "x": position["x"],
        "y": position["y"],
        "z": position["z"],
        "length": size["x"],
        "width": size["y"],
        "height": size["z"],
        "yaw": messages.yaw_of(rotation["z"], rotation["w"]),
    }


def read_results(path: Path) -> Iterator[SetRecord]:
    """The records of a results.mcap in its order; a status whose detections are missing has no boxes."""
    arrays: dict[str, dict[int, Fields]] = {
        messages.DETECTIONS_TYPE: {},
        messages.TRACKS_TYPE: {},
        messages.COVERAGE_TYPE: {},
    }
    statuses: list[tuple[int, Fields]] = []
    with BagReader(path) as reader:
        names = {
            topic.name for topic in reader.topics() if topic.type_name in (messages.STATUS_TYPE, *arrays)
        }
        for item in reader.messages(names):
            message = asdict(item.message)
            if item.type_name in arrays:
                arrays[item.type_name][_stamp_ns(message)] = message
            else:
                statuses.append((item.log_time_ns, message))
    for log_time_ns, status in statuses:
        # A status made without any sensor may carry the stamp of the last set, whose boxes are not its own.
        # Tracks in odometry's frame are left out: nothing here says where the base was in it.
        told = (found.get(_stamp_ns(status)) for found in arrays.values())
        boxes, tracks, coverage = (item if item and _of_one_set(item, status) else None for item in told)
        yield from_messages(status, boxes, tracks, coverage, released_ns=log_time_ns)
