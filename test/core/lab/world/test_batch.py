"""Training batches: reproducible, and true to the boxes they are labelled with."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from sentryfuse_core.config import Config
from sentryfuse_core.lab.world.batch import WorldBatch, microphones, training_batch
from sentryfuse_core.lab.world.camera import View, render
from sentryfuse_core.lab.world.config import CLASSES, WorldConfig, world_v2
from sentryfuse_core.lab.world.exposure import expose
from sentryfuse_core.lab.world.lidar import sweep
from sentryfuse_core.lab.world.scan import plain_scan
from sentryfuse_core.lab.world.scene import ABSENT, Parts, Scene, draw_scenes, parts_of
from sentryfuse_core.preprocess.audio import bearing_features
from sentryfuse_core.preprocess.geometry import GEOMETRY

WORLD = world_v2()
VIEW = View(width=96, height=64, focal=48.0, cx=48.0, cy=32.0)
CAMERA_AT = torch.tensor([[0.3, 0.0, 1.5]])
LIDAR_AT = Config().lidar.translation_m


def scenes(batch: int = 4, *, seed: int = 0, world: WorldConfig = WORLD) -> Scene:
    return draw_scenes(world, batch=batch, generator=torch.Generator().manual_seed(seed))


def seeded(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def in_frame_of(parts: Parts, points: Tensor) -> Tensor:
    """Points [N, 3] in the frames of all K parts, [N, K, 3]."""
    rel = points[:, None] - parts.centre
    x = rel[..., 0] * parts.cos + rel[..., 1] * parts.sin
    y = rel[..., 1] * parts.cos - rel[..., 0] * parts.sin
    return torch.stack((x, y, rel[..., 2]), dim=-1)


def calm(scene: Scene) -> Scene:
    """The same on level ground in clear air."""
    clear = torch.zeros(len(scene))
    return replace(scene, bumps=torch.zeros_like(scene.bumps), rain_mm_h=clear, fog=clear, rough=clear)


def tensors(batch: WorldBatch) -> list[Tensor]:
    found = vars(batch) | vars(batch.conditions)
    return [item.nan_to_num(-1e6) for item in found.values() if isinstance(item, Tensor)]


def same(first: WorldBatch, second: WorldBatch) -> bool:
    return all(torch.equal(a, b) for a, b in zip(tensors(first), tensors(second), strict=True))


def test_training_batch_repeats_when_the_seed_does() -> None:
    batch = training_batch(WORLD, batch=2, seed=2**40 + 3)
    assert same(batch, training_batch(WORLD, batch=2, seed=2**40 + 3))
    assert not same(batch, training_batch(WORLD, batch=2, seed=2**40 + 4))


def test_training_batch_has_the_shapes_of_the_model() -> None:
    batch = training_batch(WORLD, batch=2, seed=1)
    assert batch.image.shape == (2, 3, GEOMETRY.image_height, GEOMETRY.image_width)
    assert batch.camera_position.shape == (2, 3)
    assert batch.points.shape[::2] == (2, 4)
    assert batch.imu.shape == (2, GEOMETRY.imu_steps, 6)
    assert batch.audio.shape == (2, 2, GEOMETRY.audio_samples)
    assert batch.boxes.shape == (*batch.classes.shape, 7)
    assert 0.0 <= float(batch.image.min()) < float(batch.image.max()) <= 1.0
    assert set(batch.classes.unique().tolist()) <= {ABSENT, 0, 1, 2}


def test_scene_keeps_objects_apart_when_many_are_drawn() -> None:
    scene = scenes(64)
    radius = torch.hypot(scene.boxes[..., 3], scene.boxes[..., 4]) / 2
    gap = torch.cdist(scene.boxes[..., :2], scene.boxes[..., :2]) - radius[:, None] - radius[:, :, None]
    real = scene.classes != ABSENT
    pair = real[:, None] & real[:, :, None] & ~torch.eye(gap.shape[-1], dtype=torch.bool)
    assert float(gap[pair].min()) > 0.0
    counts = real[:, : WORLD.objects[1]].sum(dim=1)
    assert int(counts.max()) <= WORLD.objects[1]
    assert float(counts.float().mean()) > WORLD.objects[0]


def test_scene_draws_sizes_that_tell_classes_apart() -> None:
    scene = scenes(64)
    for kind, traits in enumerate(CLASSES):
        size = scene.boxes[scene.classes == kind][:, 3:6]
        assert size.mean(dim=0) == pytest.approx(torch.tensor(traits.size), rel=0.12)


def seen(scene: Scene) -> Tensor:
    """Radiance [B, 3, 64 * 96]."""
    return render(scene, VIEW, position=CAMERA_AT.expand(len(scene), 3), haze_m=160.0)[0]


def swept(scene: Scene, *, forward_only: bool, seed: int = 1) -> Tensor:
    scan = plain_scan(WORLD.lidar, WORLD.weather, LIDAR_AT, batch=len(scene))
    points, _ = sweep(scene, scan, WORLD.weather, forward_only=forward_only, generator=seeded(seed))
    return points


def test_lidar_sees_less_far_when_it_rains_or_is_foggy() -> None:
    dry = calm(scenes(4, seed=5))
    counts = [
        int((swept(scene, forward_only=True)[..., :3].norm(dim=-1) > 25).sum())
        for scene in (
            dry,
            replace(dry, rain_mm_h=torch.full((4,), 8.0)),
            replace(dry, fog=torch.full((4,), 0.06)),
        )
    ]
    assert counts[0] > 1.3 * max(counts[1:])


def test_camera_loses_contrast_when_it_is_foggy() -> None:
    clear = replace(calm(scenes(4, seed=5)), light=torch.full((4,), 0.95))
    sharp, dim = (
        seen(scene).view(4, 3, 64, 96)[:, :, 20:36].std(dim=(2, 3)).mean()
        for scene in (clear, replace(clear, fog=torch.full((4,), 0.06)))
    )
    assert float(dim) < 0.7 * float(sharp)


def test_camera_sees_the_ground_rise_when_the_nose_goes_down() -> None:
    scene = calm(scenes(1, seed=4))
    bumps = scene.bumps.clone()
    bumps[0, 1, 0] = torch.tensor((0.05, 0.0, math.pi / 2))  # a pitch of 0.05 rad, wherever it is
    down = replace(scene, bumps=bumps, light=torch.tensor([0.95]))
    assert down.tilt.tolist() == [[pytest.approx(0.0), pytest.approx(0.05, abs=1e-6)]]
    level, tilted = (
        seen(item).view(3, 64, 96).mean(dim=(0, 2))
        for item in (replace(down, bumps=torch.zeros_like(bumps)), down)
    )
    # The picture moves up by f tan(0.05) = 2.4 pixels.
    errors = [float((tilted[8:-8] - level[8 + k : 56 + k]).abs().mean()) for k in range(6)]
    assert errors.index(min(errors)) in {2, 3}


def test_lidar_points_lie_on_solids_or_ground_when_noise_is_known() -> None:
    scene = calm(scenes(1, seed=5))
    points = swept(scene, forward_only=False)[0]
    points = points[~points[:, 0].isnan()]
    parts = parts_of(scene)
    outside = (in_frame_of(parts, points[:, :3]).abs() - parts.half).clamp_min(0).norm(dim=-1).amin(dim=1)
    off = torch.minimum(points[:, 2].abs(), outside)
    reach = (points[:, :3] - torch.tensor(LIDAR_AT)).norm(dim=-1)
    sigma = WORLD.lidar.noise_m + WORLD.lidar.noise_per_m * reach
    assert bool((off < 5 * sigma).all())
    assert int((outside < 0.1).sum()) > 50
    assert bool((reach < WORLD.lidar.max_range_m + 1).all())


def test_lidar_sees_nothing_behind_a_car_that_stands_in_front() -> None:
    scene = scenes(1, seed=5)
    boxes = torch.zeros_like(scene.boxes)
    boxes[0, 0] = torch.tensor((10.0, 0.0, 1.25, 4.4, 1.9, 2.5, math.pi / 2))
    classes = torch.full_like(scene.classes, ABSENT)
    classes[0, 0] = 0
    alone = replace(calm(scene), boxes=boxes, classes=classes)
    points = swept(alone, forward_only=True)[0]
    shade = (points[:, 0] > 11.2) & ((points[:, 1] / points[:, 0]).abs() < 0.08)
    assert not bool(shade.any())
    assert int(((points[:, 0] - 9.05).abs() < 0.15).sum()) > 100


def test_camera_shows_colour_only_where_the_projected_box_is() -> None:
    scene = calm(scenes(1, seed=3))
    boxes = torch.zeros_like(scene.boxes)
    boxes[0, 0] = torch.tensor((12.0, 3.0, 0.8, 4.4, 1.9, 1.6, 0.4))
    classes = torch.full_like(scene.classes, ABSENT)
    empty = replace(scene, boxes=boxes, classes=classes, light=torch.tensor([0.3]))  # too dark for a shadow
    classes = classes.clone()
    classes[0, 0] = 0
    view = View(width=192, height=128, focal=96.0, cx=96.0, cy=64.0)
    with_car, filled = render(replace(empty, classes=classes), view, position=CAMERA_AT, haze_m=160.0)
    without, _ = render(empty, view, position=CAMERA_AT, haze_m=160.0)
    changed = ((with_car - without).abs().sum(dim=1) > 0).reshape(128, 192)
    assert bool(changed[round(64 + 0.4 / 11.7 * 96), round(96 - 3.0 / 11.7 * 96)])  # the box's lower half
    assert float(filled[0, 0]) == float(filled.sum()) == pytest.approx(float(changed.sum()), rel=0.15)
    rows, columns = torch.nonzero(changed, as_tuple=True)
    left, right = 96 - 5.5 / 9.4 * 96, 96 - 0.8 / 13.8 * 96
    assert left <= int(columns.min()) < int(columns.max()) <= right
    assert int(rows.max()) <= 64 + 1.5 / 9.2 * 96


def test_camera_is_darker_and_noisier_when_night_falls() -> None:
    scene = calm(scenes(1, seed=4))
    mean, noise = [], []
    for light in (0.95, 0.5, 0.05):
        lit = replace(scene, light=torch.tensor([light]))
        radiance = seen(lit)
        a, b = (
            expose(radiance, WORLD.camera, light=lit.light, averaged=1.0, generator=seeded(s)) for s in (1, 2)
        )
        assert not torch.equal(a, b)
        mean.append(float(a.mean()))
        noise.append(float((a - b).std()) / float(a.mean()))
    assert mean[0] > 1.1 * mean[1] > 1.5 * mean[2]
    assert noise[2] > 3 * noise[1] > 3 * noise[0]


@pytest.mark.parametrize("kind", range(3))
def test_audio_correlates_best_at_the_bearing_of_the_only_object(kind: int) -> None:
    alone = replace(WORLD, objects=(1, 1), clutter=(0, 0), region_x=(6.0, 14.0))
    scene = scenes(96, seed=9, world=alone)
    x, y = scene.boxes[:, 0, :2].unbind(-1)
    chosen = (scene.classes[:, 0] == kind) & (torch.hypot(x, y) < 16) & (x > 0)
    pcm = microphones(scene, alone, Config(), seeded())[chosen]
    features = bearing_features(pcm, GEOMETRY.audio_spacing_m)
    peak = features[..., : GEOMETRY.audio_bands].mean(dim=-1).argmax(dim=1)
    found = torch.sin(torch.tensor(GEOMETRY.bearings_rad))[peak]
    truth = (y / torch.hypot(x, y))[chosen]
    assert len(truth) >= 8
    assert float(((found - truth).abs() < 0.2).float().mean()) > 0.85


def test_audio_is_quieter_when_the_object_is_further_away() -> None:
    worlds = [
        replace(WORLD, objects=(1, 1), clutter=(0, 0), region_x=region)
        for region in ((5.0, 8.0), (30.0, 33.0))
    ]
    near, far = (
        microphones(scenes(48, seed=2, world=world), world, Config(), seeded()).std() for world in worlds
    )
    assert float(near) > 2 * float(far) > 2 * WORLD.sound.noise


def test_imu_feels_gravity_and_noise_when_standing() -> None:
    batch = training_batch(replace(WORLD, ego_speed=(0.0, 0.0)), batch=8, seed=6)
    assert batch.imu[..., 5].mean().item() == pytest.approx(WORLD.imu.gravity, abs=0.1)
    assert batch.imu[..., :5].abs().mean().item() < 0.2
    assert float(batch.imu.std(dim=1).min()) > 0.0
