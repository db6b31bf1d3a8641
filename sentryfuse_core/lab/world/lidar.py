"""The spinning lidar: rays against boxes and the ground, with range noise, dropouts, weather, intensity."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from sentryfuse_core.lab.world.cast import Vector, cast, nearest, pair_up, turn
from sentryfuse_core.lab.world.config import LidarModel, WeatherModel
from sentryfuse_core.lab.world.scene import Scene, parts_of
from sentryfuse_core.preprocess.tilt import to_level, upright

__all__ = ["sweep"]


@dataclass(frozen=True, eq=False)
class _Look:
    """What every ray meets, free of noise."""

    reach: Tensor  # [B, R] m, inf: nothing
    bright: Tensor  # [B, R] 0..1
    slot: Tensor  # [B, R] the object it meets, -1: none


@dataclass(frozen=True, eq=False)
class _Grid:
    """The rays of a sweep, column by column; only the columns that are asked for."""

    columns: int
    first_column: int
    step: float  # rad between columns
    direction: Vector  # unit vectors [R]

    @classmethod
    def make(cls, model: LidarModel, *, forward_only: bool, device: torch.device) -> _Grid:
        columns = model.columns // 2 if forward_only else model.columns
        first = model.columns // 4 if forward_only else 0
        step = 2 * math.pi / model.columns
        azimuth = ((torch.arange(columns, device=device) + first + 0.5) * step - math.pi)[:, None]
        low, high = math.radians(model.lowest_deg), math.radians(model.highest_deg)
        elevation = torch.linspace(low, high, model.beams, device=device)
        flat, up = torch.cos(elevation), torch.sin(elevation).expand(columns, model.beams)
        x, y = torch.cos(azimuth) * flat, torch.sin(azimuth) * flat
        return cls(columns, first, step, (x.reshape(-1), y.reshape(-1), up.reshape(-1)))


def _candidates(
    rel: Tensor, half: Tensor, slack: Tensor, model: LidarModel, grid: _Grid
) -> tuple[Tensor, Tensor]:
    """Flat (part, ray) pairs worth testing, for parts at `rel` [K, 3] from the lidar.

    Rectangles around circles around footprints, `slack` [K] rad larger each way: never too small.
    """
    radius = torch.hypot(half[:, 0], half[:, 1])
    distance = torch.hypot(rel[:, 0], rel[:, 1])
    middle = torch.atan2(rel[:, 1], rel[:, 0]) + math.pi
    spread = torch.asin((radius / distance).clamp(max=1.0)) + slack * math.tan(math.radians(30))
    closest = (distance - radius).clamp_min(0.1)
    bottom, top = rel[:, 2] - half[:, 2], rel[:, 2] + half[:, 2]
    lowest = torch.atan2(bottom, torch.where(bottom < 0, closest, distance + radius)) - slack
    highest = torch.atan2(top, torch.where(top > 0, closest, distance + radius)) + slack
    low, high = math.radians(model.lowest_deg), math.radians(model.highest_deg)
    row_step = (high - low) / (model.beams - 1)
    rows = (
        ((lowest - low) / row_step).ceil().long().clamp(0, model.beams),
        ((highest - low) / row_step).floor().long().clamp(-1, model.beams - 1) + 1,
    )
    first = ((middle - spread) / grid.step - 0.5).ceil().long() - grid.first_column
    last = ((middle + spread) / grid.step - 0.5).floor().long() - grid.first_column + 1
    box, row, column = pair_up(rows, (first, last))
    column = column % model.columns
    seen = torch.nonzero(column < grid.columns).squeeze(1)
    return box[seen], column[seen] * model.beams + row[seen]


def _look(scene: Scene, model: LidarModel, grid: _Grid, position: tuple[float, float, float]) -> _Look:
    device = scene.boxes.device
    batch, rays = len(scene), grid.columns * model.beams
    parts = parts_of(scene)
    tilt = scene.tilt
    rotation = upright(tilt)
    middle = to_level(rotation, torch.tensor(position, device=device))  # [B, 3]
    rel = parts.centre - middle[parts.scene]
    slack = tilt.abs().sum(dim=-1)[parts.scene]
    box, ray = _candidates(rel, parts.half, slack, model, grid)
    x, y, z = turn(-rel[:, 0], -rel[:, 1], -rel[:, 2], parts.cos, parts.sin)
    rays_level = rotation @ torch.stack(grid.direction)  # [B, 3, R]
    dz = rays_level[:, 2]
    index = parts.scene[box]
    along = (rays_level[index, 0, ray], rays_level[index, 1, ray], rays_level[index, 2, ray])
    hits = cast(parts, box, (x[box], y[box], z[box]), along)
    box, cell = box[hits.pair], parts.scene[box[hits.pair]] * rays + ray[hits.pair]
    reach, first = nearest(hits.distance, cell, batch * rays)
    reach = reach.reshape(batch, rays)
    box, cell = box[first], cell[first]
    shine = scene.reflectivity[parts.scene[box], parts.slot[box]] * torch.where(
        parts.level[box] > 0, 0.8, 1.0
    )
    bright = torch.zeros(batch * rays, device=device)
    bright[cell] = shine * (0.3 + 0.7 * hits.facing[first])
    slot = torch.full((batch * rays,), -1, device=device)
    slot[cell] = parts.slot[box]

    to_ground = torch.where(dz < -1e-4, middle[:, 2:] / (-dz).clamp_min(1e-4), torch.inf)
    ground = model.ground_reflectivity * (0.6 + 0.8 * scene.look[:, :1])
    below = reach > to_ground
    return _Look(
        torch.minimum(reach, to_ground),
        torch.where(below, ground, bright.view(batch, rays)),
        torch.where(below, -1, slot.view(batch, rays)),
    )


def sweep(
    scene: Scene,
    model: LidarModel,
    weather: WeatherModel,
    *,
    position: tuple[float, float, float],
    forward_only: bool,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """Points [B, R, 4] in the vehicle's frame with intensity 0..1; NaN where nothing came back.

    R is beams x columns, column by column from azimuth -180 degrees (-90 with `forward_only`, half as many).
    Also how many points each slot's object returned, [B, M].
    """
    device = scene.boxes.device
    grid = _Grid.make(model, forward_only=forward_only, device=device)
    look = _look(scene, model, grid, position)
    near = look.reach.clamp(max=model.max_range_m)
    noise = torch.randn((3, *near.shape), generator=generator, device=device)
    chance, drop, drop_m = torch.rand((3, *near.shape), generator=generator, device=device)
    extinction = scene.extinction[:, None]
    bright = look.bright * torch.exp(-2 * extinction * near)
    lost = chance < model.dropout + model.dropout_far * (near / model.max_range_m) ** 2
    lost |= ~(look.reach < model.max_range_m)
    lost |= bright < weather.least_return * (near / model.max_range_m) ** 2
    scatter = 0.02 * (1 - torch.exp(-scene.rain_mm_h[:, None])) ** 2  # of the range, in rain
    deviation = torch.hypot(model.noise_m + model.noise_per_m * near, 0.2 * scatter * near)
    measured = look.reach + noise[0] * deviation
    low, high = weather.backscatter_m
    drop_m = low * (high / low) ** drop_m
    drops = (drop < weather.backscatter * extinction) & (drop_m < look.reach)
    lost &= ~drops
    measured = torch.where(lost, torch.nan, torch.where(drops, drop_m, measured))
    bright = torch.where(drops, 0.05, bright)
    slots = scene.classes.shape[1]
    owner = torch.arange(len(scene), device=device)[:, None] * slots + look.slot
    returned = torch.bincount(owner[(look.slot >= 0) & ~lost & ~drops], minlength=len(scene) * slots)
    points = torch.empty((*near.shape, 4), device=device)
    for axis in range(3):
        points[..., axis] = position[axis] + measured * grid.direction[axis]
    intensity = (bright * (1 + 0.1 * noise[1]) + 0.01 * noise[2]).clamp(0.0, 1.0)
    points[..., 3] = torch.where(lost, torch.nan, intensity)
    return points, returned.view(len(scene), slots)
