"""How a result maps to ROS messages: plain nested mappings by field name, for bags and for the node."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from sentryfuse_core.account.latency import stage_values
from sentryfuse_core.clock import NS_PER_MS, NS_PER_S
from sentryfuse_core.text import bounded
from sentryfuse_core.track import Track
from sentryfuse_core.tracking.placed import placed
from sentryfuse_core.types import Absence, Detection, FusionResult, SensorReport, SensorState

__all__ = [
    "COVERAGE_TYPE",
    "DETECTIONS_3D_TYPE",
    "DETECTIONS_TYPE",
    "LABEL_INFO_TYPE",
    "MARKERS_TYPE",
    "STATUS_TYPE",
    "TRACKS_TYPE",
    "VISION_INFO_TYPE",
    "Fields",
    "PublishContext",
    "coverage",
    "detection_3d_array",
    "detection_array",
    "figures",
    "fusion_status",
    "header",
    "label_info",
    "pose",
    "severity",
    "time_fields",
    "track_array",
    "vision_info",
    "yaw_of",
]

Fields: TypeAlias = dict[str, Any]

DETECTIONS_TYPE = "sentryfuse/msg/FusedDetectionArray"
STATUS_TYPE = "sentryfuse/msg/FusionStatus"
TRACKS_TYPE = "sentryfuse/msg/FusedTrackArray"
COVERAGE_TYPE = "sentryfuse/msg/Coverage"
MARKERS_TYPE = "visualization_msgs/msg/MarkerArray"
DETECTIONS_3D_TYPE = "vision_msgs/msg/Detection3DArray"
VISION_INFO_TYPE = "vision_msgs/msg/VisionInfo"
LABEL_INFO_TYPE = "vision_msgs/msg/LabelInfo"

OK, WARN, ERROR = 0, 1, 2  # FusionStatus.msg

_WORDS = ("modality", "topic", "state", "reason", "remedy", "invalid_reasons", "code", "name")  # of a report

# 6 x 6 by rows (x, y, z in m, turns about them in rad). The network tells no errors of its boxes. Zeros would
# say that there are none; by a variance as large as this a filter is told that nothing is known.
_UNKNOWN = 1e6
_COVARIANCE = tuple(_UNKNOWN if row == column else 0.0 for row in range(6) for column in range(6))

# Which of those 6 axes a track knows, and where they stand in its own covariance.
ROS_AXES, PLACE_AXES, SPEED_AXES = (0, 1, 5), (0, 1, 4), (2, 3, 5)

_NOTE_LENGTH = 1000  # characters


@dataclass(frozen=True)
class PublishContext:
    """What a message says beyond the result itself; `published_ns` is on the clock of the stamps."""

    published_ns: int
    checkpoint: str
    base_frame: str
    e2e_ms: float
    deadline_ms: float = math.nan  # NaN: no latency budget
    power_w: float = math.nan  # NaN: no power budget
    skipped_sets: int = 0
    notes: tuple[str, ...] = ()  # beyond the result's own: parts that are off on this machine
    warnings: tuple[str, ...] = ()  # what the node has to say against itself


def time_fields(stamp_ns: int) -> Fields:
    """builtin_interfaces/Time of a stamp."""
    return {"sec": stamp_ns // NS_PER_S, "nanosec": stamp_ns % NS_PER_S}


def header(stamp_ns: int, frame_id: str) -> Fields:
    """std_msgs/Header."""
    return {"stamp": time_fields(stamp_ns), "frame_id": frame_id}


def severity(result: FusionResult, *, warned: bool = False) -> int:
    """ERROR with errors; WARN with a sensor missing or degraded, or boxes not to be relied on; else OK.

    `warned`: the node has something to say against itself. A disabled sensor is neither missing nor degraded.
    """
    if result.errors:
        return ERROR
    wanted = {name: report for name, report in result.reports.items() if not report.disabled}
    degraded = any(report.state is not SensorState.OK for report in wanted.values())
    # What was left out is spared, not missed.
    absent = (name for name, why in result.absent.items() if why is not Absence.LEFT_OUT)
    missing = any(name in wanted or name not in result.reports for name in absent)
    return WARN if degraded or missing or warned or not result.above_prior else OK


def detection_array(result: FusionResult, context: PublishContext) -> Fields:
    """sentryfuse/FusedDetectionArray."""
    used = {name: result.synced.samples[name][-1] for name in result.sensors}
    stamps = {name: sample.stamp_ns for name, sample in used.items()}
    return {
        "header": header(result.synced.stamp_ns, context.base_frame),
        "modalities": [sample.modality.value for sample in used.values()],
        "sensors": list(map(str, used)),
        "modality_stamps": [time_fields(stamp_ns) for stamp_ns in stamps.values()],
        "modality_ages_ms": [(context.published_ns - stamp_ns) / NS_PER_MS for stamp_ns in stamps.values()],
        "mask": result.used.bits,
        "level": result.plan.level,
        "ratio": result.plan.ratio,
        "epoch": result.synced.epoch,
        "detections": [_fused_detection(item) for item in result.detections],
    }


def fusion_status(result: FusionResult, context: PublishContext) -> Fields:
    """sentryfuse/FusionStatus."""
    synced, plan = result.synced, result.plan
    return {
        "header": header(synced.stamp_ns, context.base_frame),
        "sequence": synced.sequence,
        "epoch": synced.epoch,
        "anchor": synced.anchor_name,
        "sensors": [_sensor_health(result, name) for name in result.reports],
        "used": list(map(str, result.sensors)),
        "mask": result.used.bits,
        "level": plan.level,
        "pruning": plan.kind,
        "ratio": plan.ratio,
        "heads_kept": plan.heads_kept,
        "heads_total": plan.heads_total,
        "channels_kept": plan.channels_kept,
        "channels_total": plan.channels_total,
        "gmacs": plan.gmacs,
        "level_reason": bounded(plan.reason),
        "backend": result.backend,
        "device": result.device,
        "backend_reason": result.backend_reason,
        "checkpoint": context.checkpoint,
        **{f"{stage}_ms": value for stage, value in stage_values(result.times, context.e2e_ms).items()},
        "deadline_ms": context.deadline_ms,
        "power_w": context.power_w,
        "skipped_sets": context.skipped_sets,
        "mask_recall_4m": result.mask_recall_4m,
        "prior_recall_4m": result.prior_recall_4m,
        "above_prior": result.above_prior,
        "severity": severity(result, warned=bool(context.warnings)),
        "notes": [
            bounded(note, _NOTE_LENGTH)
            for note in (*result.errors, *context.warnings, *result.notes, *context.notes)
        ],
    }


def track_array(result: FusionResult, context: PublishContext) -> Fields:
    """sentryfuse/FusedTrackArray, in the frame in which the result's tracks are to be published."""
    frame_id, tracks = context.base_frame, result.tracks or ()
    if result.placed_in is not None:
        frame_id, base = result.placed_in
        tracks = placed(tracks, base)
    return {
        "header": header(result.synced.stamp_ns, frame_id),
        "epoch": result.synced.epoch,
        "mask": result.used.bits,
        "over_ground": result.over_ground,
        "tracks": [_fused_track(track) for track in tracks],
    }


