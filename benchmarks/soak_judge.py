"""Judges what a soak wrote down: growth, transitions, levels and the end; pure functions of its lines."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks._results import Row
from benchmarks.soak_plan import MUST_SEE
from sentryfuse_core.faults.scenario import Event, Scenario
from sentryfuse_core.replay.reactions import false_alarms, reactions
from sentryfuse_core.types import Modality

__all__ = ["broken_chains", "change", "findings", "growth", "judge", "levels_asked"]

Line = Mapping[str, Any]

WARM_UP_S = 300.0  # of a long run, and
WARM_UP_SHARE = 1 / 3  # of a short one, are not judged: caches and arenas fill
SHORTEST_REGRESSION_S = 600.0  # over less, a slope says nothing about an hour
GROWTH_PER_HOUR = 2.0  # %
GROWTH_MB = 5.0
SEEN_WITHIN_S = 2.5  # the slowest criterion takes 1.1 s; the rest is for a machine that does other work too
WELL_WITHIN_S = 20.0  # the longest hold is 16 s
LEVEL_WITHIN_SETS = 5
END_WITHIN_S = 5.0
_NO_TOPICS = dict.fromkeys(Modality, "")


def judge(lines: Sequence[Line]) -> tuple[list[Row], dict[str, Any]]:
    """Rows with targets, and what they rest on."""
    found = findings(lines)
    return _rows(found), found


def findings(lines: Sequence[Line]) -> dict[str, Any]:
    """Everything the rows say, and the cases behind them."""
    by_kind: dict[str, list[Line]] = defaultdict(list)
    for line in lines:
        by_kind[line["kind"]].append(line)
    samples = by_kind["sample"]
    judged = _warm(samples)
    length_s = judged[-1]["t"] - judged[0]["t"] if judged else 0.0
    played_s = max((line["t"] for line in lines if "t" in line), default=0.0)
    scenario = _scenario(by_kind["plan"][0])
    topics = _NO_TOPICS
    faults = reactions(scenario, by_kind["transition"], topics=topics, played_s=played_s)
    must = [item for item in faults if _is_seen(scenario, item) and not item["already_out"]]
    ended = (
        by_kind["end"][-1] if by_kind["end"] else {"status": math.nan, "took_s": math.nan, "cpu_s": math.nan}
    )
    return {
        "played_s": played_s,
        "judged_s": length_s,
        "samples": samples,
        "memory": growth(judged, "rss_mb"),
        "memory_anonymous": growth(judged, "anonymous_mb"),
        "threads": change(judged, "threads"),
        "handles": change(judged, "handles"),
        "faults": faults,
        "judged_faults": len(must),
        "unseen": [item for item in must if not _within(item["noticed_after_s"], SEEN_WITHIN_S)],
        "slowest_seen_s": max((item["noticed_after_s"] or 0.0 for item in must), default=math.nan),
        "not_well": [item for item in faults if _returned_late(item, played_s)],
        "slowest_well_s": max((item["recovered_after_s"] or 0.0 for item in faults), default=math.nan),
        "false_alarms": false_alarms(
            by_kind["transition"], scenario=scenario, topics=topics, played_s=played_s
        ),
        "transitions": len(by_kind["transition"]),
        "broken_chains": broken_chains(by_kind["transition"]),
        "levels": levels_asked(by_kind["wish"], by_kind["status"]),
        "wishes": len(by_kind["wish"]),
        "sets": len(by_kind["status"]),
        "end": dict(ended),
    }


def growth(samples: Sequence[Line], name: str) -> dict[str, float]:
    """The straight line through the samples: its rise over all of them, and in % of the mean an hour."""
    if len(samples) < 3:
        return {"mean": math.nan, "rise": math.nan, "percent_per_hour": math.nan}
    times_s = np.array([item["t"] for item in samples], dtype=np.float64)
    values = np.array([item[name] for item in samples], dtype=np.float64)
    slope_per_s = float(np.polyfit(times_s - times_s[0], values, 1)[0])
    mean = float(values.mean())
    return {
        "mean": mean,
        "rise": slope_per_s * float(times_s[-1] - times_s[0]),
        "percent_per_hour": 100.0 * 3600.0 * slope_per_s / mean,
    }


def change(samples: Sequence[Line], name: str) -> float:
    """Median of the last tenth less that of the first: a handle open at the moment of a sample is no leak."""
    if not samples:
        return math.nan
    count = max(1, len(samples) // 10)
    first, last = ([item[name] for item in part] for part in (samples[:count], samples[-count:]))
    return float(statistics.median(last) - statistics.median(first))


def broken_chains(transitions: Iterable[Line]) -> list[Line]:
    """Transitions that do not begin in the state in which the sensor's last one ended: one was not told."""
    last: dict[str, str] = {}
    found = []
    for item in transitions:
        if last.get(item["sensor"], item["before"]) != item["before"]:
            found.append(item)
        last[item["sensor"]] = item["after"]
    return found


