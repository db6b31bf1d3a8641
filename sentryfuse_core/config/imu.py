"""Section `imu`: topic and window of the inertial unit."""

from __future__ import annotations

from dataclasses import dataclass

from sentryfuse_core.config.option import opt
from sentryfuse_core.config.sensor import SensorConfig

__all__ = ["ImuConfig"]


@dataclass(frozen=True, kw_only=True)
class ImuConfig(SensorConfig):
    """Inertial unit, rigidly mounted; x forward, y left, z up after the rotation below."""

    topic: str = opt("imu/data", "sensor_msgs/Imu topic")
    depth: int = opt(100, "QoS history depth in messages", low=1, high=10_000)
    window_s: float = opt(0.1, "samples in (stamp - window, stamp] go into a set, in s", low=0.005, high=5.0)
