"""KITTI tracking: a small tree read as it is written, the protocol's rules one by one, damage named."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from driving_trees import SHARED

from sentryfuse_core.errors import DatasetError
from sentryfuse_core.lab.datasets.kitti_tracking import KittiTruth, detections, sequences, truth
from sentryfuse_core.lab.scoring.kitti_runs import run_kitti
from sentryfuse_core.lab.scoring.kitti_tracks import (
    SequenceTracks,
    TrackBoxes,
    best_threshold,
    threshold_table,
)
from sentryfuse_core.lab.scoring.overlap import overlaps

KITTI = SHARED / "data" / "kitti_tracking"
PIXELS = (100.0, 100.0, 200.0, 180.0)


def label(frame: int, who: int, kind: str, z: float, *, cut: int = 0, hidden: int = 0, x: float = 0.0) -> str:
    """A line of labels: 4 m long, 2 m wide, 1.5 m high, `z` m ahead, turned across the view."""
    return f"{frame} {who} {kind} {cut} {hidden} 0 100 100 200 180 1.5 2 4 {x} 1.6 {z} 0.0"


def detection(frame: int, z: float, score: float, *, x: float = 0.0) -> str:
    return f"{frame},2,100,100,200,180,{score},1.5,2,4,{x},1.6,{z},0.0,0.0"


def write(root: Path, sequence: str, labels: list[str], found: list[str], kind: str = "Car") -> None:
    for folder in ("labels", "detections"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    (root / "labels" / f"{sequence}.txt").write_text("\n".join(labels) + "\n")
    (root / "detections" / f"{kind}_{sequence}.txt").write_text("\n".join(found) + ("\n" if found else ""))


def test_reader_gives_boxes_ahead_and_left_of_the_camera(tmp_path: Path) -> None:
    write(
        tmp_path,
        "0001",
        [
            label(0, 3, "Car", 20.0, x=-5.0),
            label(0, 4, "Van", 9.0),
            "1 -1 DontCare -1 -1 -10 1 2 3 4" + " -1" * 7,
        ],
        [detection(1, 20.0, -2.5, x=-5.0)],
    )
    assert sequences(tmp_path) == ["0001"]
    first, second = truth(tmp_path, "0001", "Car")
    assert first.identities.tolist() == [3, 4]
    assert first.boxes[0] == pytest.approx([20.0, 5.0, 0.75 - 1.6, 4.0, 2.0, 1.5, -math.pi / 2])
    assert first.ignored.tolist() == [0, 1]  # a van is like a car, but none
    assert second.regions.tolist() == [[1.0, 2.0, 3.0, 4.0]]
    assert not len(second.identities)
    before, found = detections(tmp_path, "0001", "Car", frames=2)
    assert not len(before.boxes)
    assert found.boxes.boxes[0] == pytest.approx(first.boxes[0])
    assert (found.boxes.scores.tolist(), found.pixels.tolist()) == ([-2.5], [[100, 100, 200, 180]])


@pytest.mark.parametrize(
    ("labels", "found", "told"),
    [
        (["0 1 Car 0 0"], [], r"labels.0001.txt:1: 5 columns"),
        ([label(0, 1, "Car", 9).replace("1.6", "x")], [], r"0001.txt:1: could not convert"),
        ([label(0, 1, "Car", math.nan)], [], r"0001.txt:1: not 16 finite"),
        ([label(0, 1, "Car", 9)], ["0,2,1"], r"Car_0001.txt:1: not 15 finite"),
        (
            [label(0, 1, "Car", 9)],
            [detection(0, 9, 1).replace("1.5,2,4", "1.5,0,4")],
            r"txt:1: a box has a side",
        ),
    ],
)
def test_reader_names_file_and_line_when_one_is_damaged(
    tmp_path: Path, labels: list[str], found: list[str], told: str
) -> None:
    write(tmp_path, "0001", labels, found)
    with pytest.raises(DatasetError, match=told):
        detections(tmp_path, "0001", "Car", frames=len(truth(tmp_path, "0001", "Car")))


def test_reader_names_what_is_missing_when_there_is_no_data(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"no folder .*labels.*unpack"):
        sequences(tmp_path)
    write(tmp_path, "0001", [label(0, 1, "Car", 9)], [])
    with pytest.raises(DatasetError, match="Cyclist_0001"):
        detections(tmp_path, "0001", "Cyclist", frames=1)


@pytest.mark.parametrize("seed", range(10))
def test_overlap_is_that_of_volumes_whatever_way_boxes_lie(seed: int) -> None:
    """Against points drawn in the box: the share of the first that lies in the second, too."""
    rng = np.random.default_rng(seed)
    first, second = (
        np.concatenate((rng.uniform(-1, 1, 3), rng.uniform(1, 4, 3), rng.uniform(-9, 9, 1))) for _ in range(2)
    )
    local = rng.uniform(-0.5, 0.5, (40_000, 3)) * first[3:6]

    def turned(points: np.ndarray, yaw: float) -> np.ndarray:
        cos, sin = math.cos(yaw), math.sin(yaw)
        return points @ np.array([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1]])

    world = turned(local, first[6]) + first[:3]
    inside = (np.abs(turned(world - second[:3], -second[6])) <= second[3:6] / 2).all(axis=1).mean()
    shared = inside * first[3:6].prod()
    whole = first[3:6].prod() + second[3:6].prod() - shared
    both = overlaps(np.stack((first, second)), np.stack((second, first)))
    assert both[0, 0] == pytest.approx(shared / whole, abs=0.02)
    assert both[0, 0] == pytest.approx(both[1, 1], abs=1e-6)
    assert both[0, 1] == pytest.approx(1.0, abs=1e-6)


def box(x: float) -> tuple[float, ...]:
    return (x, 0.0, 0.75, 4.0, 2.0, 1.5, 0.0)


def frame(*objects: tuple[int, float, int], regions: tuple[tuple[float, ...], ...] = ()) -> KittiTruth:
    """Objects of (identity, x, ignored)."""
    return KittiTruth(
        identities=np.array([who for who, _, _ in objects], np.int64),
        boxes=np.array([box(x) for _, x, _ in objects]).reshape(-1, 7),
        ignored=np.array([ignored for _, _, ignored in objects], np.int64),
        regions=np.array(regions).reshape(-1, 4),
    )


def tracks(*rows: tuple[int, float, float], pixels: tuple[float, ...] = PIXELS) -> TrackBoxes:
    """Tracks of (identity, x, score)."""
    return TrackBoxes(
        identities=np.array([who for who, _, _ in rows], np.int64),
        scores=np.array([score for _, _, score in rows]),
        boxes=np.array([box(x) for _, x, _ in rows]).reshape(-1, 7),
        pixels=np.tile(pixels, (len(rows), 1)),
    )


def counted(truths: list[KittiTruth], made: list[TrackBoxes], threshold: float = 0.0) -> tuple[int, ...]:
    found = SequenceTracks(truths, made).counts(threshold)
    return found.boxes, found.missed, found.false, found.switches


def test_protocol_counts_misses_false_boxes_and_switches() -> None:
    truths = [frame((1, 10.0, 0), (2, 30.0, 0))] * 3
    made = [tracks((5, 10, 1), (6, 50, 1)), tracks((5, 10, 1)), tracks((7, 10.5, 1))]
    assert counted(truths, made) == (6, 3, 1, 1)


def test_protocol_keeps_whole_tracks_by_their_mean_score() -> None:
    truths = [frame((1, 10.0, 0))] * 2
    made = [tracks((5, 10, 3), (6, 40, 1)), tracks((5, 10, -1), (6, 40, 0.8))]
    assert counted(truths, made, 1.0) == (2, 0, 0, 0)
    assert counted(truths, made, 1.01) == (2, 2, 0, 0)
    assert counted(truths, made, 0.5) == (2, 0, 2, 0)


def test_protocol_forgives_what_is_ignored_not_labelled_or_too_low() -> None:
    assert counted([frame((1, 10.0, 1))], [tracks((5, 10, 1))]) == (0, 0, 0, 0)
    assert counted([frame((1, 10.0, 1))], [tracks()]) == (0, 0, 0, 0)
    region = ((90.0, 90.0, 210.0, 190.0),)
    assert counted([frame(regions=region)], [tracks((5, 10, 1))]) == (0, 0, 0, 0)
    assert counted([frame()], [tracks((5, 10, 1))]) == (0, 0, 1, 0)
    assert counted([frame()], [tracks((5, 10, 1), pixels=(0, 0, 50, 25))]) == (0, 0, 0, 0)


def test_switch_is_none_when_the_object_was_ignored_in_between() -> None:
    truths = [frame((1, 10.0, 0)), frame((1, 10.0, 1)), frame((1, 10.0, 0))]
    made = [tracks((5, 10, 1)), tracks((5, 10, 1)), tracks((6, 10, 1))]
    assert counted(truths, made) == (2, 0, 0, 0)


def test_threshold_is_the_one_of_the_best_mota_over_all_sequences() -> None:
    truths = [frame((1, 10.0, 0))]
    parts = [SequenceTracks(truths, [tracks((5, 10, score), (6, 40, score - 1))]) for score in (2.0, 2.2)]
    tried, table = threshold_table(parts)
    best = best_threshold(table)
    assert 1.2 < tried[best] <= 2.0
    assert [row[best].mota for row in table] == [1.0, 1.0]


def test_both_trackers_follow_a_car_through_a_small_set(tmp_path: Path) -> None:
    for sequence in ("0001", "0002", "0003"):
        labels = [label(frame, 1, "Car", 10 + 0.5 * frame) for frame in range(20)]
        found = [detection(frame, 10 + 0.5 * frame, 4.0) for frame in range(20)]
        found += [detection(frame, 30 + (7 * frame) % 40, -3.0, x=-12.0) for frame in range(20)]
        write(tmp_path, sequence, labels, found)
    results = run_kitti(tmp_path, sequences(tmp_path), "Car")
    for result in results.values():
        assert result.chosen.switches == result.crossed.switches == 0
        assert result.chosen.boxes == 60
        assert result.chosen.mota > 0.9
        assert result.crossed.mota > 0.9
        assert len(result.step_ms) == 60


@pytest.mark.skipif(not KITTI.is_dir(), reason="needs the recordings in ../shared/data")
def test_tracker_beats_the_plain_one_on_cyclists_of_kitti() -> None:
    results = run_kitti(KITTI, sequences(KITTI), "Cyclist")
    plain, ours = results["plain"], results["ours"]
    assert plain.chosen.boxes == ours.chosen.boxes == 511
    assert ours.chosen.mota > plain.chosen.mota + 0.05
    assert ours.crossed.mota > plain.crossed.mota + 0.05
    assert ours.chosen.switches <= plain.chosen.switches
