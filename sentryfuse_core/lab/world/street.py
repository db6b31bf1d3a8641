"""Where road users, parked cars and clutter are in streets and open places."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from sentryfuse_core.lab.world.config import WorldConfig
from sentryfuse_core.lab.world.ground import Ground

__all__ = ["place"]

_CAR, _PEDESTRIAN, _CYCLIST, _TARGETS = 0, 1, 2, 3
_SEEN_X, _SEEN_Y = (-6.0, 46.0), (-24.0, 24.0)  # where things are put, m
_IN_GROUPS, _AT_CARS = 0.35, 0.2  # shares of people beside others, beside parked cars
_CLEARANCE_M = 0.15  # between what stands about
_VEHICLE = (-3.0, 3.0, 1.4)  # from, to, half width of what the vehicle takes up, m


def place(
    config: WorldConfig,
    classes: Tensor,
    size: Tensor,
    present: Tensor,
    ground: Ground,
    *,
    course: Tensor,
    draw: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """Where the objects of M slots are: x and y [B, M, 2], yaw [B, M], and which have room [B, M].

    Slots are those of WorldConfig: who moves, parked cars, clutter; `present` [B, M] are taken. The vehicle
    moves along `course` [B] rad. `draw` [B, M, 10] is uniform in 0..1. Each object has one place; of two that
    overlap the one that comes later in `_apart` is left out.
    """
    u = draw.unbind(-1)
    x = _SEEN_X[0] + (_SEEN_X[1] - _SEEN_X[0]) * u[0]
    y = _SEEN_Y[0] + (_SEEN_Y[1] - _SEEN_Y[0]) * u[1]
    cos, sin, middle = ground.cos[:, None], ground.sin[:, None], ground.middle[:, None]
    along = x * cos + y * sin
    side = torch.where(u[2] < 0.5, 1.0, -1.0)
    edge = torch.where(side > 0, ground.left[:, None], ground.right[:, None]).clamp(max=30.0)
    across, turned = _by_kind(config, classes, size[..., 1], side, edge, u)
    parked, row_side = _rows(config, size, draw)
    row = slice(config.objects[1], config.targets)
    edge = torch.where(row_side > 0, ground.left[:, None], ground.right[:, None]).clamp(max=30.0)
    centre = (16 * ground.cos)[:, None]
    along[:, row] = centre + parked[..., 0]
    across[:, row] = row_side * (edge - parked[..., 1])
    turned[:, row] = parked[..., 2] + torch.where(row_side > 0, math.pi, 0.0) * (u[3][:, row] < 0.8)
    from_middle = across - middle
    street = (ground.paved[:, None] > 0) & (u[4] < 0.85)
    street[:, row] = True
    xy = torch.stack(
        (
            torch.where(street, along * cos - from_middle * sin, x),
            torch.where(street, along * sin + from_middle * cos, y),
        ),
        dim=-1,
    )
    road_yaw = torch.atan2(sin, cos)
    yaw = torch.where(street, road_yaw + turned, (2 * u[5] - 1) * math.pi)
    xy = _with_company(config, classes, size, xy, yaw, draw)
    free = present & _free_of_vehicle(*_turned(xy, yaw, course), size)
    return xy, yaw, _apart(config, xy, yaw, size, free)


def _with_company(
    config: WorldConfig, classes: Tensor, size: Tensor, xy: Tensor, yaw: Tensor, draw: Tensor
) -> Tensor:
    """The places [B, M, 2], some people beside the person before them, others beside a parked car."""
    movers, targets = config.objects[1], config.targets
    walks = classes == _PEDESTRIAN
    u = torch.frac(draw[..., :4] * 17.3 + draw[..., 4:8])
    angle, away = 2 * math.pi * u[..., 0], 0.75 + 0.7 * u[..., 1]
    beside = xy.roll(1, dims=1) + away[..., None] * torch.stack((angle.cos(), angle.sin()), dim=-1)
    group = walks & walks.roll(1, dims=1) & (u[..., 2] < _IN_GROUPS)
    group[:, 0] = False
    xy = torch.where(group[..., None], beside, xy)
    if targets == movers:
        return xy
    car = movers + torch.arange(xy.shape[1], device=xy.device) % (targets - movers)
    cos, sin = yaw[:, car].cos(), yaw[:, car].sin()
    x = (u[..., 0] - 0.5) * size[:, car, 0]
    y = (size[:, car, 1] / 2 + 0.55 + 0.7 * u[..., 1]) * torch.where(u[..., 3] < 0.5, 1.0, -1.0)
    at_car = xy[:, car] + torch.stack((x * cos - y * sin, x * sin + y * cos), dim=-1)
    chosen = walks & ~group & (u[..., 2] > 1 - _AT_CARS)
    return torch.where(chosen[..., None], at_car, xy)


def _by_kind(
    config: WorldConfig,
    classes: Tensor,
    width: Tensor,
    side: Tensor,
    edge: Tensor,
    u: tuple[Tensor, ...],
) -> tuple[Tensor, Tensor]:
    """How far left of the road's middle, and at which angle to the road, by class: [B, M] each."""
    noise = (2 * u[6] - 1) ** 3
    lane = side * edge * (0.15 + 0.6 * u[7])
    pavement = side * (edge + 0.3 + 3.0 * u[7])
    rim = side * (edge + 0.2 + 2.3 * u[7] ** 2)
    line = side * (edge + 1.5 + 7.0 * u[7] + width / 2)
    on_road = u[8] < 0.35
    forward = torch.where(side > 0, math.pi, 0.0)  # traffic keeps to the right; mirrored frames to the left
    either = torch.where(u[9] < 0.5, 0.0, math.pi)
    across = torch.where(classes == _CAR, lane, pavement)
    turned = torch.where(classes == _CAR, forward, either) + 0.3 * noise
    walks = classes == _PEDESTRIAN
    across = torch.where(walks & on_road, side * edge * u[7], across)
    turned = torch.where(walks, torch.where(u[8] < 0.6, turned, (2 * u[9] - 1) * math.pi), turned)
    rides = classes == _CYCLIST
    across = torch.where(rides & (u[8] < 0.75), side * edge * (0.4 + 0.55 * u[7]), across)
    turned = torch.where(rides & (u[8] < 0.75), forward + 0.5 * noise, turned)
    crosses = (classes == _CAR) & (u[8] < 0.15)
    turned = torch.where(crosses, (2 * u[9] - 1) * math.pi, turned)
    spots = [
        torch.tensor([thing.place == name for thing in config.things]) for name in ("line", "kerb", "road")
    ]
    angles = (either + 0.1 * noise, either + 0.5 * noise, forward + 0.1 * noise)
    for spot, away, angle in zip(spots, (line, rim, lane), angles, strict=True):
        known = spot.to(classes.device)[(classes - _TARGETS).clamp_min(0)] & (classes >= _TARGETS)
        across = torch.where(known, away, across)
        turned = torch.where(known, angle, turned)
    return across, turned


