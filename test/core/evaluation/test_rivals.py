"""Reference detectors in numpy: clusters of points, and boxes of several detectors put together."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from worlds import LABELS, random_frames

from sentryfuse_core.boxes import FrameBoxes
from sentryfuse_core.evaluation.metrics import evaluate_detections
from sentryfuse_core.lab.scoring.clustering import cluster
from sentryfuse_core.lab.scoring.late_fusion import late_fusion

SIZES = np.array([(4.4, 1.85, 1.55), (0.5, 0.6, 1.72)])  # car, pedestrian
SEEDS = st.integers(0, 1000)


def shell(x: float, y: float, size: np.ndarray, step: float = 0.2) -> np.ndarray:
    """Points on all sides of an upright box on the ground, [N, 3]."""
    length, width, height = size
    u, v, z = (np.arange(0.0, end + 1e-6, step) for end in (length, width, height))
    ends = [(a, b) for a in u for b in (0.0, width)] + [(a, b) for a in (0.0, length) for b in v]
    sides = np.array([(x - length / 2 + a, y - width / 2 + b, c) for a, b in ends for c in z])
    return np.concatenate([sides, np.full((5, 3), np.nan)])


def test_cluster_boxes_and_names_when_car_and_person_stand_apart() -> None:
    ground = np.array([(x, y, 0.02) for x in range(20) for y in range(-5, 5)], float)
    found = cluster(np.concatenate([ground, shell(10, 3, SIZES[0]), shell(6, -3, SIZES[1])]), SIZES)
    assert sorted(found.classes.tolist()) == [0, 1]
    for box, kind in zip(found.boxes, found.classes, strict=True):
        assert box[:2] == pytest.approx([(10, 3), (6, -3)][kind], abs=0.25)
        assert box[3:6] == pytest.approx(SIZES[kind], abs=0.35)


def test_cluster_grows_away_from_the_sensor_when_only_the_near_face_is_seen() -> None:
    whole = shell(10, 0, SIZES[0])
    face = whole[whole[:, 0] < 8.0]
    box = cluster(face, SIZES).boxes[0]
    assert box[0] > 8.5
    assert max(box[3:5]) >= 4.4


def test_cluster_finds_nothing_when_there_is_ground_a_wall_or_no_return() -> None:
    wall = shell(10, 0, np.array([9.0, 3.0, 2.5]))
    ground = np.array([(x, y, 0.1) for x in range(20) for y in range(-5, 5)], float)
    for points in (wall, ground, np.full((10, 4), np.nan)):
        assert len(cluster(points, SIZES)) == 0


@given(SEEDS)
def test_late_fusion_changes_nothing_when_both_detectors_agree(seed: int) -> None:
    frames = random_frames(np.random.default_rng(seed), frames=4, most=8)
    one, two = late_fusion([frames]), late_fusion([frames, frames])
    for alone, both in zip(one, two, strict=True):
        assert sorted(alone.scores) == pytest.approx(sorted(both.scores))


@given(SEEDS)
def test_late_fusion_leaves_no_doubles_when_boxes_are_crowded(seed: int) -> None:
    rng = np.random.default_rng(seed)
    fused = late_fusion([random_frames(rng, frames=3, most=8) for _ in range(3)])
    for frame in fused:
        for first in range(len(frame)):
            for second in range(first):
                apart = np.hypot(*(frame.boxes[first, :2] - frame.boxes[second, :2]))
                assert apart >= 2.0 or frame.classes[first] != frame.classes[second]


def test_late_fusion_finds_what_either_finds_when_they_see_different_frames() -> None:
    truth = random_frames(np.random.default_rng(0), frames=20, most=2)
    halves = [
        [frame if index % 2 == part else FrameBoxes.none() for index, frame in enumerate(truth)]
        for part in (0, 1)
    ]
    alone = [evaluate_detections(truth, half, labels=LABELS).map for half in halves]
    assert evaluate_detections(truth, late_fusion(halves), labels=LABELS).map > max(alone) + 0.2
