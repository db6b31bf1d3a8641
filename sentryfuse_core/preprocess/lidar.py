"""Lidar: a cloud of any layout to points in the base frame, and those to a grid of pillar statistics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from sentryfuse_core.errors import InvalidMessageError
from sentryfuse_core.preprocess.geometry import GEOMETRY, Geometry

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from sentryfuse_core.preprocess.motion import Rotation
    from sentryfuse_core.types import PointCloud

__all__ = ["decode", "move", "pillars"]


def decode(cloud: PointCloud, *, intensity_full_scale: float) -> NDArray[np.float32]:
    """The returns of a cloud, [4, N] float32: x, y, z in metres in the sensor's frame, intensity 0..1.

    Points with a coordinate that is not finite, or all of them 0, are no returns and left out; a missing
    intensity is 0. Raises InvalidMessageError `no_finite_points`.
    """
    order = ">" if cloud.is_bigendian else "<"
    record = np.dtype(
        {
            "names": [field.name for field in cloud.fields],
            "formats": [order + field.kind for field in cloud.fields],
            "offsets": [field.offset for field in cloud.fields],
            "itemsize": cloud.point_step,
        }
    )
    shape, strides = (cloud.height, cloud.width), (cloud.row_step, cloud.point_step)
    records: NDArray[Any] = np.ndarray(shape, record, cloud.data, 0, strides)
    points = np.zeros((4, records.size), np.float32)  # coordinates apart: everything below runs along them
    with np.errstate(over="ignore", invalid="ignore"):
        for row, field in zip(points, cloud.fields, strict=False):
            row.reshape(shape)[...] = records[field.name]
        squared_m2 = np.square(points[:3]).sum(axis=0)
    returned = (squared_m2 > 0.0) & (squared_m2 < np.inf)  # a comparison with NaN is false
    if not returned.any():
        raise InvalidMessageError("no_finite_points", f"none of {returned.size} points is a return")
    if not returned.all():
        points = points[:, returned]
    if len(cloud.fields) > 3:
        points[3] /= intensity_full_scale
        np.nan_to_num(points[3], copy=False, nan=0.0, posinf=1.0, neginf=0.0)
    return points


def move(points: NDArray[np.float32], rotation: Rotation, translation_m: NDArray[np.floating[Any]]) -> Tensor:
    """Points [4, N] turned and shifted into another frame, as a batch of one: [1, N, 4]."""
    moved = np.empty_like(points)
    # Written out: a matrix product this thin spends its time on starting the library's threads.
    for row in range(3):
        np.multiply(points[0], np.float32(rotation[row, 0]), out=moved[row])
        moved[row] += points[1] * np.float32(rotation[row, 1])
        moved[row] += points[2] * np.float32(rotation[row, 2])
        moved[row] += np.float32(translation_m[row])
    moved[3] = points[3]
    return torch.from_numpy(moved).T[None]


def pillars(points: Tensor, *, geometry: Geometry = GEOMETRY) -> Tensor:
    """Statistics of the points over each cell, [B, 6, 64, 64]: rows along x, columns along y.

    `points` is [B, N, 4]: x, y, z in metres in the base frame and intensity 0..1. Rows with a NaN or
    outside the region (height included) are ignored. Channels: log1p(count) / 4, maximum, mean and
    minimum z in metres, mean intensity, occupied; all 0 in an empty cell.
    """
    batch, _, _ = points.shape
    side = geometry.pillar_cells
    x, y, z, intensity = points.to(torch.float32).unbind(-1)
    # Comparisons with NaN are false, so a point with a NaN is never inside.
    inside = (
        (x >= geometry.x_min_m) & (x < geometry.x_max_m) & (y >= geometry.y_min_m) & (y < geometry.y_max_m)
    )
    inside &= (z >= geometry.z_min_m) & (z <= geometry.z_max_m) & torch.isfinite(intensity)

    # Only points inside are scattered: most of a full turn lies elsewhere.
    element, point = torch.nonzero(inside, as_tuple=True)
    x, y, z, intensity = (value[element, point] for value in (x, y, z, intensity))
    intensity = intensity.clamp(0.0, 1.0)
    row = ((x - geometry.x_min_m) / geometry.pillar_cell_m).long()
    column = (
        ((y - geometry.y_min_m) / geometry.pillar_cell_m).long().clamp(max=side - 1)
    )  # rounding up to the edge
    cell = (element * side + row) * side + column

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
