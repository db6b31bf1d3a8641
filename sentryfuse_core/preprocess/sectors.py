"""Sectors: the network's region turned about the robot, and which of them a place belongs to."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from sentryfuse_core.preprocess.geometry import GEOMETRY
from sentryfuse_core.rotation import Rotation

__all__ = ["beyond_m", "inside", "owners", "sector_axes", "seen_from"]

Floats: TypeAlias = NDArray[np.floating[Any]]
_EXACT = 12  # digits that are kept, so that a quarter turn has exact zeros and ones


def sector_axes(yaw_rad: float) -> Rotation:
    """The matrix that turns vectors of the base frame into those of a sector, which looks along `yaw_rad`."""
    cos, sin = round(math.cos(yaw_rad), _EXACT), round(math.sin(yaw_rad), _EXACT)
    return np.array([[cos, sin, 0.0], [-sin, cos, 0.0], [0.0, 0.0, 1.0]])


def seen_from(places: Floats, yaw_rad: float) -> Floats:
    """Places `[N, 2]` of the base frame in the frame of a sector."""
    turned: Floats = places if yaw_rad == 0.0 else places @ sector_axes(yaw_rad)[:2, :2].T
    return turned


def inside(places: Floats, yaw_rad: float) -> NDArray[np.bool_]:
    """Which places `[N, 2]` of the base frame lie in a sector's region."""
    x, y = seen_from(places, yaw_rad).T
    g = GEOMETRY
    return np.asarray((x >= g.x_min_m) & (x <= g.x_max_m) & (y >= g.y_min_m) & (y <= g.y_max_m))


def owners(places: Floats, yaws_rad: Sequence[float]) -> NDArray[np.intp]:
    """Whose each of `places` `[N, 2]` is: the sector nearest in angle that has it in its region; -1: none."""
    if not len(places):
        return np.zeros(0, np.intp)
    off = np.stack([_off_rad(places, yaw) for yaw in yaws_rad])  # [sectors, N]
    around = np.stack([inside(places, yaw) for yaw in yaws_rad])
    nearest = np.where(around, off, np.inf).argmin(axis=0)
    return np.where(around.any(axis=0), nearest, -1)


def beyond_m(places: Floats, yaw_rad: Floats, other_rad: Floats) -> Floats:
    """How far `[N]` places `[N, 2]` lie beyond a sector's border, which is half way to another's axis, in m.

    `yaw_rad` and `other_rad` `[N]` are the two sectors' of each place.
    """
    past = (_off_rad(places, yaw_rad) - _off_rad(places, other_rad)) / 2
    reach: Floats = np.hypot(*places.T) * np.sin(np.clip(past, 0.0, math.pi / 2))
    return reach


def _off_rad(places: Floats, yaw_rad: float | Floats) -> Floats:
    """Angle `[N]` between a sector's axis and each place."""
    away = np.arctan2(places[:, 1], places[:, 0]) - yaw_rad
    off: Floats = np.abs(np.remainder(away + math.pi, math.tau) - math.pi)
    return off
