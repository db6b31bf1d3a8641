"""Colour and light of the points a camera sees on objects."""

from __future__ import annotations

import torch
from torch import Tensor

from sentryfuse_core.lab.world.lighting import Lighting
from sentryfuse_core.lab.world.objects import CAR, CYCLIST
from sentryfuse_core.lab.world.patterns import on_objects
from sentryfuse_core.lab.world.scene import Parts, Scene
from sentryfuse_core.lab.world.shapes import VARIED

__all__ = ["paint"]


def paint(
    scene: Scene, parts: Parts, lighting: Lighting, box: Tensor, local: Tensor, axis: Tensor, sign: Tensor
) -> Tensor:
    """Linear radiance [N, 3] of points `local` [N, 3] on part `box` [N], on the face `axis`, `sign` [N]."""
    index, slot, level = parts.scene[box], parts.slot[box], parts.level[box]
    kind = scene.classes[index, slot]
    colours = scene.colours[index, slot]  # [N, COLOURS, 3]
    half = parts.half[box]
    x, y, z = (local / half).unbind(-1)  # -1..1 across the part
    lowest = level == 0
    body, roof, bicycle = (kind == CAR) & lowest, (kind == CAR) & ~lowest, (kind == CYCLIST) & lowest

    # Which of the object's colours: 0 lowest part, 1 middle part, 2 glass or head, 3 trim.
    choice = level
    pillar = (torch.where(axis == 0, y, x).abs() > 0.88) | (z > 0.75) | (z < -0.8)
    choice = torch.where(roof & (axis != 2) & ~pillar, 2, choice)
    metres_x, metres_z = local[:, 0], local[:, 2]
    wheel = (metres_x.abs() - 0.62 * half[:, 0]) ** 2 + (metres_z + half[:, 2]) ** 2 < 0.33**2
    choice = torch.where(body & (axis == 1) & wheel, 3, choice)
    spokes = ((x.abs() - 0.6) * half[:, 0]) ** 2 + (metres_z + 0.2 * half[:, 2]) ** 2
    choice = torch.where(bicycle & (spokes < 0.3**2), 3, choice)
    albedo = colours.gather(1, choice[:, None, None].expand(-1, 1, 3)).squeeze(1)
    if scene.solids.shape[2] == VARIED:
        owner = index * scene.classes.shape[1] + slot
        albedo = on_objects(albedo, kind, owner, local, axis)

    cos, sin = parts.cos[box] * sign, parts.sin[box] * sign
    normal_x = torch.where(axis == 0, cos, torch.where(axis == 1, -sin, 0.0))
    normal_y = torch.where(axis == 0, sin, torch.where(axis == 1, cos, 0.0))
    normal_z = torch.where(axis == 2, sign, 0.0)
    sun = lighting.sun[index]
    facing = (normal_x * sun[:, 0] + normal_y * sun[:, 1] + normal_z * sun[:, 2]).clamp_min(0.0)
    sky = 0.65 + 0.35 * normal_z
    place = parts.centre[box]
    distance = torch.hypot(place[:, 0], place[:, 1])
    ahead = torch.exp(-3 * (place[:, 1] / place[:, 0].clamp_min(1.0)) ** 2)
    lamps = lighting.headlight[index] * ahead * (-normal_x).clamp_min(0.15) * 400 / (400 + distance**2)
    radiance = albedo * (
        lighting.sunlight[index] * facing[:, None] + lighting.ambient[index] * sky[:, None] + lamps[:, None]
    )
    return radiance + _lamps(axis, sign, y, z, body, bicycle, lighting.headlight[index])


def _lamps(
    axis: Tensor, sign: Tensor, y: Tensor, z: Tensor, body: Tensor, bicycle: Tensor, dark: Tensor
) -> Tensor:
    """Light [N, 3] that head and tail lamps give off in the dark."""
    end = axis == 0
    lit = (body & end & (y.abs() > 0.6) & (y.abs() < 0.92) & (z.abs() < 0.3)) | (
        bicycle & end & (z.abs() < 0.5)
    )
    white = torch.tensor((1.0, 0.93, 0.8), device=y.device)
    red = torch.tensor((0.5, 0.02, 0.02), device=y.device)
    colour = torch.where((sign > 0)[:, None], white, red)
    return colour * (lit * dark * 8)[:, None]
