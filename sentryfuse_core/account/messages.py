"""How a result maps to ROS messages: plain nested mappings by field name, for bags and for the node."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from sentryfuse_core.account.latency import stage_values
from sentryfuse_core.clock import NS_PER_MS, NS_PER_S
from sentryfuse_core.text import bounded
from sentryfuse_core.types import Detection, FusionResult, Modality, SensorState

__all__ = [
    "DETECTIONS_3D_TYPE",
    "DETECTIONS_TYPE",
    "LABEL_INFO_TYPE",
    "MARKERS_TYPE",
    "STATUS_TYPE",
    "VISION_INFO_TYPE",
    "Fields",
    "PublishContext",
    "detection_3d_array",
    "detection_array",
    "fusion_status",
    "header",
    "label_info",
    "marker_array",
    "severity",
    "time_fields",
    "vision_info",
    "yaw_of",
]

Fields: TypeAlias = dict[str, Any]

DETECTIONS_TYPE = "sentryfuse/msg/FusedDetectionArray"
STATUS_TYPE = "sentryfuse/msg/FusionStatus"
MARKERS_TYPE = "visualization_msgs/msg/MarkerArray"
DETECTIONS_3D_TYPE = "vision_msgs/msg/Detection3DArray"
VISION_INFO_TYPE = "vision_msgs/msg/VisionInfo"
LABEL_INFO_TYPE = "vision_msgs/msg/LabelInfo"

OK, WARN, ERROR = 0, 1, 2  # FusionStatus.msg

# 6 x 6 by rows (x, y, z in m, turns about them in rad). The network tells no errors of its boxes. Zeros would
# say that there are none; by a variance as large as this a filter is told that nothing is known.
_UNKNOWN = 1e6
_COVARIANCE = tuple(_UNKNOWN if row == column else 0.0 for row in range(6) for column in range(6))

_CUBE, _TEXT, _ADD, _DELETE_ALL = 1, 9, 0, 3  # visualization_msgs/Marker
_MARKER_LIFETIME_NS = 500 * NS_PER_MS
_NOTE_LENGTH = 1000  # characters
_COLOURS = (
    (0.10, 0.45, 0.85),
    (0.90, 0.35, 0.15),
    (0.20, 0.65, 0.30),
    (0.60, 0.30, 0.75),
)  # by class, RGB 0..1


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
    wanted = {m: report for m, report in result.reports.items() if not report.disabled}
    degraded = any(report.state is not SensorState.OK for report in wanted.values())
    missing = any(modality in wanted or modality not in result.reports for modality in result.absent)
    return WARN if degraded or missing or warned or not result.above_prior else OK


def detection_array(result: FusionResult, context: PublishContext) -> Fields:
    """sentryfuse/FusedDetectionArray."""
    stamps = {modality: result.synced.samples[modality][-1].stamp_ns for modality in result.used}
    return {
        "header": header(result.synced.stamp_ns, context.base_frame),
        "modalities": [modality.value for modality in stamps],
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
        "sensors": [_sensor_health(result, modality) for modality in Modality if modality in result.reports],
        "used": [modality.value for modality in result.used],
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


def marker_array(result: FusionResult, context: PublishContext) -> Fields:
    """visualization_msgs/MarkerArray: the last boxes removed, then a box and a label for each detection."""
    top = header(result.synced.stamp_ns, context.base_frame)
    markers: list[Fields] = [{"header": top, "action": _DELETE_ALL, "pose": _pose(0.0, 0.0, 0.0, 0.0)}]
    for index, item in enumerate(result.detections):
        red, green, blue = _COLOURS[item.class_id % len(_COLOURS)]
        common = {
            "header": top,
            "id": index,
            "action": _ADD,
            "lifetime": {"sec": 0, "nanosec": _MARKER_LIFETIME_NS},
        }
        markers.append(
            common
            | {
                "ns": "box",
                "type": _CUBE,
                "pose": _pose(item.x, item.y, item.z, item.yaw),
                "scale": {"x": item.length, "y": item.width, "z": item.height},
                "color": {"r": red, "g": green, "b": blue, "a": 0.5},
            }
        )
        markers.append(
            common
            | {
                "ns": "label",
                "type": _TEXT,
                "pose": _pose(item.x, item.y, item.z + item.height / 2 + 0.4, 0.0),
                "scale": {"x": 0.0, "y": 0.0, "z": 0.5},
                "color": {"r": 1.0, "g": 1.0, "b": 1.0, "a": 1.0},
                "text": f"{item.label} {item.score:.2f}",
            }
        )
    return {"markers": markers}


def detection_3d_array(result: FusionResult, context: PublishContext) -> Fields:
    """vision_msgs/Detection3DArray."""
    top = header(result.synced.stamp_ns, context.base_frame)
    return {"header": top, "detections": [_detection_3d(item, top) for item in result.detections]}


def vision_info(top: Mapping[str, Any], *, checkpoint: str, labels_topic: str) -> Fields:
    """vision_msgs/VisionInfo: what made the detections, and the topic that names their classes."""
    method = f"SentryFuse, {checkpoint}"
    return {"header": dict(top), "method": method, "database_location": labels_topic, "database_version": 1}


def label_info(top: Mapping[str, Any], *, labels: Sequence[str], threshold: float) -> Fields:
    """vision_msgs/LabelInfo: the names of the classes by number, and the score below which none is told."""
    classes = [{"class_id": number, "class_name": name} for number, name in enumerate(labels)]
    return {"header": dict(top), "class_map": classes, "threshold": threshold}


def _pose(x: float, y: float, z: float, yaw: float) -> Fields:
    return {
        "position": {"x": x, "y": y, "z": z},
        "orientation": {"x": 0.0, "y": 0.0, "z": math.sin(yaw / 2), "w": math.cos(yaw / 2)},
    }


def yaw_of(z: float, w: float) -> float:
    """Yaw in radians of a quaternion that turns about z alone."""
    return 2.0 * math.atan2(z, w)


def _box(item: Detection) -> tuple[Fields, Fields]:
    """Pose and size of a detection."""
    return _pose(item.x, item.y, item.z, item.yaw), {"x": item.length, "y": item.width, "z": item.height}


def _fused_detection(item: Detection) -> Fields:
    pose, size = _box(item)
    return {
        "label": item.label,
        "class_id": item.class_id,
        "score": item.score,
        "support": item.support.bits,
        "pose": pose,
        "size": size,
    }


def _detection_3d(item: Detection, top: Mapping[str, Any]) -> Fields:
    pose, size = _box(item)
    hypothesis = {"class_id": item.label, "score": item.score}
    return {
        "header": dict(top),
        "results": [{"hypothesis": hypothesis, "pose": {"pose": pose, "covariance": list(_COVARIANCE)}}],
        "bbox": {"center": pose, "size": size},
        "id": "",
    }


def _sensor_health(result: FusionResult, modality: Modality) -> Fields:
    """sentryfuse/SensorHealth of one sensor in this set."""
    report = result.reports[modality]
    used = modality in result.used
    return {
        **report.figures,
        "name": modality.value,
        "topic": bounded(report.topic),
        "state": int(report.state),
        "reason": bounded(report.reason),
        "remedy": bounded(report.remedy),
        "in_mask": used,
        "absence": "" if used else result.absent[modality].value,
        "offset_ms": result.synced.offset_ns(modality) / NS_PER_MS if used else math.nan,
    }