def coverage(result: FusionResult, context: PublishContext) -> Fields:
    """sentryfuse/Coverage."""
    watched = result.coverage
    return {
        "header": header(result.synced.stamp_ns, context.base_frame),
        "step_deg": 360.0 / len(watched.sensors),
        "sensors": watched.sensors.tolist(),
        "range_m": watched.range_m.tolist(),
    }


def detection_3d_array(result: FusionResult, context: PublishContext) -> Fields:
    """vision_msgs/Detection3DArray."""
    top = header(result.synced.stamp_ns, context.base_frame)
    ids = {track.detection: str(track.identity) for track in result.tracks or ()}
    boxes = [_detection_3d(item, top, ids.get(index, "")) for index, item in enumerate(result.detections)]
    return {"header": top, "detections": boxes}


def vision_info(top: Mapping[str, Any], *, checkpoint: str, labels_topic: str) -> Fields:
    """vision_msgs/VisionInfo: what made the detections, and the topic that names their classes."""
    method = f"SentryFuse, {checkpoint}"
    return {"header": dict(top), "method": method, "database_location": labels_topic, "database_version": 1}


def label_info(top: Mapping[str, Any], *, labels: Sequence[str], threshold: float) -> Fields:
    """vision_msgs/LabelInfo: the names of the classes by number, and the score below which none is told."""
    classes = [{"class_id": number, "class_name": name} for number, name in enumerate(labels)]
    return {"header": dict(top), "class_map": classes, "threshold": threshold}


