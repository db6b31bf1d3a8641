"""Ray casting against oriented boxes: which (ray, box) pairs are worth testing, and where they hit."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sentryfuse_core.world.scene import Parts

__all__ = ["Hits", "cast", "nearest", "pair_up", "turn"]

_TINY = 1e-9


@dataclass(frozen=True, eq=False)
class Hits:
    """N rays that hit a box."""

    pair: Tensor  # [N] index into the pairs that were tested
    distance: Tensor  # [N] in units of the ray's direction vector
    local: Tensor  # [N, 3] hit point in the box's frame, from its centre
    axis: Tensor  # [N] 0, 1, 2: the face's normal is along the box's x, y, z
    sign: Tensor  # [N] -1 or +1: on the negative or the positive side


def pair_up(rows: tuple[Tensor, Tensor], columns: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """All cells of K rectangles of a ray grid as flat (rectangle, row, column) indices.

    `rows` and `columns` hold first and one-past-last index [K]; empty rectangles give nothing.
    """
    height = (rows[1] - rows[0]).clamp_min(0)
    width = (columns[1] - columns[0]).clamp_min(0)
    count = height * width
    box = torch.repeat_interleave(count)
    start = count.cumsum(0) - count
    offset = torch.arange(len(box), device=box.device) - start[box]
    row = torch.div(offset, width[box], rounding_mode="floor")
    return box, rows[0][box] + row, columns[0][box] + offset - row * width[box]


def turn(x: Tensor, y: Tensor, z: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Vectors [N, 3] of the base frame in the frame of a box of yaw (cos, sin)."""
    return torch.stack((x * cos + y * sin, y * cos - x * sin, z), dim=-1)


def cast(parts: Parts, box: Tensor, start: Tensor, direction: tuple[Tensor, Tensor, Tensor]) -> Hits:
    """Slab test of N rays against the box each is paired with.

    `box` [N] indexes `parts`, `start` [N, 3] is where the ray begins in the box's frame, `direction` three
    tensors [N] in the base frame, not normalised. Only hits in front of the start, from outside, are returned.
    """
    dx, dy, dz = direction
    local = turn(dx, dy, dz, parts.cos[box], parts.sin[box])
    safe = torch.where(local.abs() < _TINY, torch.full_like(local, _TINY), local)
    middle = -start / safe
    reach = (parts.half[box] / safe).abs()
    near, axis = (middle - reach).max(dim=-1)
    far = (middle + reach).amin(dim=-1)
    pair = torch.nonzero((near < far) & (near > 0.0)).squeeze(1)
    near, axis, local = near[pair], axis[pair], local[pair]
    point = start[pair] + near[:, None] * local
    sign = -torch.sign(local.gather(1, axis[:, None]).squeeze(1))
    return Hits(pair=pair, distance=near, local=point, axis=axis, sign=sign)


def nearest(distance: Tensor, ray: Tensor, rays: int) -> tuple[Tensor, Tensor]:
    """Distance [rays] to the nearest hit (inf without one), and which of the hits [N] are the nearest ones."""
    best = torch.full((rays,), float("inf"), device=distance.device)
    best.scatter_reduce_(0, ray, distance, "amin")
    return best, torch.nonzero(distance == best[ray]).squeeze(1)
