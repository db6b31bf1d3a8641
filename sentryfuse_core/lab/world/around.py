"""Moments with traffic to every side, and what sensors that look to each side have of them."""

from __future__ import annotations

import math
from dataclasses import fields, replace
from typing import Any

import torch
from torch import Tensor

from sentryfuse_core.config import Config
from sentryfuse_core.lab.world.batch import CAMERA_SPREAD_M, WorldBatch, render_batch
from sentryfuse_core.lab.world.config import WorldConfig
from sentryfuse_core.lab.world.lidar import sweep
from sentryfuse_core.lab.world.objects import uniform
from sentryfuse_core.lab.world.rig import lidars_of
from sentryfuse_core.lab.world.scan import plain_scan
from sentryfuse_core.lab.world.scene import ABSENT, Scene, draw_scenes
from sentryfuse_core.preprocess.sectors import sector_axes

__all__ = ["QUARTERS_RAD", "around_batch", "around_clouds", "draw_around", "turned"]

QUARTERS_RAD = (0.0, math.pi / 2, math.pi, -math.pi / 2)  # front, left, back, right
_APART_M = 0.3  # between the circles around two footprints


def around_batch(config: WorldConfig, *, batch: int, seed: int) -> tuple[WorldBatch, ...]:
    """`batch` moments of a plain world by `seed` alone, as each of four sides has them, in axes of that side.

    Each side has a camera like the one in front. The lidar in the middle is seen anew by each side: where
    regions overlap its noise is another. IMU and microphones are those of the front in all of them.
    """
    sensors = Config()
    generator = torch.Generator().manual_seed(seed)
    scene = draw_around(config, batch=batch, generator=generator)
    crowded = replace(config, objects=(0, _targets(config)))
    sides = []
    for yaw in QUARTERS_RAD:
        usual, spread = torch.tensor(sensors.camera.translation_m), torch.tensor(CAMERA_SPREAD_M)
        position = usual + spread * uniform(-1, 1, (batch, 3), generator)
        seen = turned(scene, yaw)
        scan = plain_scan(config.lidar, config.weather, sensors.lidar.translation_m, batch=batch)
        made = render_batch(seen, crowded, sensors, scan=scan, position=position, generator=generator)
        sides.append(made)
    front = sides[0]
    return tuple(replace(side, imu=front.imu, tilt=front.tilt, audio=front.audio) for side in sides)


def around_clouds(
    config: WorldConfig, *, batch: int, seed: int, rig: Config
) -> tuple[tuple[Tensor, Tensor], ...]:
    """What each lidar of `rig` has of the moments of `around_batch`: points [B, R, 4], returns [B, M].

    Points are in the base frame and of a whole turn; NaN: no return. Returns are how many are of each object.
    """
    generator = torch.Generator().manual_seed(seed)
    scene = draw_around(config, batch=batch, generator=generator)
    clouds = []
    for lidar in lidars_of(rig):
        scan = plain_scan(config.lidar, config.weather, lidar.position_m, batch=batch)
        points, returns = sweep(scene, scan, config.weather, forward_only=False, generator=generator)
        clouds.append((points, returns[:, : _targets(config)]))
    return tuple(clouds)


def draw_around(config: WorldConfig, *, batch: int, generator: torch.Generator) -> Scene:
    """To each side what `draw_scenes` draws ahead; of what overlaps the first stays."""
    drawn = [draw_scenes(config, batch=batch, generator=generator) for _ in QUARTERS_RAD]
    first = drawn[0]
    whole = [turned(scene, -yaw) for yaw, scene in zip(QUARTERS_RAD, drawn, strict=True)]
    targets = config.objects[1]
    slotted = [
        item.name
        for item in fields(Scene)
        if item.name != "ground" and getattr(first, item.name).shape[:2] == first.classes.shape
    ]
    parts: dict[str, Any] = {  # objects of all sides before the clutter of all sides
        name: torch.cat(
            [getattr(scene, name)[:, :targets] for scene in whole]
            + [getattr(scene, name)[:, targets:] for scene in whole],
            dim=1,
        )
        for name in slotted
    }
    scene = replace(first, **parts)
    count = scene.classes.shape[1]
    kept = torch.where(_overlaps(scene.boxes, scene.classes), ABSENT, scene.classes)
    return replace(scene, classes=kept, identity=torch.arange(count).expand(batch, count))


def _targets(config: WorldConfig) -> int:
    """Slots of the objects to all sides, which come before those of clutter."""
    return len(QUARTERS_RAD) * config.objects[1]


def turned(scene: Scene, yaw_rad: float) -> Scene:
    """The scene of a plain world, without streets and slopes, in axes that are turned left by `yaw_rad`."""
    if yaw_rad == 0.0:
        return scene
    axes = torch.from_numpy(sector_axes(yaw_rad)[:2, :2]).float()
    places, velocity = (vectors @ axes.T for vectors in (scene.boxes[..., :2], scene.velocity))
    yaw = torch.remainder(scene.boxes[..., 6] - yaw_rad + math.pi, 2 * math.pi) - math.pi
    boxes = torch.cat((places, scene.boxes[..., 2:6], yaw[..., None]), dim=-1)
    ego = scene.ego + torch.tensor((0.0, 0.0, yaw_rad))
    return replace(
        scene,
        boxes=boxes,
        velocity=velocity,
        bumps=_turned_bumps(scene.bumps, axes),
        ego=ego,
        course=scene.course - yaw_rad,
    )


def _turned_bumps(bumps: Tensor, axes: Tensor) -> Tensor:
    """Waves [B, 2, W, 3] of roll and pitch as [B, 2, 2 W, 3]: each angle has waves of both."""
    both = bumps.flatten(1, 2)[:, None].repeat(1, 2, 1, 1)
    share = axes.repeat_interleave(bumps.shape[2], dim=1)
    both[..., 0] *= share
    return both


def _overlaps(boxes: Tensor, classes: Tensor) -> Tensor:
    """Which of `boxes` [B, M, 7] lie too close to one before them that is there: [B, M]."""
    radius = torch.hypot(boxes[..., 3], boxes[..., 4]) / 2
    gap = (boxes[:, :, None, :2] - boxes[:, None, :, :2]).norm(dim=-1) - radius[:, :, None] - radius[:, None]
    close = gap < _APART_M
    gone = classes == ABSENT
    for slot in range(1, boxes.shape[1]):
        gone[:, slot] |= (close[:, slot, :slot] & ~gone[:, :slot]).any(dim=1)
    return gone
