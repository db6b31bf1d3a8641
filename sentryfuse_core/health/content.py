"""What is wrong with the content of an image, a cloud, audio or an IMU reading: one function a criterion.

Each says the reason, or None where nothing is wrong. CONTENT names those of each sensor, gravest first.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from sentryfuse_core.config import HealthConfig
from sentryfuse_core.health.stats import AudioStats, CloudStats, ImageStats, ImuValues
from sentryfuse_core.health.usual import Coverage, Heard, View
from sentryfuse_core.types import Modality

__all__ = ["CONTENT", "REPEATING", "Check"]


def _unstructured(stats: ImageStats, config: HealthConfig) -> str:
    """A covered lens has noise but nothing larger than a pixel; empty: there is more.

    A night scene is dark and noisy too, but its lights and what they fall on stay larger than pixels, so it
    passes however low its mean is.
    """
    if stats.structure >= config.flat_std:
        return ""
    return f"(mean {stats.mean:.1f}, structure {stats.structure:.2f} of 255)"


def black(stats: ImageStats, _: View, config: HealthConfig) -> str | None:
    """Dark and without structure."""
    found = _unstructured(stats, config)
    return f"image is black {found}" if found and stats.mean <= config.black_level else None


def white(stats: ImageStats, _: View, config: HealthConfig) -> str | None:
    """Bright and without structure."""
    found = _unstructured(stats, config)
    return f"image is white {found}" if found and stats.mean >= config.white_level else None


def flat(stats: ImageStats, _: View, config: HealthConfig) -> str | None:
    """Without structure at any level."""
    found = _unstructured(stats, config)
    return f"image is flat {found}" if found else None


def blocked(stats: ImageStats, view: View, config: HealthConfig) -> str | None:
    """A large part lost the structure it used to have; sky and dark road never had it."""
    gone = view.gone_share(stats.cells, config.flat_std)
    if gone < config.covered_share:
        return None
    return f"{100 * gone:.0f} % of the image lost the structure it used to have"


def few_points(stats: CloudStats, _: Coverage, config: HealthConfig) -> str | None:
    """Too few finite points."""
    if stats.finite_points >= config.min_points:
        return None
    return f"{stats.finite_points} finite points in a cloud, {config.min_points} needed"


def blocked_sector(stats: CloudStats, coverage: Coverage, config: HealthConfig) -> str | None:
    """A wide sector is empty that used to be filled."""
    blocked_deg = coverage.blocked_deg(stats.occupancy)
    if blocked_deg < config.blocked_sector_deg:
        return None
    return f"{blocked_deg:.0f} degrees that used to return points are empty"


def silent(stats: AudioStats, heard: Heard, _: HealthConfig) -> str | None:
    """Digital silence of what was heard before: encoders begin with zeros, and a dead one is found frozen."""
    return "samples are constant to the bit" if stats.silent and heard.sounded else None


def dead_channel(stats: AudioStats, heard: Heard, _: HealthConfig) -> str | None:
    """Digital silence of one channel; one that was never heard is not connected, not broken."""
    dead = heard.channels & ~stats.live_channels
    if not dead:
        return None
    return f"channel {dead.bit_length() - 1} is constant to the bit, others are not"


def clipped(stats: AudioStats, heard: Heard, config: HealthConfig) -> str | None:
    """Too much at full scale, once anything but one value was heard."""
    if (stats.silent and not heard.sounded) or stats.clipped_share <= config.clipped_share:
        return None
    return f"{100 * stats.clipped_share:.0f} % of the samples are at full scale"


def non_finite(values: ImuValues, _: None, __: HealthConfig) -> str | None:
    """A value that is no number."""
    gyro, accel = values
    return None if math.isfinite(sum(gyro) + sum(accel)) else "a reading is not a finite number"


def saturated(values: ImuValues, _: None, config: HealthConfig) -> str | None:
    """A value at the end of its range."""
    full_scales = (config.gyro_full_scale_rad_s, "rad/s"), (config.accel_full_scale_m_s2, "m/s^2")
    for axes, (full_scale, unit) in zip(values, full_scales, strict=True):
        if axes and (largest := max(map(abs, axes))) >= full_scale:
            return f"reading {largest:.4g} {unit} is at the end of the range ({full_scale:.4g})"
    return None


REPEATING = {"silent", "dead_channel"}  # what a simulator without noise does, no fault with `may_repeat`

Check: TypeAlias = Callable[[Any, Any, HealthConfig], str | None]

# By sensor the functions (numbers, what is usual, options) -> reason of its criteria.
CONTENT: Mapping[Modality, Mapping[str, Check]] = {
    Modality.CAMERA: {"black": black, "white": white, "flat": flat, "blocked": blocked},
    Modality.LIDAR: {"few_points": few_points, "blocked_sector": blocked_sector},
    Modality.AUDIO: {"silent": silent, "dead_channel": dead_channel, "clipped": clipped},
    Modality.IMU: {"non_finite": non_finite, "saturated": saturated},
}
