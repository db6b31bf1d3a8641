"""What makes one message of a sensor bad: pure functions from numbers to a finding with its remedy."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

from sentryfuse_core.config import HealthConfig
from sentryfuse_core.types import ImuReading

__all__ = [
    "SECTORS",
    "AudioStats",
    "CloudStats",
    "ContentStats",
    "Coverage",
    "Finding",
    "ImageStats",
    "audio_finding",
    "cloud_finding",
    "image_finding",
    "imu_finding",
]

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
    """

    finite_points: int
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


@dataclass(frozen=True)
class Finding:
    """Something wrong with a sensor: a stable `code`, the reason in one phrase and what to do about it."""

    code: str
    reason: str
    remedy: str


def image_finding(stats: ImageStats, config: HealthConfig) -> Finding | None:
    """Black, white or flat: no pixel differs from its neighbours by as much as sensor noise.

    A dark scene keeps the noise of its sensor, so night passes however low its mean is.
    """
    if stats.std >= config.flat_std:
        return None
    found = f"mean {stats.mean:.1f}, deviation {stats.std:.2f} of 255"
    if stats.mean <= config.black_level:
        return Finding("black", f"image is black ({found})", "take off the lens cover, check exposure")
    if stats.mean >= config.white_level:
        return Finding("white", f"image is white ({found})", "shade the lens, check exposure and gain")
    return Finding("flat", f"image is flat ({found})", "clean the lens, switch the camera's test pattern off")


class Coverage:
    """Which sectors a lidar fills when nothing blocks it, learned from its first clouds.

    A sector that is empty from the start, as behind a lidar that looks forward, is not blocked.
    """

    CLOUDS = 10  # clouds to learn from
    SHARE = 0.8  # of them a sector has to be filled in

    def __init__(self) -> None:
        self._seen = 0
        self._filled = [0] * SECTORS
        self._usual = 0

    @property
    def learned(self) -> bool:
        """Whether enough clouds were seen to judge others."""
        return self._seen >= self.CLOUDS

    def learn(self, occupancy: int) -> None:
        """Take one cloud's occupied sectors in, until enough were seen."""
        if self.learned:
            return
        self._seen += 1
        for sector in range(SECTORS):
            self._filled[sector] += occupancy >> sector & 1
        if self.learned:
            enough = self.SHARE * self.CLOUDS
            self._usual = sum(1 << sector for sector in range(SECTORS) if self._filled[sector] >= enough)

    def blocked_deg(self, occupancy: int) -> float:
        """Width in degrees of the widest run of sectors that are usually filled and now are empty."""
        missing = self._usual & ~occupancy if self.learned else 0
        if missing == (1 << SECTORS) - 1:
            return 360.0
        widest = run = 0
        for sector in range(2 * SECTORS):  # twice round: a run may cross the seam
            run = run + 1 if missing >> (sector % SECTORS) & 1 else 0
            widest = max(widest, run)
        return widest * 360.0 / SECTORS


def cloud_finding(stats: CloudStats, coverage: Coverage, config: HealthConfig) -> Finding | None:
    """Too few finite points, or a wide sector empty that used to be filled."""
    if stats.finite_points < config.min_points:
        return Finding(
            "few_points",
            f"{stats.finite_points} finite points in a cloud, {config.min_points} needed",
            "clean the lidar's window, check for fog or a cover, check the driver's range limits",
        )
    blocked_deg = coverage.blocked_deg(stats.occupancy)
    if blocked_deg >= config.blocked_sector_deg:
        return Finding(
            "blocked_sector",
            f"{blocked_deg:.0f} degrees that used to return points are empty",
            "remove what blocks the lidar's view or clean its window",
        )
    return None


def imu_finding(reading: ImuReading, config: HealthConfig) -> Finding | None:
    """A value that is not finite, or one at the end of its range. An absent field is not a fault."""
    for values, full_scale, unit in (
        (reading.angular_velocity, config.gyro_full_scale_rad_s, "rad/s"),
        (reading.linear_acceleration, config.accel_full_scale_m_s2, "m/s^2"),
    ):
        if values is None:
            continue
        x, y, z = values.tolist()
        if not math.isfinite(x + y + z):
            return Finding("non_finite", "a reading is not a finite number", "check the IMU's driver")
        largest = max(abs(x), abs(y), abs(z))
        if largest >= full_scale:
            return Finding(
                "saturated",
                f"reading {largest:.4g} {unit} is at the end of the range ({full_scale:.4g})",
                "check the mounting for shocks, set health.*_full_scale_* to the sensor's range",
            )
    return None


def audio_finding(stats: AudioStats, config: HealthConfig) -> Finding | None:
    """Digital silence, or too much at full scale. A quiet place still has the noise of its microphone."""
    if stats.silent:
        remedy = "check that the microphone is plugged in and not muted"
        return Finding("silent", "samples are constant to the bit", remedy)
    if stats.clipped_share > config.clipped_share:
        found = f"{100 * stats.clipped_share:.0f} % of the samples are at full scale"
        return Finding("clipped", found, "lower the microphone's gain")
    return None
