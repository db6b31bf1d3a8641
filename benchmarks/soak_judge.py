"""Judges what a soak wrote down: growth, transitions, levels and the end; pure functions of its lines."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby, pairwise
from operator import itemgetter
from typing import Any

import numpy as np

from benchmarks.soak_plan import MUST_SEE
from sentryfuse_core.faults.scenario import Event, Scenario
from sentryfuse_core.lab.bench.results import Figure, at_most
from sentryfuse_core.replay.reactions import false_alarms, reactions
from sentryfuse_core.types import Modality

__all__ = [
    "broken_chains",
    "change",
    "findings",
    "growth",
    "judge",
    "levels_asked",
    "sensors_of",
    "sets_missed",
]

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


def judge(lines: Sequence[Line]) -> tuple[list[Figure], dict[str, Any]]:
    """Figures with targets, and what they rest on."""
    found = findings(lines)
    return _figures(found), found


def findings(lines: Sequence[Line]) -> dict[str, Any]:
    """Everything the figures say, and the cases behind them."""
    by_kind: dict[str, list[Line]] = defaultdict(list)
    for line in lines:
        by_kind[line["kind"]].append(line)
    samples = by_kind["sample"]
    judged = _warm(samples)
    played_s = max((line["t"] for line in lines if "t" in line), default=0.0)
    plan = by_kind["plan"][0]
    scenario, kinds = _scenario(plan), sensors_of(plan)
    no_topics = dict.fromkeys(kinds, "")
    told = by_kind["transition"]
    faults = reactions(scenario, told, topics=no_topics, kinds=kinds, played_s=played_s)
    must = [item for item in faults if _is_seen(scenario, kinds, item) and not item["already_out"]]
    statuses = by_kind["status"]
    unended = dict.fromkeys(("status", "took_s", "cpu_s"), math.nan)
    return {
        "played_s": played_s,
        "judged_s": judged[-1]["t"] - judged[0]["t"] if judged else 0.0,
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
            told, scenario=scenario, topics=no_topics, kinds=kinds, played_s=played_s
        ),
        "transitions": len(told),
        "broken_chains": broken_chains(told),
        "levels": levels_asked(by_kind["wish"], statuses),
        "wishes": len(by_kind["wish"]),
        "sets": len(statuses),
        "skipped": statuses[-1]["skipped"] - statuses[0]["skipped"] if statuses else 0,
        "missed": sets_missed(statuses, period_s=plan["period_s"]),
        "end": {**unended, **(by_kind["end"] or [{}])[-1]},
        "left": by_kind["left"][-1] if by_kind["left"] else None,
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


def sets_missed(statuses: Sequence[Line], *, period_s: float) -> list[Line]:
    """Where moments of an anchor passed without a set: when, how many, between whose sets.

    An anchor's moments are `period_s` apart or less. Sets that no status was heard of, as where a newer one
    was ready, were made: they are numbered. Where no sensor anchors, or time jumps, nothing is missed; a
    repeated status is no set.
    """
    found = []
    fresh = [next(same) for _, same in groupby(statuses, key=itemgetter("sequence"))]
    for before, after in pairwise(fresh):
        anchors = [before["anchor"], after["anchor"]]
        if "tick" in anchors or before["epoch"] != after["epoch"]:
            continue
        made = after["sequence"] - before["sequence"]
        missed = round((after["stamp"] - before["stamp"]) / period_s) - made
        if missed > 0:
            found.append({"t": after["t"], "missed": missed, "anchors": anchors})
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


def sensors_of(plan: Line) -> dict[str, Modality]:
    """The sensors of a run by name."""
    return {name: Modality(kind) for name, kind in plan["sensors"].items()}


def _scenario(plan: Line) -> Scenario:
    names = ("at_s", "until_s", "stream", "fault")
    events = tuple(
        Event(*(item[name] for name in names), {name: item[name] for name in item if name not in names})
        for item in plan["events"]
    )
    return Scenario("soak", plan["seed"], plan["seconds"], events=events)


def _is_seen(scenario: Scenario, kinds: Mapping[str, Modality], reaction: Mapping[str, Any]) -> bool:
    """Whether the fault behind a reaction is of a kind that must be seen."""
    event = next(
        item for item in scenario.events if (item.at_s, item.stream) == (reaction["at_s"], reaction["sensor"])
    )
    return MUST_SEE[kinds[event.stream]].get(event.fault) == event.options


def _within(value: float | None, limit: float) -> bool:
    return value is not None and value <= limit


def _returned_late(reaction: Mapping[str, Any], played_s: float) -> bool:
    """Whether a sensor was out when its fault ended and not well in time, as far as was played."""
    if reaction["recovered_after_s"] is not None:
        return bool(reaction["recovered_after_s"] > WELL_WITHIN_S)
    return bool(reaction["still_out"] and reaction["until_s"] + WELL_WITHIN_S < played_s)


def _figures(found: Mapping[str, Any]) -> list[Figure]:
    memory, levels, end = found["memory"], found["levels"], found["end"]
    long_enough = found["judged_s"] >= SHORTEST_REGRESSION_S
    per_hour, in_all = (GROWTH_PER_HOUR, GROWTH_MB) if long_enough else (None, None)
    faults, unseen, not_well = (len(found[name]) for name in ("faults", "unseen", "not_well"))
    silent = sum(item["missed"] for item in found["missed"])
    left = found["left"] or {"files": (), "of": 0}  # a run that was cut short did not look
    untold, missed = len(found["broken_chains"]), len(levels["missed"])
    late = f"sensors not OK within {WELL_WITHIN_S:g} s after their fault"
    return [
        at_most("length", found["played_s"] / 60, "min"),
        at_most("sets", found["sets"], ""),
        at_most("sets missed while an anchor was alive", silent, "", 0),
        at_most("sets skipped for a newer one", found["skipped"], ""),
        at_most("memory after the warm-up", memory["mean"], "MB"),
        at_most("growth of memory", memory["percent_per_hour"], "% an hour", per_hour),
        at_most("growth of memory over what was judged", memory["rise"], "MB", in_all),
        at_most("threads more", found["threads"], "", 0),
        at_most("file handles more", found["handles"], "", 0),
        at_most(f"faults not seen within {SEEN_WITHIN_S:g} s", unseen, f"of {found['judged_faults']}", 0),
        at_most("slowest fault to be seen", found["slowest_seen_s"], "s"),
        at_most(late, not_well, f"of {faults}", 0),
        at_most("slowest return", found["slowest_well_s"], "s"),
        at_most("changes of state that were not told", untold, f"of {found['transitions']}", 0),
        at_most("alarms without a fault", found["false_alarms"]["count"], ""),
        at_most(
            f"levels asked for and not run within {LEVEL_WITHIN_SETS} sets",
            missed,
            f"of {levels['asked']}",
            0,
        ),
        at_most("exit status after SIGINT", end["status"], "", 0),
        at_most("time to end after SIGINT", end["took_s"], "s", END_WITHIN_S),
        at_most("CPU time of that", end["cpu_s"], "s"),
        at_most(
            "files left in shared memory",
            len(left["files"]) if left["of"] else math.nan,
            f"of {left['of']}",
            0,
        ),
    ]
