"""Stamps that no clock of this robot gave: told apart, each with its remedy."""

from __future__ import annotations

from sentryfuse_core.clock import NS_PER_S
from sentryfuse_core.health.criteria import Finding

__all__ = ["FAULTS", "FUTURE_STAMP", "OTHER_CLOCK", "ZERO_STAMP", "finding", "is_zero_stamp"]

ZERO_STAMP = "zero_stamp"
FUTURE_STAMP = "future_stamp"
OTHER_CLOCK = "other_clock"
FAULTS = (ZERO_STAMP, FUTURE_STAMP, OTHER_CLOCK)
_NEAR_ZERO_NS = NS_PER_S

_REMEDIES = {
    ZERO_STAMP: "let the driver of {topic} stamp its messages",
    FUTURE_STAMP: "synchronise the clocks of the robot's computers (chrony or PTP)",
    OTHER_CLOCK: "let the driver of {topic} stamp with ROS time, set use_sim_time for a recording, "
    "or synchronise the clocks (chrony or PTP)",
}


def is_zero_stamp(stamp_ns: int, received_ns: int, apart_ns: int) -> bool:
    """Whether a stamp lies within a second of zero while the clock is past that by `apart_ns`, in ns."""
    return 0 <= stamp_ns < _NEAR_ZERO_NS and received_ns - stamp_ns > apart_ns


def finding(reason: str, detail: str, topic: str) -> Finding:
    """What to tell of a stream whose stamps are persistently wrong for `reason`, one of FAULTS."""
    return Finding(reason, f"{reason.replace('_', ' ')}: {detail}", _REMEDIES[reason].format(topic=topic))
