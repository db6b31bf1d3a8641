"""Section `budget`: how much network to run, by time, power, charge and heat."""

from __future__ import annotations

from dataclasses import dataclass

from sentryfuse_core.config.option import opt

__all__ = ["BudgetConfig"]


@dataclass(frozen=True, kw_only=True)
class BudgetConfig:
    """How much network to run."""

    level: int = opt(
        -1, "pruning level an operator insists on, 0 = full width; -1: automatic", low=-1, high=15, live=True
    )
    latency_ms: float = opt(
        0.0, "time one inference may take in ms; 0: no limit", low=0.0, high=60_000.0, live=True
    )
    keep_pace: bool = opt(
        default=True, doc="run narrower while sets are skipped because one takes too long", live=True
    )
    power_w: float = opt(
        0.0, "power perception may draw in W; 0: no limit", low=0.0, high=100_000.0, live=True
    )
    measure_power: bool = opt(
        default=True, doc="hold power_w by measured power, where the machine has a sensor for it", live=True
    )
    full_power_w: float = opt(
        15.0,
        "power that full width is worth in W, where none is measured; below, a narrower level runs",
        low=0.1,
        high=100_000.0,
        live=True,
    )
    min_battery: float = opt(
        0.2, "charge below which the narrowest level runs, 0..1", low=0.0, high=1.0, live=True
    )
    thermal: bool = opt(
        default=True, doc="run narrower while the machine is too hot or slows itself down", live=True
    )
    max_temperature_c: float = opt(
        0.0, "hotter is too hot, in C; 0: each thermal zone's own trip point", low=0.0, high=150.0, live=True
    )
    min_map_share: float = opt(
        0.0,
        "share of the full width's mAP, with the same sensors, that a level must have to be chosen; 0: any",
        low=0.0,
        high=1.0,
        live=True,
    )
    timeout_s: float = opt(
        0.0, "a Budget message holds this long in s; 0: until the next", low=0.0, high=86_400.0, live=True
    )
