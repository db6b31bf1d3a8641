"""Figures on real recordings: what is held against what, and which aims are met."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.real import Empty, far_from_labels, fine_tuned, never_seen, nobody, quiet
from sentryfuse_core.boxes import FrameBoxes
from sentryfuse_core.lab.commands.eval_data_report import DataStudy
from sentryfuse_core.lab.datasets.view import KITTI_VIEW
from sentryfuse_core.lab.training.data_scores import Frames, judge
from sentryfuse_core.types import Modality, ModalitySet

LABELS = ("car", "pedestrian", "cyclist")
SEEING = ModalitySet.of(Modality.CAMERA, Modality.LIDAR)


def frame(*places: tuple[float, float], kind: int = 0) -> FrameBoxes:
    boxes = np.array([(x, y, 0.8, 4.0, 1.8, 1.5, 0.0) for x, y in places]).reshape(-1, 7)
    return FrameBoxes(boxes, np.full(len(boxes), kind), np.linspace(0.9, 0.5, len(boxes)))


def study(*, lidar: FrameBoxes, whole: FrameBoxes) -> DataStudy:
    """One frame with a car; clustering finds it 3 m away."""
    boxes = {
        "lidar": lidar,
        str(SEEING): whole,
        "camera": frame((13.0, 0.0)),
        "clustering lidar": frame((13.0, 0.0)),
    }
    boxes |= {f"told {name}": found for name, found in boxes.items() if name != "clustering lidar"}
    frames = Frames(
        [frame((10.0, 0.0))], {(name, 0): [found] for name, found in boxes.items()}, [KITTI_VIEW], [SEEING]
    )
    return DataStudy(frames, LABELS, SEEING, judge(frames, labels=LABELS))


def test_aims_are_met_when_the_lidar_beats_clustering_and_all_sensors_are_no_worse() -> None:
    good = study(lidar=frame((10.0, 0.0)), whole=frame((10.0, 0.0)))
    assert [row.met for row in never_seen(good)] == [True, None, True, True]
    assert [row.met for row in fine_tuned(good)] == [None, True]


def test_aims_are_missed_when_all_sensors_lose_what_the_lidar_finds() -> None:
    bad = study(lidar=frame((10.0, 0.0)), whole=frame())
    assert [row.met for row in never_seen(bad)] == [True, None, False, True]
    assert [row.met for row in fine_tuned(bad)] == [None, False]


def test_published_boxes_count_only_within_the_view_and_far_ones_are_false() -> None:
    found = study(lidar=frame((10.0, 0.0), (20.0, 0.0), (5.0, 12.0)), whole=frame())
    assert found.told()["lidar", 0] == (2.0, 1.0)
    rows = {row.what.rpartition(", ")[2]: row.measured for row in quiet("walk", found)}
    assert rows == {"lidar": 2.0, str(SEEING): pytest.approx(0.0), "camera": 1.0}


def test_boxes_count_as_seen_where_nobody_is_only_within_the_strip_and_the_frames() -> None:
    found = study(lidar=frame((10.0, 0.0), (20.0, -12.0), (5.0, 12.0)), whole=frame())
    rows = {row.what.rpartition(", ")[2]: row for row in nobody("walk", found, Empty((0, 0), -11.0, 16.0))}
    assert {name: row.measured for name, row in rows.items()} == {
        "lidar": 2.0,
        str(SEEING): 0.0,
        "camera": 1.0,
    }
    assert [row.met for row in rows.values()] == [False, True, True]


def test_boxes_far_from_every_label_have_an_aim_by_sensors() -> None:
    found = study(lidar=frame((10.0, 0.0), (20.0, 0.0), (28.0, 0.0)), whole=frame((10.0, 1.0)))
    rows = {row.what.rpartition(", ")[2]: row for row in far_from_labels(found)}
    assert {name: (row.measured, row.met) for name, row in rows.items()} == {
        "lidar": (2.0, False),
        str(SEEING): (0.0, True),
        "camera": (0.0, True),
    }
