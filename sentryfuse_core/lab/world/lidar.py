"""The spinning lidar: rays against boxes and the ground, with range noise, dropouts, weather, intensity."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from sentryfuse_core.lab.world.cast import Hits, Vector, cast, nearest, pair_up, turn
from sentryfuse_core.lab.world.config import WeatherModel
from sentryfuse_core.lab.world.scan import Scan
from sentryfuse_core.lab.world.scene import Scene, parts_of
from sentryfuse_core.lab.world.shapes import VARIED
from sentryfuse_core.preprocess.tilt import to_level, upright

__all__ = ["sweep"]

_FAINT_AT_M = 60.0  # where Scan.faint is just seen


@dataclass(frozen=True, eq=False)
class _Look:
    """What every ray meets, free of noise."""

    reach: Tensor  # [B, R] m, inf: nothing
    bright: Tensor  # [B, R] 0..1
    slot: Tensor  # [B, R] the object it meets, -1: none
    lift: Tensor  # [B, R] m, how much higher than level the ground is that it meets


@dataclass(frozen=True, eq=False)
class _Grid:
    """The rays of a sweep, column by column; only the columns that are asked for."""

    columns: int
    first_column: int
    step: float  # rad between columns
    elevation: Tensor  # [beams] rad, rising
    slack: float  # rad that a ray may lie off the grid
    direction: Vector  # unit vectors [R]

    @classmethod
    def make(cls, scan: Scan, *, forward_only: bool, generator: torch.Generator) -> _Grid:
        device, model = generator.device, scan.model
        columns = model.columns // 2 if forward_only else model.columns
        first = model.columns // 4 if forward_only else 0
        step = 2 * math.pi / model.columns
        azimuth = ((torch.arange(columns, device=device) + first + 0.5) * step - math.pi)[:, None]
        elevation = scan.elevation.to(device)
        up, around, slack = elevation.expand(columns, model.beams), azimuth, 0.0
        if scan.jitter:
            row = (elevation[-1] - elevation[0]) / (model.beams - 1)
            noise = scan.jitter * (2 * torch.rand((2, *up.shape), generator=generator, device=device) - 1)
            up, around = up + row * noise[0], around + step * noise[1]
            slack = scan.jitter * max(float(row), step)
        flat = torch.cos(up)
        x, y, z = torch.cos(around) * flat, torch.sin(around) * flat, torch.sin(up)
        direction = (x.reshape(-1), y.reshape(-1), z.reshape(-1))
        return cls(columns, first, step, elevation, slack, direction)


def _candidates(rel: Tensor, half: Tensor, slack: Tensor, grid: _Grid) -> tuple[Tensor, Tensor]:
    """Flat (part, ray) pairs worth testing, for parts at `rel` [K, 3] from the lidar.

    Rectangles around circles around footprints, `slack` [K] rad larger each way: never too small.
    """
    beams, slack = len(grid.elevation), slack + grid.slack
    radius = torch.hypot(half[:, 0], half[:, 1])
    distance = torch.hypot(rel[:, 0], rel[:, 1])
    middle = torch.atan2(rel[:, 1], rel[:, 0]) + math.pi
    spread = torch.asin((radius / distance).clamp(max=1.0)) + slack * math.tan(math.radians(30)) + grid.slack
    spread = torch.where(distance <= radius, math.pi, spread)  # it may lie all around
    closest = (distance - radius).clamp_min(0.1)
    bottom, top = rel[:, 2] - half[:, 2], rel[:, 2] + half[:, 2]
    lowest = torch.atan2(bottom, torch.where(bottom < 0, closest, distance + radius)) - slack
    highest = torch.atan2(top, torch.where(top > 0, closest, distance + radius)) + slack
    rows = (
        torch.searchsorted(grid.elevation, lowest),
        torch.searchsorted(grid.elevation, highest, right=True),
    )
    first = ((middle - spread) / grid.step - 0.5).ceil().long() - grid.first_column
    last = ((middle + spread) / grid.step - 0.5).floor().long() - grid.first_column + 1
    turn_columns = round(2 * math.pi / grid.step)
    last = torch.minimum(last, first + turn_columns)
    box, row, column = pair_up(rows, (first, last))
    column = column % turn_columns
    seen = torch.nonzero(column < grid.columns).squeeze(1)
    return box[seen], column[seen] * beams + row[seen]


def _look(scene: Scene, scan: Scan, grid: _Grid, generator: torch.Generator) -> _Look:
    device, model = scene.boxes.device, scan.model
    batch, rays = len(scene), grid.columns * model.beams
    parts = parts_of(scene)
    tilt = scene.tilt
    rotation = upright(tilt)
    middle = to_level(rotation, scan.position)  # [B, 3]
    rel = parts.centre - middle[parts.scene]
    slack = tilt.abs().sum(dim=-1)[parts.scene]
    box, ray = _candidates(rel, parts.half, slack, grid)
    x, y, z = turn(-rel[:, 0], -rel[:, 1], -rel[:, 2], parts.cos, parts.sin)
    rays_level = rotation @ torch.stack(grid.direction)  # [B, 3, R]
    dz = rays_level[:, 2]
    index = parts.scene[box]
    along = (rays_level[index, 0, ray], rays_level[index, 1, ray], rays_level[index, 2, ray])
    hits = cast(parts, box, (x[box], y[box], z[box]), along)
    if scene.solids.shape[2] == VARIED:
        hits = _stopped(hits, parts.clear[box[hits.pair]], generator)
    box, cell = box[hits.pair], parts.scene[box[hits.pair]] * rays + ray[hits.pair]
    reach, first = nearest(hits.distance, cell, batch * rays)
    reach = reach.reshape(batch, rays)
    box, cell = box[first], cell[first]
    shine = scene.reflectivity[parts.scene[box], parts.slot[box]] * parts.shine[box]
    bright = torch.zeros(batch * rays, device=device)
    bright[cell] = shine * (0.3 + 0.7 * hits.facing[first])
    slot = torch.full((batch * rays,), -1, device=device)
    slot[cell] = parts.slot[box]

    to_ground = torch.where(dz < -1e-4, middle[:, 2:] / (-dz).clamp_min(1e-4), torch.inf)
    if scan.bonnet is not None:
        own = _to_bonnet(scan.bonnet, middle, rays_level)
        slot = torch.where((own < reach).flatten(), -1, slot)
        reach = torch.minimum(reach, own)
    below = reach > to_ground
    x, y = (middle[:, axis, None] + to_ground.clamp(max=200.0) * rays_level[:, axis] for axis in (0, 1))
    ground = scene.ground.shine(x, y) * (0.6 + 0.8 * scene.look[:, :1])
    return _Look(
        torch.minimum(reach, to_ground),
        torch.where(below, ground, bright.view(batch, rays)),
        torch.where(below, -1, slot.view(batch, rays)),
        torch.where(below, scene.ground.lift(x, y), torch.zeros_like(x)),
    )


def _to_bonnet(bonnet: Tensor, middle: Tensor, rays: Tensor) -> Tensor:
    """How far along `rays` [B, 3, R] from `middle` [B, 3] the own bonnet is, inf: not met, [B, R]."""
    height, long, wide = bonnet[:, None].unbind(-1)
    reach = (middle[:, 2:] - height) / (-rays[:, 2]).clamp_min(1e-4)
    x, y = middle[:, :1] + reach * rays[:, 0], middle[:, 1:2] + reach * rays[:, 1]
    met = (rays[:, 2] < -1e-4) & (x > 0.0) & (x < long) & (y.abs() < wide) & (height < middle[:, 2:])
    return torch.where(met, reach, torch.inf)


def _stopped(hits: Hits, clear: Tensor, generator: torch.Generator) -> Hits:
    """Without the rays that glass, leaves and fences let pass: the share `clear` [N] of each hit."""
    stopped = torch.rand(clear.shape, generator=generator, device=clear.device) >= clear
    return Hits(**{item.name: getattr(hits, item.name)[stopped] for item in fields(Hits)})


def sweep(
    scene: Scene,
    scan: Scan,
    weather: WeatherModel,
    *,
    forward_only: bool,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """Points [B, R, 4] in the vehicle's frame with intensity 0..1; NaN where nothing came back.

    R is `scan.rays`, or where that is 0 beams x columns, column by column from azimuth -180 degrees (-90 with
    `forward_only`, half as many). Also how many points each slot's object returned, [B, M].
    """
    device, model = scene.boxes.device, scan.model
    grid = _Grid.make(scan, forward_only=forward_only, generator=generator)
    look = _look(scene, scan, grid, generator)
    near = look.reach.clamp(max=model.max_range_m)
    noise = torch.randn((3, *near.shape), generator=generator, device=device)
    chance, drop, drop_m = torch.rand((3, *near.shape), generator=generator, device=device)
    extinction = scene.extinction[:, None]
    bright = look.bright * torch.exp(-2 * extinction * near)
    lost = chance < model.dropout + model.dropout_far * (near / model.max_range_m) ** 2
    lost |= ~(look.reach < model.max_range_m)
    lost |= bright < scan.faint * (near / _FAINT_AT_M) ** 2
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
        points[..., axis] = scan.position[:, axis, None] + measured * grid.direction[axis]
    intensity = (bright * (1 + 0.1 * noise[1]) + 0.01 * noise[2]).clamp(0.0, 1.0)
    points[..., 3] = torch.where(lost, torch.nan, intensity)
    points[..., 2] += look.lift
    return scan.as_told(points, near), returned.view(len(scene), slots)
