"""Ray casting against oriented boxes: which (ray, box) pairs are worth testing, and where they hit."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sentryfuse_core.lab.world.scene import Parts

__all__ = ["Hits", "Vector", "cast", "nearest", "pair_up", "turn"]

_TINY = 1e-9


@dataclass(frozen=True, eq=False)
class Hits:
    """N rays that hit a box."""

    pair: Tensor  # [N] index into the pairs that were tested
    distance: Tensor  # [N] in units of the ray's direction vector
    local: Tensor  # [N, 3] hit point in the box's frame, from its centre
    axis: Tensor  # [N] 0, 1, 2: the face's normal is along the box's x, y, z
    sign: Tensor  # [N] -1 or +1: on the negative or the positive side
    facing: Tensor  # [N] share of the ray's direction that goes into the face


def pair_up(rows: tuple[Tensor, Tensor], columns: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """All cells of K rectangles of a ray grid as flat (rectangle, row, column) indices.

    `rows` and `columns` hold first and one-past-last index [K]; empty rectangles give nothing.
    """
    height = (rows[1] - rows[0]).clamp_min(0)
    width = (columns[1] - columns[0]).clamp_min(0)
    count = height * width
    box = torch.repeat_interleave(count)
    offset = torch.arange(len(box), device=box.device) - (count.cumsum(0) - count)[box]
    wide = width[box]
    row = (
        (offset + 0.5) / wide
    ).long()  # in float: integer division is slower, and images are below 2^22 pixels
    return box, rows[0][box] + row, columns[0][box] + offset - row * wide


Vector = tuple[Tensor, Tensor, Tensor]  # x, y, z, each [N]


def turn(x: Tensor, y: Tensor, z: Tensor, cos: Tensor, sin: Tensor) -> Vector:
    """Vectors of the base frame in the frame of a box of yaw (cos, sin)."""
    return x * cos + y * sin, y * cos - x * sin, z


def cast(parts: Parts, box: Tensor, start: Vector, direction: Vector) -> Hits:
    """Slab test of N rays against the box each is paired with.

    `box` [N] indexes `parts`, `start` is where the ray begins in the box's frame, from its centre, and
    `direction`, not normalised, is in the base frame. Hits from outside, in front of the start,
    are returned.
    """
    along = turn(*direction, parts.cos[box], parts.sin[box])
    nears, fars = [], []
    for axis in range(3):
        inverse = 1 / (along[axis] + _TINY)
        middle = -start[axis] * inverse
        reach = parts.half[:, axis][box] * inverse.abs()
        nears.append(middle - reach)
        fars.append(middle + reach)
    near = torch.maximum(torch.maximum(nears[0], nears[1]), nears[2])
    far = torch.minimum(torch.minimum(fars[0], fars[1]), fars[2])
    pair = torch.nonzero((near < far) & (near > 0.0)).squeeze(1)
    near = near[pair]
    axis_index = torch.where(nears[0][pair] == near, 0, torch.where(nears[1][pair] == near, 1, 2))
    local_direction = torch.stack([part[pair] for part in along], dim=-1)
    point = torch.stack([part[pair] for part in start], dim=-1) + near[:, None] * local_direction
    facing = local_direction.gather(1, axis_index[:, None]).squeeze(1)
    return Hits(
        pair=pair, distance=near, local=point, axis=axis_index, sign=-torch.sign(facing), facing=facing.abs()
    )


def nearest(distance: Tensor, ray: Tensor, rays: int) -> tuple[Tensor, Tensor]:
    """Distance [rays] to the nearest hit (inf: none), and which of the hits [N] are the nearest ones."""
    best = torch.full((rays,), float("inf"), device=distance.device)
    best.scatter_reduce_(0, ray, distance, "amin")
    return best, torch.nonzero(distance == best[ray]).squeeze(1)