def _rows(config: WorldConfig, size: Tensor, draw: Tensor) -> tuple[Tensor, Tensor]:
    """Two rows of parked cars: [B, P, 3] along from the region's middle, from the kerb, angle; side [B, P].

    Bumper to bumper with gaps of .4 to 2.5 m, or side by side at 60 to 90 degrees to the road.
    """
    row = slice(config.objects[1], config.targets)
    u = draw[:, row]
    count = u.shape[1]
    half = (count + 1) // 2
    device = draw.device
    number = torch.arange(count, device=device)
    side = torch.where(number < half, 1.0, -1.0).expand(len(u), count)
    first = torch.where(number < half, 0, half)
    same = (first[:, None] == first[None]).float()
    abreast = (u[..., 3].gather(1, first.expand(len(u), count)) < 0.2) if count else u[..., 3] < 0
    angle = (
        math.pi / 3 + math.pi / 6 * u[..., 6].gather(1, first.expand(len(u), count)) if count else u[..., 6]
    )
    gap = 0.4 + 2.1 * u[..., 7] ** 2
    long, wide = size[:, row, 0], size[:, row, 1]
    step = torch.where(abreast, (wide + 0.35 + 0.5 * u[..., 7]) / angle.sin().clamp_min(0.5), long + gap)
    earlier = same * (number[None] < number[:, None]).float()
    at = step @ earlier.T + step / 2
    whole = step @ same.T
    shift = 12 * (u[..., 0].gather(1, first.expand(len(u), count)) - 0.5) if count else u[..., 0]
    along = at - whole / 2 + shift
    off = torch.where(abreast, long / 2 + 0.2, wide / 2 + 0.05 + 0.5 * u[..., 8])
    off = torch.where(u[..., 9] < 0.15, off - 1.2, off)  # half on the pavement
    turned = torch.where(abreast, angle, 0.04 * (2 * u[..., 5] - 1))
    return torch.stack((along, off, turned), dim=-1), side


