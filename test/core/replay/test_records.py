"""What is read back of a run's published results."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import results
from builders import S

from sentryfuse_core.account import messages
from sentryfuse_core.bags.writer import BagWriter
from sentryfuse_core.replay.records import SetRecord, counted_notes, from_messages, json_line, read_results
from sentryfuse_core.types import Absence, Modality, ModalitySet


def test_boxes_are_not_read_again_when_a_status_without_sensors_repeats_the_stamp(tmp_path: Path) -> None:
    result = results.result()
    context = results.context(result)
    idle = replace(result, used=ModalitySet(), absent=dict.fromkeys(Modality, Absence.LOST), detections=())
    with BagWriter(tmp_path / "results.mcap") as bag:
        detections = messages.detection_array(result, context)
        bag.write("/detections", messages.DETECTIONS_TYPE, 100 * S, detections)
        bag.write("/tracks", messages.TRACKS_TYPE, 100 * S, messages.track_array(result, context))
        bag.write("/status", messages.STATUS_TYPE, 100 * S, messages.fusion_status(result, context))
        bag.write("/status", messages.STATUS_TYPE, 101 * S, messages.fusion_status(idle, context))
    found = list(read_results(tmp_path / "results.mcap"))
    assert [len(record.detections) for record in found] == [1, 0]
    assert [len(record.tracks or ()) for record in found] == [1, 0]
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


def test_record_is_the_same_when_an_older_status_tells_no_kinds() -> None:
    result = results.result()
    about = results.context(result)
    status, boxes = messages.fusion_status(result, about), messages.detection_array(result, about)
    older = {
        **status,
        "sensors": [{k: v for k, v in one.items() if k != "kind"} for one in status["sensors"]],
    }
    of_old = {name: value for name, value in boxes.items() if name != "sensors"}
    new, old = (from_messages(*pair, released_ns=S) for pair in ((status, boxes), (older, of_old)))
    assert json_line(new) == json_line(old)
    assert (old.sensors, old.skew_ms) == (("camera", "lidar"), 4.0)
