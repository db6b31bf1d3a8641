"""Stamps that no clock of this robot gave, and clocks that disagree: told apart, each with its remedy."""

from __future__ import annotations

from sentryfuse_core.clock import NS_PER_MS, NS_PER_S
from sentryfuse_core.config import Config
from sentryfuse_core.health.criteria import Finding, find

__all__ = ["STAMP_FAULTS", "is_zero_stamp", "offset_finding"]

STAMP_FAULTS = ("zero_stamp", "future_stamp", "other_clock")
_NEAR_ZERO_NS = NS_PER_S


def is_zero_stamp(stamp_ns: int, received_ns: int, apart_ns: int) -> bool:
    """Whether a stamp lies within a second of zero while the clock is past that by `apart_ns`, in ns."""
    return 0 <= stamp_ns < _NEAR_ZERO_NS and received_ns - stamp_ns > apart_ns


def offset_finding(excess_ns: int, name: str, *, anchor: str, config: Config) -> Finding:
    """What to tell of a sensor whose stamps lie that much more behind their arrival than the anchor's.

    The excess is what the options leave of the difference, so what is set already is part of what to set.
    """
    excess_s = excess_ns / NS_PER_S
    more, slow, why = "more", name, ""
    if excess_ns < 0:
        more, slow, why = "less", anchor, " (a lidar that stamps the start of its turn is)"
    lag_s = getattr(config.sensor(slow), "expected_lag_s", 0.0) + abs(excess_s)
    return find(
        "clock_offset",
        f"stamps lie {abs(excess_ns) / NS_PER_MS:.0f} ms {more} behind their arrival than those of {anchor}, "
        "the anchor, so pairs would be a guess",
        slow=f"{slow} is slow{why}, set {slow}.expected_lag_s to {lag_s:.3f}",
        name=name,
        offset=f"{config.sensor(name).stamp_offset_s - excess_s:.3f}",
    )