def _turned(xy: Tensor, yaw: Tensor, course: Tensor) -> tuple[Tensor, Tensor]:
    """Places and headings as seen along the vehicle's `course` [B]."""
    cos, sin = course.cos()[:, None], course.sin()[:, None]
    x, y = xy.unbind(-1)
    return torch.stack((x * cos + y * sin, y * cos - x * sin), dim=-1), yaw - course[:, None]


def _free_of_vehicle(xy: Tensor, yaw: Tensor, size: Tensor) -> Tensor:
    """Whether no part of a footprint lies on the vehicle, [B, M]."""
    low, high, wide = _VEHICLE
    corners = _corners(xy, yaw, size)
    # The vehicle's rectangle grown by nothing, against a sampled outline: corners, middles of sides, centre.
    outline = torch.cat((corners, (corners + corners.roll(1, dims=2)) / 2, xy[:, :, None]), dim=2)
    inside = (outline[..., 0] > low) & (outline[..., 0] < high) & (outline[..., 1].abs() < wide)
    cos, sin = yaw.cos(), yaw.sin()
    own_x, own_y = -(xy[..., 0] * cos + xy[..., 1] * sin), xy[..., 0] * sin - xy[..., 1] * cos
    over = (own_x.abs() < size[..., 0] / 2 + 1.0) & (own_y.abs() < size[..., 1] / 2 + 1.0)
    return ~(inside.any(dim=-1) | over)


def _corners(xy: Tensor, yaw: Tensor, size: Tensor) -> Tensor:
    """Of footprints, in order, [B, M, 4, 2]."""
    sign = xy.new_tensor([[1, 1], [-1, 1], [-1, -1], [1, -1]])
    x, y = (sign * (size[..., None, :2] + _CLEARANCE_M) / 2).unbind(-1)
    cos, sin = yaw.cos()[..., None], yaw.sin()[..., None]
    return xy[:, :, None] + torch.stack((x * cos - y * sin, x * sin + y * cos), dim=-1)


def _apart(config: WorldConfig, xy: Tensor, yaw: Tensor, size: Tensor, there: Tensor) -> Tensor:
    """Who keeps his place, [B, M]: footprints of those who do, do not overlap (separating axes)."""
    corners = _corners(xy, yaw, size)  # [B, M, 4, 2]
    axes = torch.stack((torch.stack((yaw.cos(), yaw.sin()), -1), torch.stack((-yaw.sin(), yaw.cos()), -1)), 2)
    spans = torch.einsum("bmad,bnkd->bmank", axes, corners)  # corners of n along both axes of m
    low, high = spans.amin(-1), spans.amax(-1)  # [B, M, 2, M]
    own = torch.arange(xy.shape[1], device=xy.device)
    own_low, own_high = low[:, own, :, own].movedim(0, 1), high[:, own, :, own].movedim(0, 1)
    split = ((low > own_high[..., None]) | (high < own_low[..., None])).any(dim=2)
    clash = ~(split | split.mT)  # [B, M, M]
    kept = torch.zeros_like(there)
    movers, targets = config.objects[1], config.targets
    order = [*range(movers), *range(targets, xy.shape[1], 3), *range(movers, targets)]
    order += [slot for slot in range(targets, xy.shape[1]) if (slot - targets) % 3]
    for slot in order:
        kept[:, slot] = there[:, slot] & ~(clash[:, slot] & kept).any(dim=1)
    return kept
