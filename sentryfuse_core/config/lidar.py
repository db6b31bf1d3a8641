"""Section `lidar`: topic, pose, delay and scale of the lidar."""

from __future__ import annotations

from dataclasses import dataclass

from sentryfuse_core.config.option import opt
from sentryfuse_core.config.sensor import SensorConfig

__all__ = ["LidarConfig"]


@dataclass(frozen=True, kw_only=True)
class LidarConfig(SensorConfig):
    """Spinning lidar; its frame has x forward, y left, z up."""

    topic: str = opt("lidar/points", "sensor_msgs/PointCloud2 topic")
    translation_m: tuple[float, float, float] = opt((0.0, 0.0, 1.8), "lidar in the base frame: x, y, z in m")
    expected_lag_s: float = opt(
        0.0,
        "known delay from stamp to arrival in s; much more is taken for a wrong clock",
        low=0.0,
        high=10.0,
    )
    deskew: bool = opt(
        default=True, doc="move points that carry their own time to the set's stamp, by IMU and odometry"
    )
    intensity_full_scale: float = opt(255.0, "intensity that counts as 1.0", low=1e-6, high=1e9)
