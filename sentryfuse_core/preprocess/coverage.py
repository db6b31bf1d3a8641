"""Which directions the sensors of one set watch, and how far, by what they brought."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray

from sentryfuse_core.preprocess.geometry import GEOMETRY
from sentryfuse_core.preprocess.sectors import sector_axes
from sentryfuse_core.preprocess.tensors import ModelInput
from sentryfuse_core.surroundings import BEARINGS, BLIND, Coverage
from sentryfuse_core.types import Modality

__all__ = ["covered"]

_AROUND_DEG = 3  # a return tells of the directions this near to its own
_SEEN = 0.5  # of a column of the picture, from which on the camera watches that direction
_HALF = BEARINGS // 4  # degrees to each side of a sector's axis in which its region lies


def covered(views: Sequence[tuple[float, ModelInput]]) -> Coverage:
    """What watches each degree; `views` are yaw in rad and input of each sector that the network ran for.

    A camera watches where its picture covers the sector's, a lidar where anything returns, microphones
    wherever the network listens. Each direction counts as its nearest sector has it. What is hidden behind
    something else is not known here.
    """
    if not views:
        return BLIND
    sensors, range_m = np.zeros(BEARINGS, np.uint8), np.zeros(BEARINGS)
    yaws = tuple(yaw for yaw, _ in views)
    owner, column = _directions(yaws)
    for index, (_, inputs) in enumerate(views):
        own = owner == index
        bits = _watched(inputs)[column[index, own]]
        sensors[own] = bits
        range_m[own] = np.where(bits > 0, _reach_m()[column[index, own]], 0.0)
    return Coverage(sensors, range_m)


@lru_cache(maxsize=8)
def _directions(yaws: tuple[float, ...]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Which sector `[360]` each degree belongs to, -1: none; and its degree `[sectors, 360]` in each of them.

    A sector's degrees run from -90 to 90 of its own axis.
    """
    middle = np.radians(np.arange(BEARINGS) + 0.5)
    rays = np.stack((np.cos(middle), np.sin(middle), np.zeros(BEARINGS)))
    off = np.stack([np.degrees(np.arctan2(*(sector_axes(yaw) @ rays)[1::-1])) for yaw in yaws])
    nearest = np.abs(off).argmin(axis=0)
    apart = np.abs(off).min(axis=0)
    column = np.clip(np.floor(off + _HALF).astype(np.intp), 0, 2 * _HALF - 1)
    return np.where(apart < _HALF, nearest, -1), column


@lru_cache(maxsize=1)
def _reach_m() -> NDArray[np.float64]:
    """How far the region reaches in each of its degrees `[180]`."""
    angle = np.radians(np.arange(2 * _HALF) + 0.5 - _HALF)
    reach: NDArray[np.float64] = np.minimum(
        GEOMETRY.x_max_m / np.cos(angle), GEOMETRY.y_max_m / np.abs(np.sin(angle))
    )
    return reach


@lru_cache(maxsize=1)
def _cell_degrees() -> NDArray[np.int64]:
    """In which of the region's degrees each cell of the pillars lies: [cells]."""
    g = GEOMETRY
    step = (torch.arange(g.pillar_cells) + 0.5) * g.pillar_cell_m
    x, y = torch.meshgrid(step + g.x_min_m, step + g.y_min_m, indexing="ij")
    degrees = torch.rad2deg(torch.atan2(y, x)).floor().long() + _HALF
    return degrees.clamp(0, 2 * _HALF - 1).flatten().numpy()


@lru_cache(maxsize=1)
def _image_columns() -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Which of the region's degrees [180] the virtual camera's image shows, and where: 0..1 of its width."""
    g = GEOMETRY
    tangent = np.tan(np.radians(np.arange(2 * _HALF) + 0.5 - _HALF))
    share = (g.image_cx - g.image_fx * tangent) / g.image_width
    shown = (share >= 0.0) & (share < 1.0)
    return shown, np.where(shown, share, 0.0)


def _watched(inputs: ModelInput) -> NDArray[np.uint8]:
    """Bits of the sensors that watch each of the region's degrees: [180]."""
    bits = np.zeros(2 * _HALF, np.uint8)
    if inputs.camera is not None:
        shown, share = _image_columns()
        if inputs.camera_seen is not None:
            seen = inputs.camera_seen[0, 0].mean(dim=0).numpy() >= _SEEN
            shown = shown & seen[(share * len(seen)).astype(np.intp)]
        bits[shown] |= np.uint8(Modality.CAMERA.bit)
    if inputs.lidar is not None:
        there = inputs.lidar[0, -1].numpy().reshape(-1) > 0.0
        count = np.bincount(_cell_degrees()[there], minlength=2 * _HALF)
        near = np.convolve(count, np.ones(2 * _AROUND_DEG + 1), mode="same")
        bits[near > 0] |= np.uint8(Modality.LIDAR.bit)
    if inputs.audio is not None:
        bits |= np.uint8(Modality.AUDIO.bit)
    return bits
