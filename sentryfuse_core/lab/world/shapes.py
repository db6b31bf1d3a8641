"""The solids that objects are made of: boxes as shares of the whole, plain or with a profile of their own."""

from __future__ import annotations

import torch
from torch import Tensor

from sentryfuse_core.lab.world.things import CLUTTER, Thing

__all__ = ["SOLID", "VARIED", "plain_solids", "varied_solids"]

SOLID = 9
"""Numbers of a solid: shift forward and left, length, width, bottom, top (shares of the whole), share of the
lidar's rays that pass, which of the object's colours (the level of a plain one), factor on reflectivity."""
_SITS_M = 1.3  # lower people sit
VARIED = 8  # solids of an object with a profile of its own; empty ones have top 0

# Of each class, from below: forward shift, length, width, bottom, top.
_PLAIN = (
    ((0.0, 1.0, 1.0, 0.1, 0.6), (-0.06, 0.56, 0.88, 0.55, 1.0), (0.0, 0.0, 0.0, 0.0, 0.0)),
    ((0.0, 0.6, 0.66, 0.0, 0.5), (0.0, 0.75, 1.0, 0.47, 0.86), (0.0, 0.42, 0.34, 0.84, 1.0)),
    ((0.0, 1.0, 0.25, 0.0, 0.55), (-0.06, 0.26, 0.85, 0.42, 0.85), (-0.02, 0.14, 0.34, 0.83, 1.0)),
    *(((0.0, 1.0, 1.0, 0.0, 1.0), (0.0, 0.0, 0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 0.0, 0.0)) for _ in CLUTTER),
)


def plain_solids(classes: Tensor) -> Tensor:
    """Two or three boxes for each of `classes` [*S], the same for all of a class: [*S, 3, SOLID]."""
    shape = torch.tensor(_PLAIN, device=classes.device)[classes]
    shift, *rest = shape.unbind(-1)
    level = torch.arange(3, device=classes.device).expand_as(shift)
    nothing = torch.zeros_like(shift)
    shine = torch.where(level > 0, 0.8, 1.0)
    return torch.stack((shift, nothing, *rest, nothing, level.float(), shine), dim=-1)


def varied_solids(classes: Tensor, size: Tensor, things: tuple[Thing, ...], draw: Tensor) -> Tensor:
    """Solids [*S, VARIED, SOLID] of objects of `classes` [*S] and `size` [*S, 3] m; `draw` [*S, 12] 0..1.

    Cars have bonnet, glass that the lidar passes, seats and wheels; people have limbs in stride; clutter has
    the solids of its Thing. Classes from 3 on are `things`.
    """
    u = draw.unbind(-1)
    made = torch.zeros((*classes.shape, VARIED, SOLID), device=classes.device)
    for number, make in enumerate((_car, _pedestrian, _cyclist)):
        rows = _stack(make(u, size), made)
        made = torch.where((classes == number)[..., None, None], rows, made)
    table = torch.zeros((len(things) + 3, VARIED, SOLID), device=classes.device)
    for number, thing in enumerate(things, 3):
        table[number, : len(thing.solids)] = torch.tensor(thing.solids, device=classes.device)
    clutter = table[classes.clamp_min(0)]
    # What rays pass differs from one hedge or tree to the next.
    clear = clutter[..., 6:7] * (0.5 + u[0][..., None, None])
    clutter = torch.cat((clutter[..., :6], clear, clutter[..., 7:]), dim=-1)
    made = torch.where((classes >= 3)[..., None, None], clutter, made)
    shine = 0.6 + 0.8 * torch.frac(draw[..., :VARIED] * 7.31 + draw[..., -1:] * 3.7)
    return torch.cat((made[..., :8], made[..., 8:] * shine[..., None]), dim=-1)


Rows = tuple[tuple[Tensor | float, ...], ...]


def _stack(rows: Rows, like: Tensor) -> Tensor:
    """Rows of numbers and tensors [*S] as solids [*S, VARIED, SOLID], factor 1 on reflectivity."""
    shape = like.shape[:-2]
    whole = torch.zeros_like(like)
    for index, row in enumerate(rows):
        columns = [
            item.expand(shape) if isinstance(item, Tensor) else like.new_full(shape, item)
            for item in (*row, 1.0)
        ]
        whole[..., index, :] = torch.stack(columns, dim=-1)
    return whole


