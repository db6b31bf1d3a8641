"""The same moments a while ago: what a camera or lidar that is late, or repeats itself, still shows."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from sentryfuse_core.lab.world.ground import Ground
from sentryfuse_core.lab.world.scene import Scene

__all__ = ["earlier"]


def earlier(scene: Scene, age_s: Tensor) -> Scene:
    """The scenes `age_s` [B] before, in the vehicle's frame of then; everybody keeps speed and heading."""
    speed, _, turning = scene.ego_motion.unbind(-1)
    age = age_s[:, None]
    yaw = scene.boxes[..., 6]
    x = scene.boxes[..., 0] - age * scene.speed * torch.cos(yaw)
    y = scene.boxes[..., 1] - age * scene.speed * torch.sin(yaw)
    # The vehicle of then stands `way` behind, turned back by `turned`.
    turned = (turning * age_s)[:, None]
    way = (speed * age_s)[:, None]
    bearing = scene.course[:, None] - turned / 2
    x, y = x + way * torch.cos(bearing), y + way * torch.sin(bearing)
    cos, sin = torch.cos(turned), torch.sin(turned)
    boxes = scene.boxes.clone()
    boxes[..., 0], boxes[..., 1] = cos * x - sin * y, sin * x + cos * y
    boxes[..., 6] = yaw + turned
    heading = scene.ego[:, 2] + bearing[:, 0]
    ego = torch.stack(
        (
            scene.ego[:, 0] - way[:, 0] * torch.cos(heading),
            scene.ego[:, 1] - way[:, 0] * torch.sin(heading),
            scene.ego[:, 2] - turned[:, 0],
        ),
        dim=-1,
    )
    ground = _earlier_ground(scene.ground, way[:, 0], bearing[:, 0], turned[:, 0])
    return replace(scene, boxes=boxes, ego=ego, way=scene.way - way[:, 0], ground=ground)


def _earlier_ground(ground: Ground, way: Tensor, bearing: Tensor, turned: Tensor) -> Ground:
    """As seen `way` m behind, against `bearing` (rad), and turned back by `turned` (rad), [B] each."""
    cos, sin = turned.cos(), turned.sin()
    return replace(
        ground,
        cos=ground.cos * cos - ground.sin * sin,
        sin=ground.sin * cos + ground.cos * sin,
        middle=ground.middle + way * (ground.sin * bearing.cos() - ground.cos * bearing.sin()),
        grade_from=ground.grade_from + way * bearing.cos(),  # a change of slope lies across the region
    )
