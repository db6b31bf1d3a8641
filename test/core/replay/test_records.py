"""What is read back of a run's published results."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import results
from builders import S

from sentryfuse_core.account import messages
from sentryfuse_core.bags import definitions
from sentryfuse_core.bags.writer import BagWriter
from sentryfuse_core.replay.records import SetRecord, counted_notes, from_messages, json_line, read_results
from sentryfuse_core.surroundings import Coverage
from sentryfuse_core.types import Absence, Modality, ModalitySet


def test_boxes_are_not_read_again_when_a_status_without_sensors_repeats_the_stamp(tmp_path: Path) -> None:
    seen = Coverage(np.full(360, Modality.LIDAR.bit, np.uint8), np.full(360, 32.0))
    result = replace(results.result(), coverage=seen)
    context = results.context(result)
    idle = replace(result, used=ModalitySet(), absent=dict.fromkeys(Modality, Absence.LOST), detections=())
    with BagWriter(tmp_path / "results.mcap") as bag:
        detections = messages.detection_array(result, context)
        bag.write("/detections", messages.DETECTIONS_TYPE, 100 * S, detections)
        bag.write("/tracks", messages.TRACKS_TYPE, 100 * S, messages.track_array(result, context))
        bag.write("/coverage", messages.COVERAGE_TYPE, 100 * S, messages.coverage(result, context))
        bag.write("/status", messages.STATUS_TYPE, 100 * S, messages.fusion_status(result, context))
        bag.write("/status", messages.STATUS_TYPE, 101 * S, messages.fusion_status(idle, context))
    found = list(read_results(tmp_path / "results.mcap"))
    assert [len(record.detections) for record in found] == [1, 0]
    assert [len(record.tracks or ()) for record in found] == [1, 0]
    assert [record.watched for record in found] == [((0, 360, Modality.LIDAR.bit),), ()]
    assert found[0].stamp_ns == found[1].stamp_ns


def test_notes_are_one_when_they_differ_in_measured_values_alone() -> None:
    def told(*notes: str) -> SetRecord:
        return results.set_record(S, notes=notes)

    skipped = (
        "17% of the sets were skipped, 6.9 of 8.3 sets/s handled",
        "32% of the sets were skipped, 6.6 of 9 sets/s handled",
    )
    records = [told(skipped[0], "no tf2"), told(skipped[1], "no tf2"), told("no tf2")]
    assert list(counted_notes(records)) == [
        f"{skipped[1]} (in 2 of 3 sets, these values in the last)",
        "no tf2",
    ]


def test_notes_stay_apart_when_the_number_is_part_of_a_name() -> None:
    notes = ("no transform from lidar_1", "no transform from lidar_2", "/cam/0 is slow", "/cam/1 is slow")
    assert list(counted_notes([results.set_record(S, notes=notes)])) == list(notes)


def test_every_line_of_a_track_says_whether_it_moves_over_ground() -> None:
    for over in (True, False):
        record = results.record_of(results.result(over_ground=over))
        assert [track["over_ground"] for track in json.loads(json_line(record))["tracks"]] == [over]


def test_record_is_the_same_when_the_recording_is_of_types_without_names_and_kinds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = results.result()
    about = results.context(result)
    status, boxes = messages.fusion_status(result, about), messages.detection_array(result, about)
    older = definitions.project_definitions() | {
        name: re.sub(added, "", definitions.project_definitions()[name], flags=re.MULTILINE)
        for name, added in (
            ("sentryfuse/msg/SensorHealth", r"^string kind .*\n"),
            (messages.DETECTIONS_TYPE, r"^string\[\] sensors .*\n"),
        )
    }
    without = [{name: value for name, value in one.items() if name != "kind"} for one in status["sensors"]]
    del boxes["sensors"]
    with monkeypatch.context() as patch:
        patch.setattr(definitions, "project_definitions", lambda: older)
        with BagWriter(tmp_path / "results.mcap") as bag:
            bag.write("/detections", messages.DETECTIONS_TYPE, 100 * S, boxes)
            bag.write("/status", messages.STATUS_TYPE, 100 * S, {**status, "sensors": without})
    (old,) = read_results(tmp_path / "results.mcap")
    new = from_messages(status, boxes, released_ns=100 * S)
    assert (old.sensors, old.states, old.absent) == (new.sensors, new.states, new.absent)
    assert (old.sensors, old.skew_ms) == (("camera", "lidar"), pytest.approx(4.0))
    assert len(old.detections) == 1
