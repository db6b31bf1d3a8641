"""What a soak's record says: growth of memory, threads and files; faults and levels that were missed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks._results import Row
from sentryfuse_core.replay.scenario import Scenario

__all__ = ["Sample", "Seen", "judge"]

LEAVE_WITHIN_S = 2.0  # after a fault begins its sensor is out of use
RETURN_WITHIN_S = 6.0  # after it ends: health.recover_s, and what the fault leaves behind in the counts
LEVEL_WITHIN_S = 1.0  # after an operator's level is sent it runs
WARM_UP_SHARE = 0.2  # of the samples, not judged: caches fill


@dataclass(frozen=True)
class Sample:
    """The node's process at one moment."""

    at_s: float  # of the scenario
    rss_mb: float
    threads: int
    files: int


@dataclass(frozen=True)
class Seen:
    """What one status said."""

    at_s: float  # of the scenario
    used: frozenset[str]
    level: int
    severity: int


def judge(
    scenario: Scenario, samples: Sequence[Sample], seen: Sequence[Seen], *, exit_status: int, exit_s: float
) -> tuple[list[Row], dict[str, Any]]:
    """Rows with their targets, and the list of what was missed."""
    end_s = seen[-1].at_s if seen else 0.0
    missed = [*_missed_faults(scenario, seen, end_s), *_missed_levels(scenario, seen, end_s)]
    judged = [event for event in scenario.events if event.until_s + RETURN_WITHIN_S < end_s]
    kept = samples[round(WARM_UP_SHARE * len(samples)) :]
    gaps_s = np.diff([item.at_s for item in seen]) if len(seen) > 1 else np.array([np.nan])
    rows = [
        Row(what="soak: length", measured=end_s / 60.0, unit="min"),
        Row(what="soak: faults injected", measured=len(judged), unit=""),
        Row(what="soak: transitions and levels missed", measured=len(missed), unit="", target=0),
        Row(what="soak: memory grows", measured=_growth_mb(kept), unit="MB", target=5),
        Row(what="soak: threads grow", measured=_grown(kept, "threads"), unit="", target=0),
        Row(what="soak: open files grow", measured=_grown(kept, "files"), unit="", target=0),
        Row(what="soak: longest time without a status", measured=float(gaps_s.max()), unit="s", target=1),
        Row(what="soak: exit status, or signal", measured=abs(exit_status), unit="", target=0),
        Row(what="soak: shutdown", measured=exit_s, unit="s", target=5),
    ]
    return rows, {"missed": missed}


def _missed_faults(scenario: Scenario, seen: Sequence[Seen], end_s: float) -> list[str]:
    missed = []
    for event in scenario.events:
        if event.until_s + RETURN_WITHIN_S >= end_s:
            continue
        name = f"{event.fault} {event.stream} at {event.at_s:.1f} s"
        leaves = (event.at_s, min(event.at_s + LEAVE_WITHIN_S, event.until_s))
        returns = (event.until_s, event.until_s + RETURN_WITHIN_S)
        if all(event.stream in item.used for item in _between(seen, *leaves)):
            missed.append(f"{name}: still in use {LEAVE_WITHIN_S:g} s later")
        if not any(event.stream in item.used for item in _between(seen, *returns)):
            missed.append(f"{name}: not back {RETURN_WITHIN_S:g} s after its end")
    return missed


def _missed_levels(scenario: Scenario, seen: Sequence[Seen], end_s: float) -> list[str]:
    return [
        f"level {action.level} at {action.at_s:.1f} s: did not run within {LEVEL_WITHIN_S:g} s"
        for action in scenario.actions
        if action.level >= 0
        and action.at_s + LEVEL_WITHIN_S < end_s
        and not any(
            item.level == action.level for item in _between(seen, action.at_s, action.at_s + LEVEL_WITHIN_S)
        )
    ]


def _between(seen: Sequence[Seen], begin_s: float, until_s: float) -> list[Seen]:
    return [item for item in seen if begin_s <= item.at_s <= until_s]


def _growth_mb(samples: Sequence[Sample]) -> float:
    """From the first to the last sample by a straight line through all; NaN with fewer than three."""
    if len(samples) < 3:
        return float("nan")
    at_s = np.array([item.at_s for item in samples])
    slope, _ = np.polyfit(at_s, [item.rss_mb for item in samples], 1)
    return float(slope * (at_s[-1] - at_s[0]))


def _grown(samples: Sequence[Sample], name: str) -> float:
    """Median of the last tenth less the median of the first; one moment says nothing of a leak."""
    if not samples:
        return float("nan")
    tenth = max(1, len(samples) // 10)
    values = [getattr(item, name) for item in samples]
    return float(np.median(values[-tenth:]) - np.median(values[:tenth]))
