"""What makes one message of a sensor bad: pure functions from numbers to a finding with its remedy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

__all__ = ["SECTORS", "AudioStats", "CloudStats", "ContentStats", "ImageStats"]

SECTORS = 72  # azimuth bins of 5 degrees


@dataclass(frozen=True)
class ImageStats:
    """Grey values of one decoded image, 0..255, over all its pixels (a subsampled grid is fine)."""

    mean: float
    std: float


@dataclass(frozen=True)
class CloudStats:
    """One point cloud in the sensor's own frame.

    Bit i of `occupancy` is set where a finite point has atan2(y, x) in [-180 + 5 i, -175 + 5 i) degrees.
    `widest_empty_sector_deg` is the widest run of empty bins around the circle (360 for an empty cloud).
    """

    finite_points: int
    widest_empty_sector_deg: float
    occupancy: int


@dataclass(frozen=True)
class AudioStats:
    """One audio block, all channels together.

    `clipped_share` is the share of samples at full scale, 0..1. `silent` means digital silence: every
    channel constant to the bit (a quiet place still has noise).
    """

    clipped_share: float
    silent: bool


ContentStats: TypeAlias = ImageStats | CloudStats | AudioStats
