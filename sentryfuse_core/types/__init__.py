"""Frozen values that cross module boundaries: samples, sets, health reports, detections."""

from sentryfuse_core.types.modality import Modality, ModalitySet
from sentryfuse_core.types.mount import Intrinsics, Pose
from sentryfuse_core.types.payload import (
    AudioBlock,
    CompressedFrame,
    FloatArray,
    ImageFrame,
    ImuReading,
    Payload,
    PointCloud,
    PointField,
    UInt8Array,
)
from sentryfuse_core.types.report import SensorReport, SensorState, Transition
from sentryfuse_core.types.result import Detection, FusionResult, PartLevels, Plan, StageTimes
from sentryfuse_core.types.synced import Absence, Missed, Sample, SyncedSet, Why

__all__ = [
    "Absence",
    "AudioBlock",
    "CompressedFrame",
    "Detection",
    "FloatArray",
    "FusionResult",
    "ImageFrame",
    "ImuReading",
    "Intrinsics",
    "Missed",
    "Modality",
    "ModalitySet",
    "PartLevels",
    "Payload",
    "Plan",
    "PointCloud",
    "PointField",
    "Pose",
    "Sample",
    "SensorReport",
    "SensorState",
    "StageTimes",
    "SyncedSet",
    "Transition",
    "UInt8Array",
    "Why",
]
