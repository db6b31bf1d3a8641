"""Sectors of one set: what runs as one batch, and one box for each object where regions overlap."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from sentryfuse_core.around import Claim, View, in_base, joint_plan, merged, runs_of
from sentryfuse_core.preprocess.tensors import ModelInput
from sentryfuse_core.types import Detection, Modality, ModalitySet, PartLevels, Plan

QUARTERS = {0: 0.0, 1: math.pi / 2, 2: math.pi, 3: -math.pi / 2}
CAMERA, LIDAR, IMU, _ = (ModalitySet.of(modality) for modality in Modality)
PERCEIVING = CAMERA | LIDAR


def person(x: float, y: float, *, score: float = 0.8) -> Detection:
    return Detection("pedestrian", 1, score, x, y, 0.9, 0.6, 0.6, 1.8, 0.0)


def car(x: float, y: float, *, score: float = 0.8) -> Detection:
    return Detection("car", 0, score, x, y, 0.75, 4.5, 1.8, 1.5, 0.0)


def view(yaw: float, mask: ModalitySet, *, gmacs: float = 1.0) -> View:
    tensors = {"lidar": torch.full((1, 6, 64, 64), yaw)} if Modality.LIDAR in mask else {}
    if Modality.CAMERA in mask:
        tensors |= {"camera": torch.zeros(1, 3, 128, 384), "camera_position": torch.zeros(1, 3)}
    plan = Plan(mask, 0, "gate", 0.0, 1, 1, 1, 1, gmacs, "", parts=PartLevels())
    return View(yaw, ModelInput(**tensors), plan, {})


def test_box_of_a_sector_lies_where_the_base_frame_has_it() -> None:
    left = in_base(replace(car(10.0, 2.0), yaw=0.25), math.pi / 2)
    assert (left.x, left.y) == pytest.approx((-2.0, 10.0))
    assert left.yaw == pytest.approx(math.pi / 2 + 0.25)
    back = in_base(replace(car(10.0, 2.0), yaw=1.0), math.pi)
    assert (back.x, back.y) == (-10.0, -2.0)
    assert -math.pi <= back.yaw <= math.pi
    ahead = car(10.0, 2.0)
    assert in_base(ahead, 0.0) is ahead


@pytest.mark.parametrize(("first", "second"), [((8.0, 7.9), (7.9, 8.0)), ((8.0, 8.3), (8.3, 8.0))])
def test_object_on_a_border_has_one_box_when_both_sectors_find_it(
    first: tuple[float, float], second: tuple[float, float]
) -> None:
    claims = [Claim(car(*first), 0, True), Claim(car(*second, score=0.7), 1, True)]
    (kept,) = merged(claims, QUARTERS)
    assert kept.detection.label == "car"


def test_object_just_beyond_a_border_stays_when_its_owner_misses_it() -> None:
    beyond = Claim(person(8.0, 8.2), 0, True)
    assert merged([beyond], QUARTERS) == [beyond]
    assert merged([Claim(person(4.0, 9.0), 0, True)], QUARTERS) == []  # far beyond, the owner would know


def test_people_side_by_side_stay_two_when_both_sectors_find_both() -> None:
    claims = [
        Claim(person(8.3, 8.0), 0, True),
        Claim(person(8.0, 8.3), 0, True),
        Claim(person(8.25, 8.05), 1, True),
        Claim(person(7.95, 8.35), 1, True),
    ]
    kept = merged(claims, QUARTERS)
    assert sorted(claim.sector for claim in kept) == [0, 1]


def test_boxes_of_two_classes_stay_two_when_they_lie_on_a_border() -> None:
    claims = [Claim(person(8.0, 8.1), 0, True), Claim(car(8.1, 8.0), 1, True)]
    assert len(merged(claims, QUARTERS)) == 2


def test_box_stays_with_who_found_it_when_the_nearer_sector_did_not_run() -> None:
    claim = Claim(person(3.0, 9.0), 0, True)
    assert merged([claim], {0: 0.0, 2: math.pi}) == [claim]


def test_best_come_first_and_faint_ones_last_when_sectors_are_merged() -> None:
    claims = [
        Claim(person(9.0, 0.0, score=0.4), 0, True),
        Claim(person(-9.0, 0.0, score=0.5), 2, False),
        Claim(person(0.0, 9.0, score=0.6), 1, True),
    ]
    assert [claim.detection.score for claim in merged(claims, QUARTERS)] == [0.6, 0.4, 0.5]


def test_sectors_run_as_one_batch_when_their_plans_are_the_same() -> None:
    views = [view(0.0, CAMERA | LIDAR), view(1.0, LIDAR), view(2.0, IMU), view(3.0, LIDAR)]
    runs = runs_of(views, perceiving=PERCEIVING, batches=True)
    assert [run.sectors for run in runs] == [(0,), (1, 3)]
    grids = runs[1].inputs.lidar
    assert grids is not None
    assert grids[:, 0, 0, 0].tolist() == [1.0, 3.0]
    one_by_one = runs_of(views, perceiving=PERCEIVING, batches=False)
    assert [run.sectors for run in one_by_one] == [(0,), (1,), (3,)]


def test_plan_of_a_set_has_all_sensors_and_all_work_when_sectors_differ() -> None:
    views = [view(0.0, CAMERA | LIDAR, gmacs=2.0), view(math.pi, LIDAR), view(math.pi / 2, LIDAR)]
    plan = joint_plan(views)
    assert plan.mask == CAMERA | LIDAR
    assert plan.gmacs == pytest.approx(4.0)
    assert plan.words == "front: camera+lidar; back, left: lidar"
    assert joint_plan(views[:1]) is views[0].plan


def test_doubles_and_losses_stay_rare_when_objects_cross_all_borders() -> None:
    """Two sectors that place an object 0.2 m apart by chance, at every bearing and distance."""
    rng = np.random.default_rng(21)
    doubled = lost = 0
    for _ in range(2000):
        bearing, range_m = rng.uniform(-math.pi, math.pi), rng.uniform(3.0, 15.0)
        at = range_m * np.array((math.cos(bearing), math.sin(bearing)))
        claims = []
        for sector, yaw in QUARTERS.items():
            off = abs(math.remainder(bearing - yaw, math.tau))
            x, y = (at + rng.normal(0.0, 0.2, 2)).tolist()
            if off < math.pi / 2 and abs(range_m * math.sin(off)) < 16.0:
                claims.append(Claim(car(x, y), sector, True))
        kept = len(merged(claims, QUARTERS))
        doubled, lost = doubled + (kept > 1), lost + (kept == 0)
    assert doubled + lost <= 20
