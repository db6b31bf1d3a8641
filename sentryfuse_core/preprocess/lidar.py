"""Lidar: points in the base frame to a grid of pillar statistics, batched."""

from __future__ import annotations

import torch
from torch import Tensor

from sentryfuse_core.preprocess.geometry import GEOMETRY, Geometry

__all__ = ["pillars"]


def pillars(points: Tensor, *, geometry: Geometry = GEOMETRY) -> Tensor:
    """Statistics of the points over each cell, [B, 6, 64, 64]: rows along x, columns along y.

    `points` is [B, N, 4]: x, y, z in metres in the base frame and intensity 0..1. Rows with a NaN or
    outside the region (height included) are ignored. Channels: log1p(count) / 4, maximum, mean and
    minimum z in metres, mean intensity, occupied; all 0 in an empty cell.
    """
    batch, _, _ = points.shape
    side = geometry.pillar_cells
    x, y, z, intensity = points.to(torch.float32).unbind(-1)
    row = torch.floor((x - geometry.x_min_m) / geometry.pillar_cell_m)
    column = torch.floor((y - geometry.y_min_m) / geometry.pillar_cell_m)
    # Comparisons with NaN are false, so a row with a NaN is never inside.
    inside = (row >= 0) & (row < side) & (column >= 0) & (column < side)
    inside &= (z >= geometry.z_min_m) & (z <= geometry.z_max_m) & torch.isfinite(intensity)

    # Only points inside are scattered: most of a full turn lies elsewhere.
    element, point = torch.nonzero(inside, as_tuple=True)
    cell = (row[element, point] * side + column[element, point]).long() + element * (side * side)
    z = z[element, point]
    intensity = intensity[element, point].clamp(0.0, 1.0)

    empty = torch.zeros(batch * side * side, device=points.device)
    count = empty.index_add(0, cell, torch.ones_like(z))
    z_sum = empty.index_add(0, cell, z)
    intensity_sum = empty.index_add(0, cell, intensity)
    z_max = empty.scatter_reduce(0, cell, z, "amax", include_self=False)
    z_min = empty.scatter_reduce(0, cell, z, "amin", include_self=False)
    divisor = count.clamp(min=1.0)
    channels = (
        torch.log1p(count) / 4.0,
        z_max,
        z_sum / divisor,
        z_min,
        intensity_sum / divisor,
        (count > 0).float(),
    )
    return torch.stack([channel.view(batch, side, side) for channel in channels], dim=1)
