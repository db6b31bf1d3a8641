"""A rig of four cameras and two lidars, recorded in the world, is replayed while one of each dies."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sentryfuse_core.bags.writer import BagWriter
from sentryfuse_core.config import Config, load_yaml, override
from sentryfuse_core.faults.scenario import Event, Scenario
from sentryfuse_core.lab.world.record import Recorder
from sentryfuse_core.replay.outputs import RunOutputs
from sentryfuse_core.replay.records import SetRecord, read_results
from sentryfuse_core.replay.run import ReplayOptions, replay
from sentryfuse_core.types import Modality

ROOT = Path(__file__).parents[3]
SIZE = {"image_width": 96, "image_height": 72, "fx": 48.0, "fy": 48.0, "cx": 48.0, "cy": 36.0}
CAMERA, LIDAR = Modality.CAMERA.bit, Modality.LIDAR.bit


@pytest.fixture(scope="module")
def rig() -> Config:
    """The rig that ships, with pictures that are quick to draw."""
    shipped = load_yaml(ROOT / "config" / "rigs" / "four_cameras.yaml")
    small: dict[str, Any] = {
        f"{name}.{option}": value
        for name in shipped.of_kind(Modality.CAMERA)
        for option, value in SIZE.items()
    }
    return override(shipped, small)


@pytest.fixture(scope="module")
def records(rig: Config, tmp_path_factory: pytest.TempPathFactory) -> tuple[SetRecord, ...]:
    folder = tmp_path_factory.mktemp("around")
    recorder = Recorder(seed=4, seconds=1.2, light=0.9, rig=rig)
    with BagWriter(folder / "world.mcap") as bag:
        recorder.write(recorder.drive(), bag, poses=True)
    lost = (Event(0.6, 9.0, name, "drop", {"share": 1.0}) for name in ("left_camera", "tail_lidar"))
    options = ReplayOptions(
        bag=folder / "world.mcap", config=rig, scenario=Scenario("lost", 0, 9.0, events=tuple(lost))
    )
    result = replay(options, RunOutputs(folder / "out", bag=options.bag))
    told = tuple(read_results(folder / "out" / "results.mcap"))
    assert [record.watched for record in told] == [record.watched for record in result.records]
    return result.records


def at_deg(record: SetRecord, degree: int) -> int:
    return next(bits for first, last, bits in record.watched if first <= degree < last)


def test_every_direction_is_watched_by_camera_and_lidar_when_all_live(records: tuple[SetRecord, ...]) -> None:
    whole = records[5]
    assert len(whole.sensors) == 8
    assert all(at_deg(whole, degree) & (CAMERA | LIDAR) == CAMERA | LIDAR for degree in range(10, 360, 20))


def test_coverage_says_within_one_set_what_no_longer_watches(records: tuple[SetRecord, ...]) -> None:
    late = next(record for record in records[3:] if record.absent.get("left_camera"))
    assert late.stamp_ns - records[0].stamp_ns <= 700_000_000
    assert at_deg(late, 90) & (CAMERA | LIDAR) == LIDAR
    for degree in (0, 180, 270):
        assert at_deg(late, degree) & (CAMERA | LIDAR) == CAMERA | LIDAR
    assert any("left: lidar" in note for note in late.notes)
    lost = next(record for record in records if record.absent.get("left_camera") == "LOST")
    (gap,) = (note for note in lost.notes if note.startswith("left_camera gone: no camera in use watches "))
    first, last = (int(word) for word in re.findall(r"\d+", gap))
    assert first <= 60
    assert last >= 120
    assert not any("gone: " in note for note in records[5].notes)


def test_boxes_lie_to_every_side_and_none_is_doubled(records: tuple[SetRecord, ...]) -> None:
    boxes = [box for record in records for box in record.detections]
    sides = {round(math.atan2(box.y, box.x) / (math.pi / 2)) % 4 for box in boxes}
    assert len(sides) >= 2  # the traffic of a drive is ahead and beside
    for record in records:
        cars = np.array([(box.x, box.y) for box in record.detections if box.label == "car"]).reshape(-1, 2)
        apart = np.linalg.norm(cars[:, None] - cars, axis=-1) + 99.0 * np.eye(len(cars))
        assert not len(cars) or apart.min() > 1.0
