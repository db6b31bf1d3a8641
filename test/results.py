"""Builders of pipeline results for tests of what is made from them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from builders import MS, S, sample

from sentryfuse_core.account import messages
from sentryfuse_core.account.messages import PublishContext
from sentryfuse_core.replay.records import SetRecord, from_messages
from sentryfuse_core.track import Track, TrackState
from sentryfuse_core.types import (
    Absence,
    Detection,
    FusionResult,
    Modality,
    ModalitySet,
    Plan,
    SensorReport,
    SensorState,
    StageTimes,
    SyncedSet,
)

CAMERA, LIDAR, IMU, AUDIO = Modality
CAMERA_AND_LIDAR = ModalitySet.of(CAMERA, LIDAR)
CAR = Detection("car", 0, 0.9, 10.0, 2.0, 0.75, 4.5, 1.8, 1.5, 0.5)


def track(identity: int = 1, **changes: Any) -> Track:
    """The car, confirmed and driving ahead."""
    made = Track(
        identity=identity,
        label="car",
        class_id=0,
        state=TrackState.CONFIRMED,
        score=0.9,
        existence=0.95,
        x=10.0,
        y=2.0,
        z=0.75,
        length=4.5,
        width=1.8,
        height=1.5,
        yaw=0.5,
        vx=8.0,
        vy=-1.0,
        turn_rate=0.25,
        covariance=np.diag([0.04, 0.09, 0.25, 0.36, 0.01, 0.16]),
        age_s=2.0,
        unseen_s=0.0,
        seen_by=CAMERA_AND_LIDAR,
        detection=0,
        trail=np.array([[9.0, 2.0], [9.5, 2.0]]),
    )
    return replace(made, **changes)


def sensor_report(modality: Modality, state: SensorState = SensorState.OK, **changes: Any) -> SensorReport:
    """A steady sensor, or one that was never heard where `state` is INIT."""
    never = state is SensorState.INIT
    report = SensorReport(
        modality=modality,
        topic="" if never else f"/{modality.value}",
        state=state,
        reason="" if state is SensorState.OK else "as the test says",
        remedy="" if state is SensorState.OK else "do as the test says",
        since_s=1.0,
        rate_hz=0.0 if never else 10.0,
        expected_hz=0.0 if never else 10.0,
        age_ms=math.nan if never else 12.0,
        offset_ms=math.nan if never else 2.0,
        late=0,
        out_of_order=0,
        duplicate=0,
        invalid=0,
        frozen=0,
        epoch=0,
    )
    return replace(report, **changes)


def result(
    stamp_ns: int = 100 * S,
    *,
    used: ModalitySet = CAMERA_AND_LIDAR,
    states: Mapping[Modality, SensorState] | None = None,
    detections: tuple[Detection, ...] = (CAR,),
    **changes: Any,
) -> FusionResult:
    """What the pipeline made of a set with the sensors `used`; the others were never heard."""
    never = {m: Absence.NEVER for m in Modality if m not in used}
    synced = SyncedSet(
        sequence=7,
        epoch=0,
        stamp_ns=stamp_ns,
        anchor=next(iter(used), None),
        samples={m: (sample(m, stamp_ns - 4 * MS if m is CAMERA else stamp_ns),) for m in used},
        absent=never,
        anchor_arrival_ns=stamp_ns + 5 * MS,
        anchor_received_ns=stamp_ns + 5 * MS,
        released_ns=stamp_ns + 25 * MS,
    )
    default = {m: SensorState.OK if m in used else SensorState.INIT for m in Modality}
    found = FusionResult(
        synced=synced,
        used=used,
        absent=never,
        detections=detections,
        plan=Plan(used, 1, "uniform", 0.5, 6, 12, 384, 768, 0.2, "power"),
        times=StageTimes(5.0, 20.0, 0.5, 3.0, 10.0, 1.0),
        backend="eager",
        device="cpu",
        backend_reason="eager: no CUDA device",
        mask_recall_4m=0.7,
        prior_recall_4m=0.2,
        reports={m: sensor_report(m, state) for m, state in {**default, **(states or {})}.items()},
        errors=(),
        notes=("pruning: uniform widths",),
        switch_us=math.nan,
        tracks=(track(),) if detections else (),
    )
    return replace(found, **changes)


def context(result: FusionResult, *, e2e_ms: float = 40.0) -> PublishContext:
    """As of a replay: published when it was stamped."""
    at_ns = result.synced.stamp_ns
    return PublishContext(published_ns=at_ns, checkpoint="c", base_frame="base_link", e2e_ms=e2e_ms)


def record_of(result: FusionResult, *, e2e_ms: float = 40.0) -> SetRecord:
    """The record of a result that is released as it was stamped."""
    about = context(result, e2e_ms=e2e_ms)
    status, boxes = messages.fusion_status(result, about), messages.detection_array(result, about)
    tracks = None if result.tracks is None else messages.track_array(result, about)
    return from_messages(status, boxes, tracks, released_ns=about.published_ns)


def set_record(stamp_ns: int, **changes: Any) -> SetRecord:
    """An uneventful set of all four sensors, released as it was stamped, without detections."""
    plain = record_of(result(stamp_ns, used=ModalitySet.all(), detections=(), notes=()))
    return replace(plain, **{"level": 0, "level_reason": "full width", **changes})
