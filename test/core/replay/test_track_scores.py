"""Tracks of a run against labels with identities: counts, switches, speeds, and what leaves them unscored."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import results
from builders import MS, S

from sentryfuse_core.replay.labels import TrueBox
from sentryfuse_core.replay.records import SetRecord
from sentryfuse_core.replay.track_scores import track_metrics
from sentryfuse_core.replay.truth import Truth, load_labels
from sentryfuse_core.track import Track, TrackState
from sentryfuse_core.types import Modality, ModalitySet

START_NS = 100 * S
STAMPS = [START_NS + index * 100 * MS for index in range(10)]
CAMERA = ModalitySet.of(Modality.CAMERA)


def true_box(identity: int | str | None = 5, **changes: Any) -> TrueBox:
    box = TrueBox(
        "car", -1, 1.0, 10.0, 2.0, 0.75, 4.5, 1.8, 1.5, 0.5, identity=identity, velocity=(8.0, -1.0)
    )
    return replace(box, **changes)


TRUTH = Truth(STAMPS, [(true_box(),)] * len(STAMPS))


def records(tracks: Callable[[int], tuple[Track, ...]], **changes: Any) -> list[SetRecord]:
    plain = [results.record_of(results.result(stamp)) for stamp in STAMPS]
    return [
        replace(record, **{"tracks": tracks(index), "over_ground": True, **changes})
        for index, record in enumerate(plain)
    ]


def scores(found: list[SetRecord], truth: Truth = TRUTH, **options: Any) -> Any:
    whole = track_metrics(found, start_ns=START_NS, truth=truth, **options)
    assert whole is not None
    json.dumps(whole, allow_nan=False)
    return whole["scores"]


def test_scores_are_whole_when_every_object_keeps_its_track() -> None:
    overall = scores(records(lambda _: (results.track(1),)))["overall"]
    perfect = {"hota": 1.0, "mota": 1.0, "idf1": 1.0, "switches": 0, "mave_m_s": 0.0, "sets": 10}
    assert overall == pytest.approx(perfect)


def test_scores_tell_when_an_object_changed_its_track_and_by_which_sensors() -> None:
    found = records(lambda index: (results.track(1 if index < 6 else 2),))
    found = [*found[:5], *(replace(record, used=CAMERA) for record in found[5:])]
    told = scores(found, clean=records(lambda _: (results.track(1),)))
    assert told["switches"] == [{"t": pytest.approx(0.6), "count": 1}]
    switches = {name: part["switches"] for name, part in told["masks"].items()}
    assert switches == {"camera": 1, "camera+lidar": 0}
    assert (told["overall"]["switches"], told["clean"]["switches"]) == (1, 0)


def test_scores_count_no_track_that_is_not_believed_or_not_in_the_region() -> None:
    extra = (
        results.track(2, x=20.0, state=TrackState.TENTATIVE),
        results.track(3, x=-5.0),
        results.track(4, label="tram", x=20.0),
    )
    overall = scores(records(lambda _: (results.track(1), *extra)))["overall"]
    assert overall["mota"] == 1.0
    more = scores(records(lambda _: (results.track(1), replace(extra[0], state=TrackState.COASTING))))
    assert more["overall"]["mota"] == 0.0


def test_identities_of_two_epochs_are_two_tracks() -> None:
    found = records(lambda _: (results.track(1),))
    found = [replace(record, epoch=int(index >= 5)) for index, record in enumerate(found)]
    whole = track_metrics(found, start_ns=START_NS, truth=TRUTH)
    assert whole is not None
    assert whole["confirmed"] == 2
    assert whole["scores"]["overall"]["switches"] == 1


def test_speeds_are_not_judged_when_they_are_relative_or_the_labels_have_none() -> None:
    tracks = records(lambda _: (results.track(1, vx=5.0),))
    assert scores(tracks)["overall"]["mave_m_s"] == pytest.approx(3.0)
    relative = [replace(record, over_ground=False) for record in tracks]
    assert scores(relative)["overall"]["mave_m_s"] is None
    untold = Truth(STAMPS, [(true_box(velocity=None),)] * len(STAMPS))
    assert scores(tracks, untold)["overall"]["mave_m_s"] is None


@pytest.mark.parametrize("boxes", [(true_box(None),), (true_box(5), true_box(5, x=20.0)), ()], ids=len)
def test_nothing_is_scored_when_labels_do_not_tell_objects_apart(boxes: tuple[TrueBox, ...]) -> None:
    assert scores(records(lambda _: (results.track(1),)), Truth(STAMPS, [boxes] * len(STAMPS))) is None


def test_longest_coast_is_one_where_something_could_be_found() -> None:
    coasting = {"state": TrackState.COASTING, "detection": None}
    inside = results.track(1, unseen_s=0.7, **coasting)
    outside = results.track(2, unseen_s=3.0, x=-9.0, **coasting)
    found = track_metrics(records(lambda _: (inside, outside)), start_ns=START_NS)
    assert found == {"confirmed": 2, "longest_coast_s": 0.7, "over_ground_share": 1.0, "scores": None}
    off = [replace(results.set_record(stamp), tracks=None) for stamp in STAMPS]
    assert track_metrics(off, start_ns=START_NS) is None


def test_labels_are_read_with_identities_and_speeds_where_they_are_such(tmp_path: Path) -> None:
    box = {"label": "car", "x": 5, "y": 0, "z": 0.8, "length": 4, "width": 1.8, "height": 1.5, "yaw": 0}
    told = [
        {"id": 7, "velocity": [1.5, -2]},
        {"id": "a1", "velocity": [1.0]},
        {"id": True, "velocity": "12"},
        {"id": [3], "velocity": [1.0, float("nan")]},
        {},
    ]
    path = tmp_path / "labels.jsonl"
    path.write_text(json.dumps({"stamp_ns": 0, "boxes": [box | more for more in told]}), encoding="utf-8")
    read = [(item.identity, item.velocity) for item in load_labels(path).at(0) if isinstance(item, TrueBox)]
    assert read == [(7, (1.5, -2.0)), ("a1", None), (None, None), (None, None), (None, None)]
