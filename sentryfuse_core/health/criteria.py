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
    "View",
    "audio_finding",
    "cloud_finding",
    "image_finding",
    "imu_finding",
]

SECTORS = 72  # azimuth bins of 5 degrees


@dataclass(frozen=True)
class ImageStats:
    """One decoded image in grey values 0..255 (a subsampled grid is fine).

    `structure` is how much blocks of a few pixels differ, as a standard deviation and with what pixel
    noise adds taken off; `cells` the same within each cell of a grid over the image, row by row.
    """

    mean: float
    structure: float
    cells: tuple[float, ...] = ()


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
    channel i is not constant.
    """

    clipped_share: float
    silent: bool
    live_channels: int = 0


ContentStats: TypeAlias = ImageStats | CloudStats | AudioStats


@dataclass(frozen=True)
class Finding:
    """Something wrong with a sensor: a stable `code`, the reason in one phrase and what to do about it."""

    code: str
    reason: str
    remedy: str


def image_finding(stats: ImageStats, view: View, config: HealthConfig) -> Finding | None:
    """Black, white or flat: no structure beyond pixel noise. Blocked: a large part lost what it had.

    A covered lens has noise but nothing larger than a pixel. A night scene is dark and noisy too, but
    its lights and what they fall on stay larger than pixels, so it passes however low its mean is.
    """
    if stats.structure < config.flat_std:
        found = f"mean {stats.mean:.1f}, structure {stats.structure:.2f} of 255"
        if stats.mean <= config.black_level:
            return Finding("black", f"image is black ({found})", "take off the lens cover, check exposure")
        if stats.mean >= config.white_level:
            return Finding("white", f"image is white ({found})", "shade the lens, check exposure and gain")
        remedy = "uncover or clean the lens, switch the camera's test pattern off"
        return Finding("flat", f"image is flat ({found})", remedy)
    gone = view.gone_share(stats.cells, config.flat_std)
    if gone >= config.covered_share:
        found = f"{100 * gone:.0f} % of the image lost the structure it used to have"
        return Finding("blocked", found, "remove what covers part of the lens, clean it")
    return None


class View:
    """Which cells of a camera's image usually have structure, learned while nothing is wrong with it.

    A cell that is empty as a rule, as sky or a dark road, is never missed. Change is followed: within
    seconds while the image is fine, within minutes while it is not.
    """

    IMAGES = 20  # images to learn from before judging, and that memory of a fine image spans
    SLOWLY = 1200  # images that memory spans while the image is bad
    STRONG = 3.0  # a cell counts as structured at this many times the deviation of a flat one
    SHARE = 0.8  # of the images a cell has to be structured in

    def __init__(self) -> None:
        self._seen = 0
        self._usual: list[float] = []

    def learn(self, cells: tuple[float, ...], flat_std: float, *, fine: bool) -> None:
        """Take in which cells of one image have structure."""
        if len(cells) != len(self._usual):
            self._seen, self._usual = 0, [0.0] * len(cells)
        self._seen += 1
        part = 1.0 / min(self._seen, self.IMAGES if fine else self.SLOWLY)
        limit = self.STRONG * flat_std
        self._usual = [
            usual + part * ((cell >= limit) - usual) for usual, cell in zip(self._usual, cells, strict=True)
        ]

    def gone_share(self, cells: tuple[float, ...], flat_std: float) -> float:
        """Share of the image, 0..1, that usually has structure and now has none."""
        if not cells or self._seen < self.IMAGES or len(cells) != len(self._usual):
            return 0.0
        gone = sum(
            usual >= self.SHARE and cell < flat_std for usual, cell in zip(self._usual, cells, strict=True)
        )
        return gone / len(cells)


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


def audio_finding(stats: AudioStats, config: HealthConfig, *, sounded: int = 0) -> Finding | None:
    """Digital silence of all or of one channel, or too much at full scale.

    A quiet place still has the noise of its microphone, so it is never constant to the bit. Bit i of
    `sounded` says that channel i was heard before: one that never was is not connected, not broken.
    """
    if stats.silent:
        remedy = "check that the microphone is plugged in and not muted"
        return Finding("silent", "samples are constant to the bit", remedy)
    dead = sounded & ~stats.live_channels
    if dead:
        channel = dead.bit_length() - 1
        reason = f"channel {channel} is constant to the bit, others are not"
        return Finding("dead_channel", reason, "check the plug and the cable of this microphone")
    if stats.clipped_share > config.clipped_share:
        found = f"{100 * stats.clipped_share:.0f} % of the samples are at full scale"
        return Finding("clipped", found, "lower the microphone's gain")
    return None
