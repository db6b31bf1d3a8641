"""Lidar: a cloud of any layout to points in the base frame, and those to a grid of pillar statistics."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from sentryfuse_core.errors import InvalidMessageError
from sentryfuse_core.preprocess.geometry import GEOMETRY
from sentryfuse_core.rotation import IDENTITY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from sentryfuse_core.preprocess.motion import Rotation
    from sentryfuse_core.types import PointCloud

__all__ = ["decode", "decode_timed", "move", "pillars", "turned"]

_NEAREST_M, _FURTHEST_M = 1e-4, 1000.0  # coordinates that a lidar gives; no half of a cloud lies beyond
_SAMPLED = 512  # about this many points show which units and byte order they have
_USUAL_RETURNS = 12_000  # in the region: the median of the clouds that the shipped weights were trained on


def decode(cloud: PointCloud, *, intensity_full_scale: float) -> NDArray[np.float32]:
    """The returns of a cloud, [4, N] float32: x, y, z in metres in the sensor's frame, intensity 0..1.

    Points with a coordinate that is not finite, or all of them 0, are no returns and left out; a missing
    intensity is 0. Raises InvalidMessageError `no_finite_points`, or `out_of_range` for points further away
    than a lidar sees.
    """
    return decode_timed(cloud, intensity_full_scale=intensity_full_scale)[0]


def decode_timed(
    cloud: PointCloud, *, intensity_full_scale: float
) -> tuple[NDArray[np.float32], NDArray[Any] | None]:
    """The same, and the time [N] of each return as the driver wrote it; None where it wrote none."""
    records = _records(cloud)
    points = np.zeros((4, records.size), np.float32)  # coordinates apart: everything below runs along them
    with np.errstate(over="ignore", invalid="ignore"):
        for row, field in zip(points, cloud.fields, strict=False):
            row.reshape(records.shape)[...] = records[field.name]
        squared_m2 = np.square(points[:3]).sum(axis=0)
    returned = (squared_m2 > 0.0) & (squared_m2 < np.inf)  # a comparison with NaN is false
    everything = bool(returned.all())
    few = not everything and 2 * np.count_nonzero(returned) < returned.size
    if (few or cloud.is_bigendian) and _swapped(records):
        # The flag contradicts the data: in the other byte order it is a scene, in this one noise.
        swapped = replace(cloud, is_bigendian=not cloud.is_bigendian)
        return decode_timed(swapped, intensity_full_scale=intensity_full_scale)
    if few and not returned.any():
        empty = [name for name, row in zip("xyz", points, strict=False) if not np.isfinite(row).any()]
        why = f": {' and '.join(empty)} never finite" if empty else ""
        raise InvalidMessageError("no_finite_points", f"none of {returned.size} points is a return{why}")
    step = max(returned.size // _SAMPLED, 1)
    sampled_m2 = squared_m2[::step][returned[::step]]
    if sampled_m2.size and float(np.median(sampled_m2)) > _FURTHEST_M**2:
        detail = f"half of the points lie beyond {_FURTHEST_M:g} m: millimetres? REP 103 wants metres"
        raise InvalidMessageError("out_of_range", detail)
    times = None if cloud.time is None else records[cloud.time.name].reshape(-1)
    if not everything:
        points = points[:, returned]
        times = None if times is None else times[returned]
    if len(cloud.fields) > 3:
        points[3] /= intensity_full_scale
        np.nan_to_num(points[3], copy=False, nan=0.0, posinf=1.0, neginf=0.0)
    return points, times


def _records(cloud: PointCloud) -> NDArray[Any]:
    """The points as structured values [height, width], a view."""
    order = ">" if cloud.is_bigendian else "<"
    fields = cloud.fields if cloud.time is None else (*cloud.fields, cloud.time)
    record = np.dtype(
        {
            "names": [field.name for field in fields],
            "formats": [order + field.kind for field in fields],
            "offsets": [field.offset for field in fields],
            "itemsize": cloud.point_step,
        }
    )
    shape, strides = (cloud.height, cloud.width), (cloud.row_step, cloud.point_step)
    records: NDArray[Any] = np.ndarray(shape, record, cloud.data, 0, strides)
    return records


def _swapped(records: NDArray[Any]) -> bool:
    """Whether coordinates make sense in the other byte order alone, judged by a few hundred of them."""
    rows = records if records.flags.c_contiguous else records[:: max(len(records) // 16, 1)]
    flat = rows.reshape(-1)
    some = flat[:: max(flat.size // _SAMPLED, 1)]
    with np.errstate(all="ignore"):
        as_told = _sensible([some[name] for name in "xyz"])
        return as_told < 0.5 and _sensible([some[name].byteswap() for name in "xyz"]) > 0.9


def _sensible(coordinates: Sequence[NDArray[Any]]) -> float:
    """The share of values that a lidar gives."""
    values = np.stack(coordinates).astype(np.float64)
    size = np.abs(values)
    return float(np.mean(((size > _NEAREST_M) & (size < _FURTHEST_M)) | (size == 0.0)))


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


def turned(points: Tensor, rotation: Rotation) -> Tensor:
    """Points [1, N, 4] of the base frame in axes that `rotation`, about z, turns base axes into."""
    if np.array_equal(rotation, IDENTITY):
        return points
    x, y, z, intensity = points.unbind(-1)
    cos, sin = float(rotation[0, 0]), float(rotation[0, 1])
    return torch.stack((cos * x + sin * y, cos * y - sin * x, z, intensity), dim=-1)


def pillars(points: Tensor) -> Tensor:
    """Statistics of the points over each cell, [B, 6, 64, 64]: rows along x, columns along y.

    `points` is [B, N, 4]: x, y, z in metres in the base frame and intensity 0..1. Rows with a NaN or
    outside the region (height included) are ignored. Channels: log1p(count) / 4, maximum, mean and
    minimum z in metres, mean intensity, occupied; all 0 in an empty cell.

    What a count tells is where returns lie close, not how many a lidar takes: those of a cloud with over
    `_USUAL_RETURNS` in the region are scaled down to as many, so that a lidar five times as dense as any in
    training, or several merged into one cloud, looks like one that was there.
    """
    batch, of_each, _ = points.shape
    side = GEOMETRY.pillar_cells
    x, y, z, intensity = points.to(torch.float32).unbind(-1)
    # Comparisons with NaN are false, so a point with a NaN is never inside.
    inside = (x >= GEOMETRY.x_min_m) & (x < GEOMETRY.x_max_m)
    inside &= (y >= GEOMETRY.y_min_m) & (y < GEOMETRY.y_max_m)
    inside &= (z >= GEOMETRY.z_min_m) & (z <= GEOMETRY.z_max_m) & (intensity.abs() < torch.inf)

    # Only points inside are scattered: most of a full turn lies elsewhere.
    point = inside.flatten().nonzero()[:, 0]
    x, y, z, intensity = (value.flatten().index_select(0, point) for value in (x, y, z, intensity))
    intensity = intensity.clamp(0.0, 1.0)
    row = ((x - GEOMETRY.x_min_m) / GEOMETRY.pillar_cell_m).long()
    column = ((y - GEOMETRY.y_min_m) / GEOMETRY.pillar_cell_m).long()
    column = column.clamp(max=side - 1)  # of one rounded up to the edge
    element = torch.div(point, of_each, rounding_mode="floor") if batch > 1 else 0
    cell = (element * side + row) * side + column

    empty = torch.zeros(batch * side * side, device=points.device)
    count = empty.index_add(0, cell, torch.ones_like(z))
    counts = count.view(batch, -1)
    told = counts * (_USUAL_RETURNS / counts.sum(dim=1, keepdim=True).clamp(min=_USUAL_RETURNS))
    z_sum = empty.index_add(0, cell, z)
    intensity_sum = empty.index_add(0, cell, intensity)
    there = count > 0
    z_max = (empty - torch.inf).scatter_reduce(0, cell, z, "amax").where(there, empty)
    z_min = (empty + torch.inf).scatter_reduce(0, cell, z, "amin").where(there, empty)
    divisor = count.clamp(min=1.0)
    channels = (
        torch.log1p(told) / 4.0,
        z_max,
        z_sum / divisor,
        z_min,
        intensity_sum / divisor,
        there.float(),
    )
    return torch.stack([channel.view(batch, side, side) for channel in channels], dim=1)
