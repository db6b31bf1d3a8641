"""What a replay keeps of its sets: the values that were written, in little memory."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from results import record_of, result, track

from sentryfuse_core.replay.kept import kept
from sentryfuse_core.replay.records import SetRecord, json_line
from sentryfuse_core.replay.track_scores import track_metrics
from sentryfuse_core.types import Detection, Modality, ModalitySet

COUNT = 300


def record(index: int) -> SetRecord:
    """A set with five boxes and five tracks whose numbers are all their own."""
    numbers = np.random.default_rng(index).normal(size=(5, 9)) + 10.0
    tracks = tuple(
        replace(
            track(),
            identity=index + at,
            score=x,
            existence=y,
            x=z,
            y=a,
            z=b,
            length=c,
            width=d,
            height=e,
            yaw=f,
            vx=x + y,
            vy=x + z,
            turn_rate=x + a,
            age_s=x + b,
            unseen_s=x + c,
            covariance=np.diag(row[:6]) + 0.1,
            detection=at if at % 2 else None,
        )
        for at, row in enumerate(numbers)
        for x, y, z, a, b, c, d, e, f in [row.tolist()]
    )
    boxes = tuple(
        Detection("car", 0, *row[:8].tolist(), support=ModalitySet.of(Modality.LIDAR)) for row in numbers
    )
    found = result(index * 10**8, detections=boxes, tracks=tracks)
    return record_of(found, e2e_ms=float(numbers[0, 0]))


def all_of(keep: Callable[[SetRecord, SetRecord | None], SetRecord]) -> tuple[list[SetRecord], int]:
    """The records that are kept of a run, and how many bytes they take."""
    records: list[SetRecord] = []
    tracemalloc.start()
    for index in range(COUNT):
        records.append(keep(record(index), records[-1] if records else None))
    size = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return records, size


def test_records_take_a_third_of_the_memory_when_they_are_kept() -> None:
    plain, before = all_of(lambda item, _: item)
    found, size = all_of(kept)
    assert 3 * size < before
    assert [json_line(item) for item in found] == [json_line(item) for item in plain]


def test_tracks_of_all_sets_are_never_there_at_once_when_they_are_counted() -> None:
    found, _ = all_of(kept)
    tracemalloc.start()
    track_metrics(found, start_ns=0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1000 * COUNT


def test_record_is_equal_when_it_is_kept() -> None:
    plain = record(7)
    found = kept(plain, kept(record(6), None))
    assert replace(found, latency_ms={}) == replace(plain, latency_ms={})  # in which there is NaN
    assert found.tracks is not None
    assert found.tracks == plain.tracks
    assert found.tracks[-1] == (plain.tracks or ())[-1]
    assert found.detections[1:3] == plain.detections[1:3]
    assert found.detections != plain.detections[:-1]
    with pytest.raises(IndexError):
        found.detections[5]
    assert dict(found.latency_ms) == pytest.approx(dict(plain.latency_ms), nan_ok=True)
    with pytest.raises(KeyError):
        found.latency_ms["sleep"]


def test_record_has_its_own_words_when_they_differ_from_the_set_before() -> None:
    before = kept(replace(record(1), notes=("dark",), level=1, level_reason="power"), None)
    found = kept(replace(record(2), notes=("dark",), level_reason="full width"), before)
    assert (found.level_reason, found.notes) == ("full width", ("dark",))
    assert found.notes is before.notes
    assert kept(replace(record(3), tracks=None), found).tracks is None
