"""Findings: the code of each criterion, and what a person can do about it."""

from __future__ import annotations

from dataclasses import dataclass

from sentryfuse_core.config import HealthConfig
from sentryfuse_core.types import Modality

__all__ = ["REMEDIES", "Finding", "find", "of_sensor"]

_CONTENT = dict(zip(Modality, ("image", "cloud", "imu", "audio"), strict=True))

# By code, where it is judged. {topic}, {name} (of the parameters) and {device} are the sensor's.
REMEDIES = {
    # evidence.py: how messages come
    "timeout": "check power, cable and driver of the {device}, and who publishes {topic}",
    "frozen": "restart the {device} or its driver; if it is simulated without noise, set {name}.may_repeat",
    "malformed": "check the driver that publishes {topic}",
    "zero_stamp": "let the driver of {topic} stamp its messages",
    "future_stamp": "synchronise the clocks of the robot's computers (chrony or PTP)",
    "other_clock": "let the driver of {topic} stamp with ROS time, set use_sim_time for it and for this node "
    "or for neither, or synchronise the clocks (chrony or PTP)",
    "clock_offset": "{advice}",
    "clock_ahead": "{advice}",
    "unpaired": "{advice}",
    "rate": "check load, bandwidth and exposure; if it is meant, set {name}.expected_rate_hz",
    "slow": "check the driver's rate; if it is meant, set {name}.expected_rate_hz",
    "disorder": "check the driver and the link of {topic}",
    "invalid": "check the driver and the link of {topic}",
    "several_publishers": "stop all but one, or remap each to a topic of its own",
    "mixed_frames": "two sensors on one topic? stop one of them or remap it to a topic of its own",
    "no_pose": "publish the transform, or set output.extrinsics: parameters",
    "outside_view": "correct the transform of the {device}, or {name}.quaternion_xyzw",
    "no_data": "correct {name}.stamp_offset_s or {name}.latency_s, or raise {name}.window_s",
    # content.py: what is in one of them
    "black": "take off the lens cover, check exposure",
    "white": "shade the lens, check exposure and gain",
    "flat": "uncover or clean the lens, switch the camera's test pattern off",
    "blocked": "remove what covers part of the lens, clean it",
    "few_points": "clean the lidar's window, check for fog or a cover, check the driver's range limits",
    "blocked_sector": "remove what blocks the lidar's view or clean its window",
    "silent": "check that the microphone is plugged in and not muted",
    "dead_channel": "check the plug and the cable of this microphone",
    "clipped": "lower the microphone's gain",
    "non_finite": "check the IMU's driver",
    "saturated": "check the mounting for shocks, set health.*_full_scale_* to the sensor's range",
    # what the network makes of all that is measured
    "low_trust": "clean the {device}, check its settings, its mounting and what surrounds it",
    # tracks.py: what is in several
    "stuck_axis": "restart the IMU or its driver, replace the IMU if it stays; "
    "if it is simulated without noise, set its may_repeat",
    "units": "let the driver give {wanted}",
    "gapped": "check the load, the sample rate and the buffer of the audio driver",
}


@dataclass(frozen=True)
class Finding:
    """Something wrong with a sensor: a stable `code`, the reason in one phrase and what to do about it."""

    code: str
    reason: str
    remedy: str


def find(code: str, reason: str, **values: str) -> Finding:
    """The finding of a criterion, `values` filled into its remedy."""
    return Finding(code, reason, REMEDIES[code].format(**values))


def of_sensor(config: HealthConfig, option: str, modality: Modality) -> float:
    """An option that each sensor has its own of; `{sensor}` or `{content}` in its name is filled in."""
    value: float = getattr(config, option.format(sensor=modality.value, content=_CONTENT[modality]))
    return value
