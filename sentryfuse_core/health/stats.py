"""The numbers that content is judged by, one kind a sensor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from numpy.typing import ArrayLike

__all__ = ["SECTORS", "AudioStats", "CloudStats", "ContentStats", "ImageStats", "ImuValues"]

SECTORS = 72  # azimuth bins of 5 degrees


@dataclass(frozen=True, eq=False)
class ImageStats:
    """One decoded image in grey values 0..255 (a subsampled grid is fine).

    `structure` is how much blocks of a few pixels differ, as a standard deviation and with what pixel
    noise adds taken off; `cells` the same within each cell of a grid over the image, row by row.
    """

    mean: float
    structure: float
    cells: ArrayLike = ()


@dataclass(frozen=True)
class CloudStats:
    """One point cloud in the sensor's own frame.

    Bit i of `occupancy` is set where a finite point has atan2(y, x) in [-180 + 5 i, -175 + 5 i) degrees.
    """

    finite_points: int
    occupancy: int


@dataclass(frozen=True)
class AudioStats:
    """Audio blocks of one set.

    `clipped_share` is the share of samples at full scale, 0..1. `silent` means digital silence: every
    channel constant to the bit (a quiet place still has noise). Bit i of `live_channels` is set where
    channel i of `channel_count` is not constant.
    """

    clipped_share: float
    silent: bool
    live_channels: int = 0
    channel_count: int = 0


ContentStats: TypeAlias = ImageStats | CloudStats | AudioStats

# Angular velocity and acceleration, x, y, z in rad/s and m/s^2; empty where the field is absent: no fault.
ImuValues: TypeAlias = tuple[list[float], list[float]]
