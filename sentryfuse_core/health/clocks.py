"""Stamps that no clock of this robot gave, and clocks that disagree: told apart, each with its remedy."""

from __future__ import annotations

import math

from sentryfuse_core.clock import NS_PER_MS, NS_PER_S
from sentryfuse_core.config import Config, options
from sentryfuse_core.errors import ConfigError
from sentryfuse_core.health.criteria import Finding, find
from sentryfuse_core.types import Missed, Modality, Why

__all__ = ["STAMP_FAULTS", "ahead_finding", "is_zero_stamp", "missed_finding", "offset_finding"]

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
    offset_s = config.sensor(name).stamp_offset_s - excess_s
    advice = [
        *_set(f"if {slow} is slow{why}, ", f"{slow}.expected_lag_s", lag_s, config),
        *_set("if a clock is off, ", f"{name}.stamp_offset_s", offset_s, config),
    ]
    return find(
        "clock_offset",
        f"stamps lie {abs(excess_ns) / NS_PER_MS:.0f} ms {more} behind their arrival than those of {anchor}, "
        "the anchor, so pairs would be a guess",
        advice="; ".join(advice) or _by_one_clock(name, anchor),
    )


def ahead_finding(ahead_ns: int, name: str, *, config: Config) -> Finding:
    """What to tell of a sensor whose readings come that long before their stamps, and are used on."""
    offset_s = config.sensor(name).stamp_offset_s + ahead_ns / NS_PER_S
    told = (
        f"stamps lie {ahead_ns / NS_PER_MS:.0f} ms ahead of their arrival: readings are taken for later ones"
    )
    advice = ["synchronise the clocks (chrony or PTP)", *_set("", f"{name}.stamp_offset_s", offset_s, config)]
    return find("clock_ahead", told, advice=", or ".join(advice))


def missed_finding(missed: Missed, name: str, *, anchor: str, config: Config) -> Finding:
    """What to tell of a sensor that sends and is in no set, and the option that would let it in."""
    measured_ms, needed_s = missed.measured_ns / NS_PER_MS, missed.needed_ns / NS_PER_S
    sync, sensor, advice = config.sync, config.sensor(name), []
    if missed.why is Why.SLOP:
        limit = f"{1e3 * sync.slop_s:.0f} ms are allowed"
        told = f"its samples are {measured_ms:.0f} ms or more from those of {anchor}, {limit}"
        # Rounded down, as more than half of a given period is no valid slop.
        advice = _set("", "sync.slop_s", math.floor(1e4 * needed_s) / 1e4, config, form="g")
    else:
        told = (
            f"its samples come {measured_ms:.0f} ms after those of {anchor} with the nearest stamps, "
            f"{1e3 * sync.max_wait_s:.0f} ms are waited for"
        )
        wait_s = math.ceil(1e3 * needed_s) / 1e3
        advice = _set(f"if {name} is slow, ", "sync.max_wait_s", wait_s, config, form="g")
        if missed.why is Why.BEHIND:
            apart_s = missed.measured_ns / NS_PER_S
            own_s, other_s = sensor.stamp_offset_s - apart_s, config.sensor(anchor).stamp_offset_s + apart_s
            either = [
                *_set("", f"{name}.stamp_offset_s", own_s, config),
                *_set("", f"{anchor}.stamp_offset_s", other_s, config),
            ]
            advice.append(f"if a clock is off, {' or '.join(either) or _by_one_clock(name, anchor)}")
        if config.kind_of(name) is Modality.AUDIO:
            advice.append(f"if its blocks are long, send shorter ones or raise {name}.window_s")
    advice = advice or [f"shorten the delay of {name}"]
    return find("unpaired", f"no set has it: {told}", advice="; ".join(advice))


def _set(when: str, path: str, value: float, config: Config, *, form: str = ".3f") -> list[str]:
    """The advice to set an option; none where its range does not allow the value."""
    try:
        next(option for option in options(config.kinds) if option.path == path).check(value)
    except ConfigError:
        return []
    return [f"{when}set {path} to {value:{form}}"]


def _by_one_clock(name: str, anchor: str) -> str:
    return f"let the drivers of {name} and {anchor} stamp by one clock, ROS time"