def levels_asked(wishes: Sequence[Line], statuses: Sequence[Line]) -> dict[str, Any]:
    """Levels that operators asked for, and those that none of the next sets ran at.

    A wish that another one followed before so many sets came is not judged unless it was met.
    """
    budgets = [item for item in wishes if item["what"] != "battery"]
    asked, missed, slowest = 0, [], 0
    for index, wish in enumerate(budgets):
        if wish["what"] != "level":
            continue
        until_s = budgets[index + 1]["t"] if index + 1 < len(budgets) else math.inf
        after = [item for item in statuses if wish["t"] < item["t"] < until_s and item["used"]]
        after = after[:LEVEL_WITHIN_SETS]
        sets = next((n for n, item in enumerate(after, 1) if item["level"] == wish["value"]), None)
        if sets is None and len(after) < LEVEL_WITHIN_SETS:
            continue
        asked += 1
        slowest = max(slowest, sets or 0)
        if sets is None:
            missed.append({**wish, "levels": [item["level"] for item in after]})
    return {"asked": asked, "missed": missed, "slowest_sets": slowest}


def _warm(samples: Sequence[Line]) -> list[Line]:
    """The samples after the warm-up."""
    if not samples:
        return []
    begin_s, end_s = samples[0]["t"], samples[-1]["t"]
    warm_s = begin_s + min(WARM_UP_S, WARM_UP_SHARE * (end_s - begin_s))
    return [item for item in samples if item["t"] >= warm_s]


def _scenario(plan: Line) -> Scenario:
    events = tuple(
        Event(
            item["at_s"],
            item["until_s"],
            item["stream"],
            item["fault"],
            {name: value for name, value in item.items() if name not in _EVENT_FIELDS},
        )
        for item in plan["events"]
    )
    return Scenario("soak", plan["seed"], plan["seconds"], events=events)


_EVENT_FIELDS = ("at_s", "until_s", "stream", "fault")


def _is_seen(scenario: Scenario, reaction: Mapping[str, Any]) -> bool:
    """Whether the fault behind a reaction is of a kind that must be seen."""
    event = next(
        item for item in scenario.events if (item.at_s, item.stream) == (reaction["at_s"], reaction["sensor"])
    )
    return MUST_SEE[Modality(event.stream)].get(event.fault) == event.options


def _within(value: float | None, limit: float) -> bool:
    return value is not None and value <= limit


def _returned_late(reaction: Mapping[str, Any], played_s: float) -> bool:
    """Whether a sensor was out when its fault ended and not well in time, as far as was played."""
    if reaction["recovered_after_s"] is not None:
        return bool(reaction["recovered_after_s"] > WELL_WITHIN_S)
    return bool(reaction["still_out"] and reaction["until_s"] + WELL_WITHIN_S < played_s)


def _rows(found: Mapping[str, Any]) -> list[Row]:
    memory, levels = found["memory"], found["levels"]
    long_enough = found["judged_s"] >= SHORTEST_REGRESSION_S
    return [
        Row(what="length", measured=found["played_s"] / 60, unit="min"),
        Row(what="sets", measured=found["sets"], unit=""),
        Row(what="memory after the warm-up", measured=memory["mean"], unit="MB"),
        Row(
            what="growth of memory",
            measured=memory["percent_per_hour"],
            unit="% an hour",
            target=GROWTH_PER_HOUR if long_enough else None,
        ),
        Row(
            what="growth of memory over what was judged",
            measured=memory["rise"],
            unit="MB",
            target=GROWTH_MB if long_enough else None,
        ),
        Row(what="threads more", measured=found["threads"], unit="", target=0),
        Row(what="file handles more", measured=found["handles"], unit="", target=0),
        Row(
            what=f"faults not seen within {SEEN_WITHIN_S:g} s",
            measured=len(found["unseen"]),
            unit=f"of {found['judged_faults']}",
            target=0,
        ),
        Row(what="slowest fault to be seen", measured=found["slowest_seen_s"], unit="s"),
        Row(
            what=f"sensors not OK within {WELL_WITHIN_S:g} s after their fault",
            measured=len(found["not_well"]),
            unit=f"of {len(found['faults'])}",
            target=0,
        ),
        Row(what="slowest return", measured=found["slowest_well_s"], unit="s"),
        Row(
            what="changes of state that were not told",
            measured=len(found["broken_chains"]),
            unit=f"of {found['transitions']}",
            target=0,
        ),
        Row(what="alarms without a fault", measured=found["false_alarms"]["count"], unit=""),
        Row(
            what=f"levels asked for and not run within {LEVEL_WITHIN_SETS} sets",
            measured=len(levels["missed"]),
            unit=f"of {levels['asked']}",
            target=0,
        ),
        Row(what="exit status after SIGINT", measured=found["end"]["status"], unit="", target=0),
        Row(
            what="time to end after SIGINT",
            measured=found["end"]["took_s"],
            unit="s",
            target=END_WITHIN_S,
        ),
        Row(what="CPU time of that", measured=found["end"]["cpu_s"], unit="s"),
    ]
