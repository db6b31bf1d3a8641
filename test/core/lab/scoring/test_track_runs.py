"""Tracks through scripted blackouts: scripts, drives made of true boxes, and a drive that is rendered."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from networks import make_bank

from sentryfuse_core.boxes import FrameBoxes
from sentryfuse_core.evaluation.motion import Crowd
from sentryfuse_core.lab.scoring.track_drives import FIRST_SCORED, TrackDrive, make_drive
from sentryfuse_core.lab.scoring.track_runs import (
    ALL,
    BLACKOUT,
    BLIND,
    LIDAR_GONE,
    NO_LIDAR,
    judge_runs,
    masks_of,
    scripts,
)
from sentryfuse_core.tracking.tracker import EgoStep
from sentryfuse_core.types import ModalitySet

LABELS = ("car", "pedestrian", "cyclist")
SECONDS = 25.0


def recall(sensors: ModalitySet) -> tuple[float, ...]:
    """A set that perceives finds nine of ten."""
    return (0.0 if sensors == BLIND else 0.9,) * 3


def steady(*, false_every: int = 0) -> TrackDrive:
    """Two cars that keep their distance to a robot at 5 m/s, found to the bit, and boxes where nothing is."""
    truth, boxes, found = [], [], []
    for index in range(round(10 * SECONDS)):
        own = np.array([(12.0, 3.0, 0.8, 4.4, 1.8, 1.5, 0.0), (20.0, -4.0, 0.8, 4.4, 1.8, 1.5, 0.0)])
        truth.append(
            Crowd(
                identities=np.array([4, 9]),
                classes=np.zeros(2, np.int64),
                places=own[:, :2],
                velocities=np.tile((5.0, 0.0), (2, 1)),
                headings=np.zeros(2),
            )
        )
        boxes.append(FrameBoxes(own, np.zeros(2, np.int64), np.ones(2)))
        wrong = false_every > 0 and index % false_every == 0
        extra = np.array([(5.0 + index % 20, -12.0, 0.8, 4.4, 1.8, 1.5, 0.0)] * wrong).reshape(-1, 7)
        rows = np.concatenate((own, extra))
        found.append(FrameBoxes(rows, np.zeros(len(rows), np.int64), np.array([0.8, 0.8, *[0.85] * wrong])))
    steps = [EgoStep(0.5, 0.0, 0.0)] * len(truth)
    return TrackDrive(truth, boxes, dict.fromkeys(masks_of(scripts(SECONDS)), found), steps)


def test_scripts_take_away_what_they_say_when_they_say() -> None:
    made = scripts(30.0)
    assert {len(script) for script in made.values()} == {300}
    gone = np.array([mask == BLIND for mask in made[BLACKOUT]])
    assert gone.sum() == 50
    assert gone[50:60].all()
    assert not gone[:50].any()
    deaf = [index for index, mask in enumerate(made[LIDAR_GONE]) if mask == NO_LIDAR]
    assert deaf == list(range(100, 200))
    assert BLIND not in masks_of(made)


def test_everything_is_kept_when_detections_are_the_truth() -> None:
    runs = {run.name: run for run in judge_runs([steady()], scripts(SECONDS), labels=LABELS, recall=recall)}
    whole, blind = runs[str(ALL)], runs[BLACKOUT]
    assert whole.tracks.switches == blind.tracks.switches == 0
    assert whole.recall > 0.98
    assert whole.motion.mave_m_s < 0.2
    assert whole.motion.straight == 1.0
    assert (blind.kept, blind.followed, blind.there) == (8, 8, 8)
    assert (whole.phantoms, whole.every, whole.false_boxes) == (0, 2, 0)
    assert math.isnan(whole.kept_share)
    assert math.isnan(blind.phantoms_fewer)


def test_false_boxes_outnumber_phantoms_when_each_comes_alone() -> None:
    run = judge_runs([steady(false_every=5)], scripts(SECONDS), labels=LABELS, recall=recall)[0]
    assert run.false_boxes == 50
    assert run.phantoms <= 50 / 5


def test_drives_do_not_share_identities_when_they_are_put_together() -> None:
    one, two = (
        judge_runs([steady()] * count, scripts(SECONDS), labels=LABELS, recall=recall)[0] for count in (1, 2)
    )
    assert two.tracks.hits == 2 * one.tracks.hits
    assert two.tracks.hota == pytest.approx(one.tracks.hota)
    assert (two.every, two.tracks.switches) == (4, 0)


def test_drive_is_the_same_for_a_seed_and_its_odometry_is_near_the_truth(tmp_path: Path) -> None:
    bank, done = make_bank(tmp_path), []
    first = make_drive(bank, [ALL, NO_LIDAR], seed=5, seconds=1.2, on_moments=done.append)
    again = make_drive(bank, [ALL, NO_LIDAR], seed=5, seconds=1.2)
    assert sum(done) == len(first) == 12
    for mask in (ALL, NO_LIDAR):
        for left, right in zip(first.found[mask], again.found[mask], strict=True):
            assert np.array_equal(left.boxes, right.boxes)
            assert (left.scores >= 0.05).all()
    assert first.steps == again.steps
    standing = [
        (before.places[list(before.identities).index(who)], after.places[row], step)
        for before, after, step in zip(first.truth, first.truth[1:], first.steps[1:], strict=False)
        for row, who in enumerate(after.identities.tolist())
        if who in before.identities and np.hypot(*after.velocities[row]) < 1e-6
    ]
    for place, later, step in standing:
        away = place - np.array(step[:2])
        cos, sin = math.cos(step.yaw), math.sin(step.yaw)
        assert later == pytest.approx(
            [cos * away[0] + sin * away[1], cos * away[1] - sin * away[0]], abs=0.05
        )
    assert [len(frame) for frame in first.boxes] == [len(one) for one in first.truth]
    assert FIRST_SCORED >= 2**40  # training's seeds are below