def pose(x: float, y: float, z: float, yaw: float) -> Fields:
    """geometry_msgs/Pose that is turned about z alone."""
    return {
        "position": {"x": x, "y": y, "z": z},
        "orientation": {"x": 0.0, "y": 0.0, "z": math.sin(yaw / 2), "w": math.cos(yaw / 2)},
    }


def yaw_of(z: float, w: float) -> float:
    """Yaw in radians of a quaternion that turns about z alone."""
    return 2.0 * math.atan2(z, w)


def _box(item: Detection | Track) -> tuple[Fields, Fields]:
    """Pose and size."""
    return pose(item.x, item.y, item.z, item.yaw), {"x": item.length, "y": item.width, "z": item.height}


def _fused_detection(item: Detection) -> Fields:
    where, size = _box(item)
    return {
        "label": item.label,
        "class_id": item.class_id,
        "score": item.score,
        "support": item.support.bits,
        "pose": where,
        "size": size,
    }


def _fused_track(track: Track) -> Fields:
    where, size = _box(track)
    motion = {
        "linear": {"x": track.vx, "y": track.vy, "z": 0.0},
        "angular": {"x": 0.0, "y": 0.0, "z": track.turn_rate},
    }
    return {
        "id": track.identity,
        "label": track.label,
        "class_id": track.class_id,
        "state": int(track.state),
        "score": track.score,
        "existence": track.existence,
        "pose": {"pose": where, "covariance": _spread(track, PLACE_AXES)},
        "twist": {"twist": motion, "covariance": _spread(track, SPEED_AXES)},
        "size": size,
        "age_s": track.age_s,
        "unseen_s": track.unseen_s,
        "seen_by": track.seen_by.bits,
        "detection": -1 if track.detection is None else track.detection,
    }


def _spread(track: Track, axes: tuple[int, ...]) -> list[float]:
    """6 x 6 by rows, of which x, y and the turn about z are the given axes of the track's covariance."""
    known = list(_COVARIANCE)
    covariance = track.covariance.tolist()
    for row, own_row in zip(ROS_AXES, axes, strict=True):
        for column, own_column in zip(ROS_AXES, axes, strict=True):
            known[6 * row + column] = covariance[own_row][own_column]
    return known


def _detection_3d(item: Detection, top: Mapping[str, Any], identity: str) -> Fields:
    where, size = _box(item)
    hypothesis = {"class_id": item.label, "score": item.score}
    return {
        "header": dict(top),
        "results": [{"hypothesis": hypothesis, "pose": {"pose": where, "covariance": list(_COVARIANCE)}}],
        "bbox": {"center": where, "size": size},
        "id": identity,
    }


def figures(report: SensorReport) -> dict[str, float]:
    """Its numbers by name, `since_s` to `epoch`, as messages and diagnostics have them."""
    return {name: value for name, value in vars(report).items() if name not in _WORDS}


def _sensor_health(result: FusionResult, name: str) -> Fields:
    """sentryfuse/SensorHealth of one sensor in this set."""
    report = result.reports[name]
    used = name in result.sensors
    return {
        **figures(report),
        "name": report.sensor,
        "kind": report.modality.value,
        "topic": bounded(report.topic),
        "state": int(report.state),
        "reason": bounded(report.reason),
        "remedy": bounded(report.remedy),
        "in_mask": used,
        "absence": "" if used else result.absent[name].value,
        "offset_ms": result.synced.offset_ns(name) / NS_PER_MS if used else math.nan,
    }