def _car(u: tuple[Tensor, ...], size: Tensor) -> Rows:
    """From city cars to vans; a van (higher than 1.85 m) has a closed hold in place of the rear windows."""
    van = size[..., 2] > 1.85
    whole = 1 / size[..., 0]
    belt, bonnet = 0.52 + 0.12 * u[0], 0.42 + 0.12 * u[1]
    bonnet = torch.where(van, bonnet + 0.1, bonnet)
    length = torch.where(van, 0.28 + 0.1 * u[2], 0.5 + 0.3 * u[2])
    shift = torch.where(van, 0.22 + 0.06 * u[3], -0.02 - 0.12 * u[3])
    clear = 0.35 + 0.6 * u[4]  # of the side windows' rays; the rest comes back from the glass and its frame
    hold = torch.where(van, 0.97, 0.0)
    wheel = (0.58 + 0.12 * u[5]) * whole
    axle = 0.29 + 0.04 * u[6]
    tyre = 0.62 / size[..., 2]
    clearance = (0.14 + 0.1 * u[7]) / size[..., 2]
    core = 0.84 + 0.1 * u[8]
    return (
        (0.0, 0.0, core, 1.0, clearance, belt, 0.0, 0.0),
        (0.0, 0.0, 1.0, 0.78 + 0.14 * u[9], clearance + 0.04, bonnet, 0.0, 0.0),
        (shift, 0.0, length, 0.82 + 0.1 * u[10], belt, 0.95, clear, 2.0),
        (shift - 0.03, 0.0, length * (0.55 + 0.35 * u[11]), 0.78, 0.92, 1.0, 0.0, 1.0),
        (shift, 0.0, length * 0.75, 0.7, belt, belt + 0.22, 0.0, 3.0),
        (axle, 0.0, wheel, 0.98, 0.0, tyre, 0.0, 3.0),
        (-axle, 0.0, wheel, 0.98, 0.0, tyre, 0.0, 3.0),
        (-0.13, 0.0, 0.74, 0.98, 0.2, hold, 0.0, 1.0),
    )


def _pedestrian(u: tuple[Tensor, ...], size: Tensor) -> Rows:
    """Legs and arms in stride, or standing, some with a bag; the lowest sit, their thighs ahead."""
    length = 1 / size[..., 0]
    stride = (u[0] - 0.25).clamp_min(0.0) * 0.55 * length  # m of each foot from the middle
    stride = stride.clamp(max=0.38)
    sits = size[..., 2] < _SITS_M
    swing = 0.7 * stride
    thick = 0.14 * length.clamp(max=2.5)
    body = (0.22 + 0.12 * u[1]) * length
    bag = torch.where(u[2] < 0.3, 0.8, 0.0)
    thigh = torch.where(sits, 0.42, 0.0)  # bottom of legs, from the knee on level
    foot = torch.where(sits, 0.36, stride)
    back = torch.where(sits, -0.22, 0.0)
    return (
        (foot, 0.22, thick, 0.28, 0.0, 0.49, 0.0, 0.0),
        (torch.where(sits, 0.36, -stride), -0.22, thick, 0.28, 0.0, 0.49, 0.0, 0.0),
        (back + 0.02 * u[3], 0.0, body.clamp(max=0.9), 0.55 + 0.2 * u[4], 0.36, 0.84, 0.0, 1.0),
        (back + 0.06 * u[5], 0.0, (0.21 * length).clamp(max=0.5), 0.3, 0.82, 1.0, 0.0, 2.0),
        (back - swing, 0.41, 0.8 * thick, 0.17, 0.42, 0.8, 0.0, 1.0),
        (back + swing, -0.41, 0.8 * thick, 0.17, 0.42, 0.8, 0.0, 1.0),
        (-0.25 - 0.1 * u[6], 0.0, 0.25, 0.5, 0.5, bag, 0.0, 3.0),
        (0.1, 0.0, 0.65, 0.6, 0.3, thigh, 0.0, 0.0),
    )


def _cyclist(u: tuple[Tensor, ...], _: Tensor) -> Rows:
    """Two thin wheels, frame, bar, legs on pedals, a rider who leans; some with panniers."""
    lean = 0.12 * u[0]
    bag = torch.where(u[1] < 0.3, 0.42, 0.0)
    wheel = 0.34 + 0.06 * u[2]
    return (
        (0.5 - wheel / 2, 0.0, wheel, 0.1, 0.0, 0.4, 0.35, 3.0),
        (wheel / 2 - 0.5, 0.0, wheel, 0.1, 0.0, 0.4, 0.35, 3.0),
        (-0.02, 0.0, 0.5, 0.09, 0.2, 0.54, 0.4, 0.0),
        (0.2 + 0.06 * u[3], 0.0, 0.05, 0.75 + 0.2 * u[4], 0.56, 0.62, 0.0, 3.0),
        (-0.02, 0.0, 0.2, 0.5 + 0.2 * u[5], 0.14, 0.52, 0.2, 0.0),
        (lean - 0.1, 0.0, 0.2 + lean, 0.65 + 0.2 * u[6], 0.48, 0.86, 0.0, 1.0),
        (lean - 0.02, 0.0, 0.13, 0.36, 0.85, 1.0, 0.0, 2.0),
        (-0.34, 0.0, 0.22, 0.6, 0.2, bag, 0.0, 3.0),
    )
