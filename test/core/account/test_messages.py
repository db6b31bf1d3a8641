"""Results as messages: every field filled, nothing that the message types do not have."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import results
from builders import MS, S
from results import CAR

from sentryfuse_core.account import messages
from sentryfuse_core.account.markers import marker_array
from sentryfuse_core.account.messages import PublishContext
from sentryfuse_core.bags.writer import BagWriter, build_message, ros2_typestore
from sentryfuse_core.planar import EgoStep
from sentryfuse_core.replay import records
from sentryfuse_core.types import Absence, FusionResult, Modality, ModalitySet, SensorState, StageTimes

CAMERA, LIDAR, IMU, AUDIO = Modality
STAMP_NS = 100 * S
CONTEXT = PublishContext(
    published_ns=STAMP_NS + 40 * MS, checkpoint="world_v1 0123456789ab", base_frame="base_link", e2e_ms=40.0
)
MAKERS = {
    messages.DETECTIONS_TYPE: messages.detection_array,
    messages.STATUS_TYPE: messages.fusion_status,
    messages.TRACKS_TYPE: messages.track_array,
    messages.MARKERS_TYPE: marker_array,
    messages.DETECTIONS_3D_TYPE: messages.detection_3d_array,
    messages.VISION_INFO_TYPE: lambda result, context: messages.vision_info(
        messages.header(result.synced.stamp_ns, context.base_frame),
        checkpoint=context.checkpoint,
        labels_topic="/sentryfuse/label_info",
    ),
    messages.LABEL_INFO_TYPE: lambda result, context: messages.label_info(
        messages.header(result.synced.stamp_ns, context.base_frame), labels=("car", "person"), threshold=0.0
    ),
}


@pytest.mark.parametrize("type_name", MAKERS)
@pytest.mark.parametrize("used", [ModalitySet.all(), ModalitySet.of(IMU), ModalitySet()])
def test_messages_serialise_when_any_sensors_are_used(type_name: str, used: ModalitySet) -> None:
    store = ros2_typestore()
    fields = MAKERS[type_name](results.result(used=used), CONTEXT)
    data = store.serialize_cdr(build_message(store, type_name, fields), type_name)
    assert store.deserialize_cdr(data, type_name) is not None


@pytest.mark.parametrize("type_name", [messages.DETECTIONS_TYPE, messages.STATUS_TYPE, messages.TRACKS_TYPE])
def test_messages_fill_every_field_when_type_is_our_own(type_name: str) -> None:
    store = ros2_typestore()
    fields = MAKERS[type_name](results.result(), CONTEXT)
    _assert_complete(store, type_name, fields)


def _assert_complete(store: Any, type_name: str, fields: dict[str, Any]) -> None:
    expected = dict(store.fielddefs[type_name][1])
    assert fields.keys() == expected.keys()
    for name, (node, detail) in expected.items():
        if node == 2 and detail.startswith("sentryfuse/"):
            _assert_complete(store, detail, fields[name])
        if node == 4 and detail[0][0] == 2 and detail[0][1].startswith("sentryfuse/"):
            assert fields[name], f"{name} is empty: nothing was compared"
            for item in fields[name]:
                _assert_complete(store, detail[0][1], item)


def test_detection_array_gives_stamp_and_age_of_each_sensor_used() -> None:
    fields = messages.detection_array(results.result(), CONTEXT)
    assert fields["modalities"] == ["camera", "lidar"]
    assert fields["mask"] == CAMERA.bit | LIDAR.bit
    assert fields["modality_stamps"][0] == messages.time_fields(STAMP_NS - 4 * MS)
    assert fields["modality_ages_ms"] == [44.0, 40.0]
    box = fields["detections"][0]
    assert box["label"] == "car"
    rotation = box["pose"]["orientation"]
    assert messages.yaw_of(rotation["z"], rotation["w"]) == pytest.approx(CAR.yaw)


def test_detection_3d_says_that_its_errors_are_unknown_not_that_there_are_none() -> None:
    (item,) = messages.detection_3d_array(results.result(tracks=None), CONTEXT)["detections"]
    pose = item["results"][0]["pose"]
    covariance = np.array(pose["covariance"]).reshape(6, 6)
    assert np.array_equal(covariance, covariance.T)
    assert np.linalg.eigvalsh(covariance).min() > 1e3
    assert pose["pose"] == item["bbox"]["center"]
    assert item["id"] == ""  # nobody follows objects


def test_label_info_names_each_class_by_its_number() -> None:
    fields = MAKERS[messages.LABEL_INFO_TYPE](results.result(), CONTEXT)
    assert [(item["class_id"], item["class_name"]) for item in fields["class_map"]] == [
        (0, "car"),
        (1, "person"),
    ]


def test_status_says_why_each_sensor_is_missing() -> None:
    result = results.result(
        used=ModalitySet.of(LIDAR),
        states={CAMERA: SensorState.LOST},
        absent={CAMERA: Absence.LOST, IMU: Absence.NEVER, AUDIO: Absence.NEVER},
    )
    sensors = messages.fusion_status(result, CONTEXT)["sensors"]
    assert [sensor["name"] for sensor in sensors] == ["camera", "lidar", "imu", "audio"]
    assert [sensor["absence"] for sensor in sensors] == ["LOST", "", "NEVER", "NEVER"]
    assert [sensor["in_mask"] for sensor in sensors] == [False, True, False, False]
    assert math.isnan(sensors[0]["offset_ms"])
    assert sensors[1]["offset_ms"] == 0.0


ALL_OK = results.result(used=ModalitySet.all())


@pytest.mark.parametrize(
    ("result", "severity"),
    [
        (ALL_OK, messages.OK),
        (results.result(used=ModalitySet.all(), states={IMU: SensorState.DEGRADED}), messages.WARN),
        (results.result(), messages.WARN),
        (results.result(used=ModalitySet.all(), mask_recall_4m=0.3), messages.WARN),
        (results.result(used=ModalitySet.all(), mask_recall_4m=math.nan), messages.WARN),
        (results.result(errors=("nothing usable",)), messages.ERROR),
    ],
)
def test_severity_is_the_worst_of_what_happened(result: FusionResult, severity: int) -> None:
    assert messages.severity(result) == severity
    assert messages.fusion_status(result, CONTEXT)["severity"] == severity


def test_track_array_tells_motion_with_its_covariance_and_what_is_not_known() -> None:
    fields = messages.track_array(results.result(), CONTEXT)
    (track,) = fields["tracks"]
    assert fields["mask"] == CAMERA.bit | LIDAR.bit
    assert not fields["over_ground"]
    assert messages.track_array(replace(results.result(), over_ground=True), CONTEXT)["over_ground"]
    assert track["twist"]["twist"]["linear"] == {"x": 8.0, "y": -1.0, "z": 0.0}
    assert track["twist"]["twist"]["angular"]["z"] == 0.25
    assert messages.yaw_of(*(track["pose"]["pose"]["orientation"][axis] for axis in "zw")) == pytest.approx(
        0.5
    )
    place, speed = (np.reshape(track[name]["covariance"], (6, 6)) for name in ("pose", "twist"))
    assert np.diag(place).tolist() == [0.04, 0.09, 1e6, 1e6, 1e6, 0.01]
    assert np.diag(speed).tolist() == [0.25, 0.36, 1e6, 1e6, 1e6, 0.16]


def test_track_array_is_in_odometrys_frame_when_the_result_says_where_the_base_is_in_it() -> None:
    result = results.result(over_ground=True, placed_in=("odom", EgoStep(100.0, 50.0, math.pi / 2)))
    fields = messages.track_array(result, CONTEXT)
    assert fields["header"]["frame_id"] == "odom"
    (track,) = fields["tracks"]
    assert track["pose"]["pose"]["position"] == pytest.approx({"x": 98.0, "y": 60.0, "z": 0.75})
    assert track["twist"]["twist"]["linear"] == pytest.approx({"x": 1.0, "y": 8.0, "z": 0.0})
    assert messages.detection_array(result, CONTEXT)["header"]["frame_id"] == CONTEXT.base_frame


def test_detection_3d_has_the_identity_of_its_track() -> None:
    tracks = (results.track(7, detection=1), results.track(9, detection=None))
    fields = messages.detection_3d_array(results.result(detections=(CAR, CAR), tracks=tracks), CONTEXT)
    assert [item["id"] for item in fields["detections"]] == ["", "7"]


def test_records_are_equal_when_read_back_from_published_messages(tmp_path: Path) -> None:
    result = results.result(used=ModalitySet.all())
    context = results.context(result)
    with BagWriter(tmp_path / "results.mcap") as writer:
        for type_name in (messages.STATUS_TYPE, messages.DETECTIONS_TYPE, messages.TRACKS_TYPE):
            topic = f"/s/{type_name.rpartition('/')[2]}"
            writer.write(topic, type_name, context.published_ns, MAKERS[type_name](result, context))
    (read,) = records.read_results(tmp_path / "results.mcap")
    assert records.json_line(read) == records.json_line(results.record_of(result))
    assert json.loads(records.json_line(read))["tracks"][0]["unsure_m"] == 0.3


def test_json_line_is_equal_when_only_wall_clock_differs() -> None:
    slow = results.result(times=StageTimes(5.0, 20.0, 9.0, 9.0, 9.0, 9.0))
    first, second = results.record_of(results.result()), results.record_of(slow, e2e_ms=70.0)
    assert first.latency_ms != second.latency_ms
    assert records.json_line(first) == records.json_line(second)
