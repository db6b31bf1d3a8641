"""Whether a sensor may be believed: usable alone, without ROS and without torch.

Feed every message to `observe` and let the time pass with `update`; ask `trusted`, `state` or `reports`.

Examples:
    >>> from sentryfuse_core.config import Config
    >>> from sentryfuse_core.health import HealthMonitor
    >>> from sentryfuse_core.types import ImuReading, Modality, Sample
    >>> import numpy as np
    >>> monitor = HealthMonitor(Config())
    >>> reading = ImuReading(np.zeros(3), np.array([0.0, 0.0, 9.81]))
    >>> monitor.observe(Sample(Modality.IMU, 10**9, 10**9, 10**9, "imu", reading, fingerprint=1))
    >>> monitor.update(2 * 10**9)
    >>> [(change.after.name, change.code) for change in monitor.take_transitions()]
    [('OK', ''), ('LOST', 'timeout')]
"""

from sentryfuse_core.health.criteria import Finding
from sentryfuse_core.health.detection import detection_time_s
from sentryfuse_core.health.monitor import HealthMonitor
from sentryfuse_core.health.stats import AudioStats, CloudStats, ContentStats, ImageStats

__all__ = [
    "AudioStats",
    "CloudStats",
    "ContentStats",
    "Finding",
    "HealthMonitor",
    "ImageStats",
    "detection_time_s",
]
