"""The spinning lidar: rays against boxes and the ground, with range noise, dropouts and intensity."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from sentryfuse_core.world.cast import cast, nearest, pair_up, turn
from sentryfuse_core.world.config import LidarModel
from sentryfuse_core.world.scene import Scene, parts_of

__all__ = ["sweep"]


def sweep(
    scene: Scene, model: LidarModel, *, position: tuple[float, float, float], forward_only: bool, generator: torch.Generator
) -> Tensor:
    """Points [B, R, 4] in the base frame with intensity 0..1; NaN where nothing came back.

    R is beams x columns, column by column from azimuth -180 degrees (-90 with `forward_only`, half as many).
    """
    device = scene.boxes.device
    batch, beams = len(scene), model.beams
    columns = model.columns // 2 if forward_only else model.columns
    first_column = model.columns // 4 if forward_only else 0
    step = 2 * math.pi / model.columns
    azimuth = (torch.arange(columns, device=device) + first_column + 0.5) * step - math.pi
    low, high = math.radians(model.lowest_deg), math.radians(model.highest_deg)
    elevation = torch.linspace(low, high, beams, device=device)
    flat = torch.cos(elevation)
    direction = torch.stack(
        (
            torch.cos(azimuth)[:, None] * flat,
            torch.sin(azimuth)[:, None] * flat,
            torch.sin(elevation).expand(columns, beams),
        )
    ).reshape(3, -1)  # [3, R]
    origin = torch.tensor(position, device=device)
    rays = columns * beams

    # Rectangles of the grid that can see a part: circles around footprints, so never too small.
    parts = parts_of(scene)
    rel = parts.centre - origin
    radius = torch.hypot(parts.half[:, 0], parts.half[:, 1])
    distance = torch.hypot(rel[:, 0], rel[:, 1])
    middle = torch.atan2(rel[:, 1], rel[:, 0])
    spread = torch.asin((radius / distance).clamp(max=1.0))
    closest = (distance - radius).clamp_min(0.1)
    bottom, top = rel[:, 2] - parts.half[:, 2], rel[:, 2] + parts.half[:, 2]
    lowest = torch.atan2(bottom, torch.where(bottom < 0, closest, distance + radius))
    highest = torch.atan2(top, torch.where(top > 0, closest, distance + radius))
    row_step = (high - low) / (beams - 1)
    rows = (
        ((lowest - low) / row_step).ceil().long().clamp(0, beams),
        ((highest - low) / row_step).floor().long().clamp(-1, beams - 1) + 1,
    )
    first = ((middle - spread + math.pi) / step - 0.5).ceil().long() - first_column
    last = ((middle + spread + math.pi) / step - 0.5).floor().long() - first_column + 1
    box, row, column = pair_up(rows, (first, last))
    column = column % model.columns
    if forward_only:
        seen = torch.nonzero(column < columns).squeeze(1)
        box, row, column = box[seen], row[seen], column[seen]
    ray = column * beams + row
    along = direction[:, ray]
    start = turn(-rel[:, 0], -rel[:, 1], -rel[:, 2], parts.cos, parts.sin)
    hits = cast(parts, box, (start[0][box], start[1][box], start[2][box]), (along[0], along[1], along[2]))
    box, ray = box[hits.pair], ray[hits.pair]
    cell = parts.scene[box] * rays + ray
    reach, first_hit = nearest(hits.distance, cell, batch * rays)
    reach = reach.reshape(batch, rays)

    # What every ray meets: the ground below the horizon, a box where one is nearer.
    down = -direction[2]
    to_ground = torch.where(down > 1e-4, position[2] / down.clamp_min(1e-4), torch.inf)
    is_ground = reach > to_ground
    reach = torch.minimum(reach, to_ground)
    bright = torch.where(is_ground, model.ground_reflectivity * (0.6 + 0.8 * scene.look[:, :1]), 0.0)
    box, incidence, cell = box[first_hit], hits.facing[first_hit], cell[first_hit]
    shine = scene.reflectivity[parts.scene[box], parts.slot[box]] * torch.where(parts.level[box] > 0, 0.8, 1.0)
    on_box = torch.zeros_like(bright).reshape(-1)
    on_box[cell] = shine * (0.3 + 0.7 * incidence)
    bright = torch.where(is_ground, bright, on_box.reshape(batch, rays))

    noise = torch.randn((3, batch, rays), generator=generator, device=device)
    chance = torch.rand((batch, rays), generator=generator, device=device)
    lost = chance < model.dropout + model.dropout_far * (reach / model.max_range_m) ** 2
    lost |= ~(reach < model.max_range_m)
    measured = reach + noise[0] * (model.noise_m + model.noise_per_m * reach.clamp(max=model.max_range_m))
    measured = torch.where(lost, torch.nan, measured)
    intensity = (bright * (1 + 0.1 * noise[1]) + 0.01 * noise[2]).clamp(0.0, 1.0)
    points = torch.empty((batch, rays, 4), device=device)
    for axis_index in range(3):
        points[..., axis_index] = origin[axis_index] + measured * direction[axis_index]
    points[..., 3] = torch.where(lost, torch.nan, intensity)
    return points
