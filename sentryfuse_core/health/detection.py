"""How long each criterion may take to find its fault, from its thresholds and the sensor's rate."""

from __future__ import annotations

from sentryfuse_core.config import Config
from sentryfuse_core.health.tracks import LEAST
from sentryfuse_core.types import Modality

__all__ = ["detection_time_s"]

_AUDIO_BLOCKS = 50  # that gaps are looked for in
_CONTENT = (
    "black",
    "white",
    "flat",
    "blocked",
    "few_points",
    "blocked_sector",
    "clipped",
    "silent",
    "dead_channel",
)


def detection_time_s(
    criterion: str, config: Config, *, modality: Modality, rate_hz: float, set_rate_hz: float = 10.0
) -> float:
    """Longest time in s from a fault's begin until the sensor is LOST or DEGRADED for it.

    Content is looked at once a set, so it takes `bad_of_five` sets, one more until the first bad one and
    the wait for a set; silence in audio first has to fill the set's window. KeyError for no criterion.
    """
    health = config.health
    if criterion in _CONTENT:
        found_s = (health.bad_of_five + 1) / set_rate_hz + config.sync.max_wait_s
        return found_s + (config.audio.window_s if modality is Modality.AUDIO else 0.0)
    floors_s = {
        Modality.CAMERA: health.timeout_floor_camera_s,
        Modality.LIDAR: health.timeout_floor_lidar_s,
        Modality.IMU: health.timeout_floor_imu_s,
        Modality.AUDIO: health.timeout_floor_audio_s,
    }
    frozen = {
        Modality.CAMERA: health.frozen_image,
        Modality.LIDAR: health.frozen_cloud,
        Modality.IMU: health.frozen_imu,
        Modality.AUDIO: health.frozen_audio,
    }
    checks_s = (health.bad_of_five + 1) / rate_hz
    return {
        "timeout": max(health.timeout_periods / rate_hz, floors_s[modality]),
        "frozen": (frozen[modality] + 1) / rate_hz,
        "non_finite": checks_s,
        "saturated": checks_s,
        "stuck_axis": max(health.stuck_axis_s, LEAST / rate_hz) + checks_s,
        "gapped": (_AUDIO_BLOCKS + 1) / rate_hz,
    }[criterion]
