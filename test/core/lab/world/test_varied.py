"""The world of streets and many lidars: its places, what lidars tell, and ways that differ from the axis."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from sentryfuse_core.errors import ConfigError, OutputError
from sentryfuse_core.lab.training.data import make_batch
from sentryfuse_core.lab.world.batch import training_batch
from sentryfuse_core.lab.world.config import WorldConfig, world_v2
from sentryfuse_core.lab.world.drive import drive
from sentryfuse_core.lab.world.imu import measure
from sentryfuse_core.lab.world.late import earlier
from sentryfuse_core.lab.world.lidar import sweep
from sentryfuse_core.lab.world.objects import CAR
from sentryfuse_core.lab.world.picture import draw_moments
from sentryfuse_core.lab.world.scan import draw_scan, plain_scan
from sentryfuse_core.lab.world.scene import ABSENT, Scene, draw_scenes
from sentryfuse_core.lab.world.variety import SCANNERS, Variety
from sentryfuse_core.preprocess.tensors import UNSEEN
from sentryfuse_core.types import Modality

VARIETY = Variety()
WORLD = WorldConfig(variety=VARIETY)
PARKED = slice(WORLD.objects[1], WORLD.targets)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def scenes(batch: int, *, seed: int = 0, world: WorldConfig = WORLD) -> Scene:
    return draw_scenes(world, batch=batch, generator=seeded(seed))


def level(scene: Scene) -> Scene:
    clear = torch.zeros(len(scene))
    return replace(scene, bumps=torch.zeros_like(scene.bumps), rain_mm_h=clear, fog=clear)


def inside(points: Tensor, box: Tensor) -> Tensor:
    """Which of points [N, 2] lie well within the footprint of a box [7]."""
    x, y = (points - box[:2]).unbind(-1)
    cos, sin = box[6].cos(), box[6].sin()
    return ((x * cos + y * sin).abs() < box[3] / 2 - 0.02) & ((y * cos - x * sin).abs() < box[4] / 2 - 0.02)


def corners(box: Tensor) -> Tensor:
    sign = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, -1.0], [-1.0, 1.0], [0.0, 0.0]])
    x, y = (sign * box[3:5] / 2).unbind(-1)
    cos, sin = box[6].cos(), box[6].sin()
    return box[:2] + torch.stack((x * cos - y * sin, x * sin + y * cos), dim=-1)


def test_training_batch_repeats_when_the_seed_does_in_streets() -> None:
    first, second = (training_batch(WORLD, batch=2, seed=7) for _ in range(2))
    assert torch.equal(first.image, second.image)
    assert torch.equal(first.points.nan_to_num(-9.0), second.points.nan_to_num(-9.0))


def test_objects_keep_apart_when_they_stand_in_a_street() -> None:
    drawn = scenes(12)
    for row in range(12):
        boxes = drawn.boxes[row][drawn.classes[row] != ABSENT]
        for index, box in enumerate(boxes):
            others = torch.cat([corners(other) for other in boxes[index + 1 :]] or [torch.zeros(0, 2)])
            assert not bool(inside(others, box).any())


def test_parked_cars_stand_still_along_the_road_when_there_is_one() -> None:
    drawn = scenes(64)
    there = drawn.classes[:, PARKED] != ABSENT
    assert bool((drawn.classes[:, PARKED][there] == CAR).all())
    assert float(drawn.speed[:, PARKED].abs().max()) == 0.0
    road = torch.atan2(drawn.ground.sin, drawn.ground.cos)[:, None]
    along = (2 * (drawn.boxes[:, PARKED, 6] - road)).cos()[there]  # 1: parallel, -1: at right angles
    assert float((along > 0.98).float().mean()) > 0.5
    assert int(there.sum(dim=1).max()) >= 6


def test_lidar_sees_into_cars_when_their_glass_is_clear() -> None:
    drawn = level(scenes(16, seed=3))
    scan = plain_scan(WORLD.lidar, WORLD.weather, (0.0, 0.0, 1.8), batch=16)

    def returns(clear: float) -> int:
        solids = drawn.solids.clone()
        solids[..., 6] = torch.where(solids[..., 6] > 0.0, clear, 0.0)
        glass = replace(drawn, solids=solids)
        return int(sweep(glass, scan, WORLD.weather, forward_only=True, generator=seeded())[1].sum())

    assert returns(1.0) < 0.95 * returns(0.0)


def test_lidars_of_all_kinds_fill_up_to_the_same_number_of_rays() -> None:
    drawn = scenes(2)
    kinds = set()
    for seed in range(24):
        scan = draw_scan(WORLD, VARIETY, batch=2, generator=seeded(seed))
        kinds.add((scan.model.beams, scan.model.columns))
        assert scan.model.beams * scan.model.columns // 2 <= VARIETY.rays
    points, _ = sweep(drawn, scan, WORLD.weather, forward_only=True, generator=seeded())
    assert points.shape == (2, VARIETY.rays, 4)
    assert len(kinds) > len(SCANNERS) // 2


def test_intensity_is_constant_when_the_driver_writes_none() -> None:
    drawn = level(scenes(2))
    scan = draw_scan(WORLD, replace(VARIETY, no_intensity=1.0), batch=2, generator=seeded(1))
    points, _ = sweep(drawn, scan, WORLD.weather, forward_only=True, generator=seeded())
    for own in points:
        found = own[..., 3][~own[..., 3].isnan()]
        assert len(found) > 100
        assert float(found.max() - found.min()) == 0.0


def test_ground_is_higher_when_it_lies_beyond_the_kerb() -> None:
    drawn = level(scenes(8, seed=2))
    scan = plain_scan(WORLD.lidar, WORLD.weather, (0.0, 0.0, 1.8), batch=8)
    ground = replace(
        drawn.ground,
        kerb_left=torch.full((8,), 0.2),
        **{name: torch.zeros(8) for name in ("rise_left", "grade", "kerb_right", "rise_right")},
    )
    empty = replace(drawn, ground=ground, classes=torch.full_like(drawn.classes, ABSENT))
    points, _ = sweep(empty, scan, WORLD.weather, forward_only=True, generator=seeded())
    left = ground.across(points[..., 0], points[..., 1]) > ground.left[:, None] + 0.3
    left &= points[..., 0].isfinite()
    assert bool(left.any())
    assert float(points[..., 2][left].median()) == pytest.approx(0.2, abs=0.03)


def test_things_pass_sideways_when_the_region_looks_to_the_side() -> None:
    drawn = scenes(4)
    motion = torch.tensor([4.0, 0.0, 0.0]).expand(4, 3)
    course = torch.full((4,), math.pi / 2)
    still = replace(drawn, ego_motion=motion, course=course, speed=torch.zeros_like(drawn.speed))
    moved = earlier(still, torch.full((4,), 0.5)).boxes - still.boxes
    assert float(moved[..., 0].abs().max()) < 1e-4
    assert torch.allclose(moved[..., 1], torch.full_like(moved[..., 1], 2.0), atol=1e-4)


def test_imu_feels_a_start_along_the_course_when_it_is_not_the_axis() -> None:
    motion = torch.tensor([0.0, 2.0, 0.0]).expand(1, 50, 3)
    flat = torch.zeros(1, 50, 2)
    course = torch.tensor([[math.pi / 2]])
    calm = replace(WORLD.imu, accel_noise=0.0, vibration=0.0)
    found = measure(
        motion, torch.zeros(1, 6), calm, tilt=flat, tilt_rate=flat, course=course, generator=seeded()
    )
    assert found[0, :, 3:5].mean(dim=0).tolist() == pytest.approx([0.0, 2.0], abs=1e-4)


def test_image_is_grey_where_the_camera_does_not_see() -> None:
    made = training_batch(WORLD, batch=6, seed=4)
    assert made.seen is not None
    blind = made.seen.repeat_interleave(4, dim=2).repeat_interleave(4, dim=3) == 0.0
    assert bool(blind.any())
    assert bool((made.image[blind.expand_as(made.image)] == UNSEEN).all())


def test_boxes_are_no_targets_when_neither_camera_nor_lidar_has_them() -> None:
    batch = make_batch(WORLD, batch=4, seed=0, step=1)
    assert batch.visible is not None
    seen = batch.visible[Modality.CAMERA] | batch.visible[Modality.LIDAR]
    assert bool((batch.classes[~seen] == -1).all())
    assert bool((batch.classes[seen] >= 0).any())


def test_picture_shows_moments_when_it_is_asked_to(tmp_path: Path) -> None:
    draw_moments(WORLD, tmp_path / "made.png", seed=1)
    assert (tmp_path / "made.png").stat().st_size > 20_000
    with pytest.raises(OutputError, match=r"\.png or \.jpg"):
        draw_moments(WORLD, tmp_path / "made.txt", seed=1)


def test_drive_says_where_to_drive_when_the_world_has_moments_alone() -> None:
    with pytest.raises(ConfigError, match="world_v2"):
        drive(WORLD, seed=0, seconds=1.0)
    assert len(drive(world_v2(), seed=0, seconds=0.1)) == 4


def test_plain_scan_is_where_its_scenes_are() -> None:
    scan = plain_scan(WORLD.lidar, WORLD.weather, (0.0, 0.0, 1.8), batch=2, device="meta")
    assert {item.device.type for item in (scan.elevation, scan.position, scan.faint)} == {"meta"}
