"""Stamps that no clock of this robot gave, and clocks that disagree: told apart, each with its remedy."""

from __future__ import annotations

import math

from sentryfuse_core.clock import NS_PER_MS, NS_PER_S
from sentryfuse_core.config import Config
from sentryfuse_core.health.criteria import Finding, find
from sentryfuse_core.types import Missed, Modality, Why

__all__ = ["STAMP_FAULTS", "ahead_finding", "is_zero_stamp", "missed_finding", "offset_finding"]

STAMP_FAULTS = ("zero_stamp", "future_stamp", "other_clock")
_NEAR_ZERO_NS = NS_PER_S
_LONGEST_WAIT_S = 1.0  # that sync.max_wait_s may be


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


def ahead_finding(ahead_ns: int, name: str, *, config: Config) -> Finding:
    """What to tell of a sensor whose readings come that long before their stamps, and are used on."""
    offset_s = config.sensor(name).stamp_offset_s + ahead_ns / NS_PER_S
    told = (
        f"stamps lie {ahead_ns / NS_PER_MS:.0f} ms ahead of their arrival: readings are taken for later ones"
    )
    return find("clock_ahead", told, name=name, offset=f"{offset_s:.3f}")


def missed_finding(missed: Missed, name: str, *, anchor: str, config: Config) -> Finding:
    """What to tell of a sensor that sends and is in no set, and the option that would let it in."""
    measured_ms, needed_s = missed.measured_ns / NS_PER_MS, missed.needed_ns / NS_PER_S
    sync, sensor, advice = config.sync, config.sensor(name), []
    if missed.why is Why.SLOP:
        limit = f"{1e3 * sync.slop_s:.0f} ms are allowed"
        told = f"its samples are {measured_ms:.0f} ms or more from those of {anchor}, {limit}"
        # Rounded down, as more than half of a given period is no valid slop.
        advice = [f"set sync.slop_s to {math.floor(1e4 * needed_s) / 1e4:g}"]
    else:
        told = (
            f"its samples come {measured_ms:.0f} ms after those of {anchor} with the nearest stamps, "
            f"{1e3 * sync.max_wait_s:.0f} ms are waited for"
        )
        if needed_s <= _LONGEST_WAIT_S:
            advice = [f"if {name} is slow, set sync.max_wait_s to {math.ceil(1e3 * needed_s) / 1e3:g}"]
        if missed.why is Why.BEHIND:
            apart_s = missed.measured_ns / NS_PER_S
            own_s, other_s = sensor.stamp_offset_s - apart_s, config.sensor(anchor).stamp_offset_s + apart_s
            advice.append(
                f"if a clock is off, set {name}.stamp_offset_s to {own_s:.3f} "
                f"or set {anchor}.stamp_offset_s to {other_s:.3f}"
            )
        if config.kind_of(name) is Modality.AUDIO:
            advice.append(f"if its blocks are long, send shorter ones or raise {name}.window_s")
    advice = advice or [f"shorten the delay of {name}"]
    return find("unpaired", f"no set has it: {told}", advice="; ".join(advice))
