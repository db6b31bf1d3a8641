"""Markers: what is drawn of detections and tracks, and how much of it."""

from __future__ import annotations

from collections import Counter
from typing import Any

import results
from results import CAR, track

from sentryfuse_core.account.markers import marker_array
from sentryfuse_core.track import TrackState


def markers(**changes: Any) -> list[dict[str, Any]]:
    result = results.result(**changes)
    found: list[dict[str, Any]] = marker_array(result, results.context(result))["markers"]
    return found


def test_markers_remove_the_last_boxes_before_adding_new_ones() -> None:
    first, *others = markers(detections=(CAR, CAR), tracks=None)
    assert first["action"] == 3
    assert [marker["ns"] for marker in others] == ["box", "label"] * 2
    assert len({(marker["ns"], marker["id"]) for marker in others}) == 4


def test_arrow_ends_where_a_track_will_be_in_a_second() -> None:
    (arrow,) = (marker for marker in markers() if marker.get("ns") == "velocity")
    start, end = arrow["points"]
    assert (end["x"] - start["x"], end["y"] - start["y"]) == (8.0, -1.0)


def test_tracks_are_drawn_by_their_state() -> None:
    tracks = (
        track(1, state=TrackState.TENTATIVE),
        track(2, vx=0.1, vy=0.0),
        track(3, state=TrackState.COASTING, detection=None),
    )
    drawn = Counter((marker["ns"], marker["id"]) for marker in markers(detections=(), tracks=tracks)[1:])
    assert set(drawn) == {
        *(("track", 2), ("trail", 2)),
        *(("coasting", 3), ("track", 3), ("velocity", 3), ("trail", 3)),
    }
    assert max(drawn.values()) == 1
