"""Stamps that no clock of this robot gave, and clocks that disagree: told apart, each with its remedy."""

from __future__ import annotations

from sentryfuse_core.clock import NS_PER_MS, NS_PER_S
from sentryfuse_core.health.criteria import Finding, find

__all__ = ["STAMP_FAULTS", "is_zero_stamp", "offset_finding"]

STAMP_FAULTS = ("zero_stamp", "future_stamp", "other_clock")
_NEAR_ZERO_NS = NS_PER_S


def is_zero_stamp(stamp_ns: int, received_ns: int, apart_ns: int) -> bool:
    """Whether a stamp lies within a second of zero while the clock is past that by `apart_ns`, in ns."""
    return 0 <= stamp_ns < _NEAR_ZERO_NS and received_ns - stamp_ns > apart_ns


def offset_finding(excess_ns: int, name: str) -> Finding:
    """What to tell of a sensor whose stamps lie that much more behind their arrival than the anchor's."""
    apart_ms = abs(excess_ns) / NS_PER_MS
    more, slow = "more", f"{name} is slow, set {name}.expected_lag_s"
    if excess_ns < 0:
        more = "less"
        slow = "the anchor is slow (a lidar that stamps the start of its turn is), set its expected_lag_s"
    return find(
        "clock_offset",
        f"stamps lie {apart_ms:.0f} ms {more} behind their arrival than the anchor's, "
        "so pairs would be a guess",
        slow=f"{slow} to {apart_ms / 1e3:.3f}",
        name=name,
        offset=f"{-excess_ns / NS_PER_S:.3f}",
    )
