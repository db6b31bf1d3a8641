"""How long each criterion may take to find its fault, from its thresholds and the sensor's rate."""

from __future__ import annotations

from sentryfuse_core.config import Config
from sentryfuse_core.health.content import CONTENT
from sentryfuse_core.health.criteria import of_sensor
from sentryfuse_core.health.tracks import AUDIO_BLOCKS, STUCK_READINGS
from sentryfuse_core.types import Modality

__all__ = ["detection_time_s"]


def detection_time_s(
    criterion: str, config: Config, *, modality: Modality, rate_hz: float, set_rate_hz: float = 10.0
) -> float:
    """Longest time in s from a fault's begin until the sensor is LOST or DEGRADED for it.

    Content is looked at once a set, so it takes `bad_of_five` sets, one more until the first bad one and
    the wait for a set; audio first has to fill the set's window and the block that reaches into it. KeyError
    for no criterion of the sensor.
    """
    health = config.health
    if criterion in CONTENT[modality] and modality is not Modality.IMU:
        found_s = (health.bad_of_five + 1) / set_rate_hz + config.sync.max_wait_s
        return found_s + (config.audio.window_s + 1.0 / rate_hz if modality is Modality.AUDIO else 0.0)
    floor_s = of_sensor(health, "timeout_floor_{sensor}_s", modality)
    checks_s = (health.bad_of_five + 1) / rate_hz
    return {
        "timeout": max(health.timeout_periods / rate_hz, floor_s),
        "frozen": (of_sensor(health, "frozen_{content}", modality) + 1) / rate_hz,
        "non_finite": checks_s,
        "saturated": checks_s,
        "stuck_axis": max(health.stuck_axis_s, STUCK_READINGS / rate_hz) + checks_s,
        "gapped": (AUDIO_BLOCKS + 1) / rate_hz,
    }[criterion]
