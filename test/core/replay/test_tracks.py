"""Tracks of a replay: identities over a blackout of a synthetic drive, in every file alike."""

from __future__ import annotations

import heapq
import json
import math
from pathlib import Path

import pytest

from sentryfuse_core.account import messages
from sentryfuse_core.bags.readers import BagReader
from sentryfuse_core.bags.writer import BagWriter
from sentryfuse_core.config import Config, override
from sentryfuse_core.faults.scenario import Event, Scenario
from sentryfuse_core.lab.world.record import Recorder
from sentryfuse_core.replay.outputs import RunOutputs
from sentryfuse_core.replay.records import SetRecord, json_line, read_results
from sentryfuse_core.replay.run import ReplayOptions, ReplayResult, replay
from sentryfuse_core.track import Track, TrackState
from sentryfuse_core.types import Modality, ModalitySet

DARK_S = (2.0, 3.0)  # the lidar, all that perceives, is gone
SECONDS = 6.0


@pytest.fixture(scope="module")
def drive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Lidar and IMU of a drive."""
    path = tmp_path_factory.mktemp("drive") / "drive.mcap"
    recorder = Recorder(seed=4102, seconds=SECONDS)
    scenes = recorder.drive()
    with BagWriter(path) as writer:
        for item in heapq.merge(recorder.lidar(scenes), recorder.imu(scenes)):
            writer.write(item.topic, item.type_name, item.log_time_ns, item.fields)
    return path


@pytest.fixture(scope="module")
def dark(drive: Path) -> ReplayResult:
    """The drive with the blackout; its files are beside it."""
    event = Event(*DARK_S, "lidar", "drop", {"share": 1.0})
    options = ReplayOptions(bag=drive, scenario=Scenario("dark", 1, SECONDS, events=(event,)))
    return replay(options, RunOutputs(drive.parent / "dark", bag=drive))


def at(result: ReplayResult, begin_s: float, end_s: float) -> list[SetRecord]:
    """The sets whose stamps are between, in s from the start."""
    return [item for item in result.records if begin_s <= (item.stamp_ns - result.start_ns) / 1e9 < end_s]


def tracks(records: list[SetRecord], state: TrackState) -> dict[int, Track]:
    """The last track of each identity that had this state."""
    return {track.identity: track for item in records for track in item.tracks or () if track.state is state}


def test_identities_hold_when_all_that_perceives_is_gone_for_a_second(dark: ReplayResult) -> None:
    before = tracks(at(dark, DARK_S[0] - 0.5, DARK_S[0]), TrackState.CONFIRMED)
    between = at(dark, DARK_S[0] + 0.5, DARK_S[1])
    assert {item.used for item in between} == {ModalitySet.of(Modality.IMU)}
    coasting = tracks(between, TrackState.COASTING)
    after = tracks(at(dark, DARK_S[1] + 1.0, SECONDS), TrackState.CONFIRMED)
    assert len(before) >= 3
    assert set(before) <= set(coasting)
    assert len(set(after) & set(before)) >= 2
    assert all(math.isfinite(track.existence) and track.unseen_s > 0.4 for track in coasting.values())


def test_results_and_lines_tell_the_same_tracks(dark: ReplayResult, drive: Path) -> None:
    out = drive.parent / "dark"
    lines = (out / "sets.jsonl").read_text(encoding="utf-8").splitlines()
    assert lines == [json_line(record) for record in dark.records]
    read = list(read_results(out / "results.mcap"))
    told = [
        [(track["identity"], track["state"], track["vx"]) for track in json.loads(line)["tracks"]]
        for line in lines
    ]
    assert told == [
        [(track.identity, track.state.name, round(track.vx, 3)) for track in record.tracks or ()]
        for record in read
    ]
    assert sum(map(len, told)) > 100
    with BagReader(out / "results.mcap") as reader:
        types = {topic.name: topic.type_name for topic in reader.topics()}
    assert types["/sentryfuse/tracks"] == messages.TRACKS_TYPE
    assert dark.metrics["latency_ms"]["track"]["p50"] > 0.0


def test_files_have_no_tracks_and_the_same_boxes_when_tracking_is_off(drive: Path) -> None:
    found = []
    for name, enabled in (("on", True), ("off", False)):
        options = ReplayOptions(
            bag=drive, config=override(Config(), {"tracking.enabled": enabled}), seconds=1.0
        )
        result = replay(options, RunOutputs(drive.parent / name, bag=drive))
        found.append([record.detections for record in result.records])
    assert found[0] == found[1]
    assert "tracks" not in (drive.parent / "off" / "sets.jsonl").read_text(encoding="utf-8")
    with BagReader(drive.parent / "off" / "results.mcap") as reader:
        assert messages.TRACKS_TYPE not in {topic.type_name for topic in reader.topics()}
    assert result.metrics["latency_ms"]["track"]["p50"] is None
