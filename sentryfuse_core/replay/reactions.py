"""How the health monitor reacted to each injected fault, and when it raised an alarm without one."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any, TypeAlias

from sentryfuse_core.faults.scenario import EVERY_SENSOR, Event, Scenario
from sentryfuse_core.types import Modality, SensorState

__all__ = ["AFTERMATH_S", "Altered", "cut_off", "false_alarms", "missed", "reactions", "unnoticed"]

Altered: TypeAlias = Collection[tuple[Event, str]]  # faults that altered messages, and their topics
AFTERMATH_S = 5.0  # alarms this soon after a fault are its echo: late messages, relapses, learned rates
_SOONER = "let it begin sooner, or play more"
_TROUBLE = (SensorState.DEGRADED.name, SensorState.LOST.name)
_IN_MASK = (SensorState.OK.name, SensorState.DEGRADED.name)


def reactions(
    scenario: Scenario | None,
    events: Sequence[Mapping[str, Any]],
    *,
    topics: Mapping[str, str],
    kinds: Mapping[str, Modality],
    played_s: float,
    altered: Altered | None = None,
) -> list[dict[str, Any]]:
    """One entry for each fault that reached a recorded sensor; delays in s, null: it did not happen.

    Args:
        scenario: whose events are looked for.
        events: changes of state and further findings, as in metrics.json, by rising time.
        topics: of the recorded sensors, by name.
        kinds: of the sensors, by name.
        played_s: how much was played.
        altered: None: not known, so every fault counts that a recorded sensor was to have.
    """
    found = []
    for event in () if scenario is None else scenario.events:
        if event.at_s >= played_s:
            continue
        for name in _hit(event, topics, kinds):
            if altered is not None and (event, topics[name]) not in altered:
                continue
            own = [item for item in events if item["sensor"] == name]
            found.append(_reaction(event, name, own, played_s))
    return found


def unnoticed(reaction: Mapping[str, Any]) -> str:
    """What to tell of a fault without `noticed_after_s`."""
    return f"was {reaction['state_before']} already" if reaction["already_out"] else "not noticed"


def missed(
    scenario: Scenario,
    *,
    topics: Mapping[str, str],
    kinds: Mapping[str, Modality],
    played_s: float,
    read: Collection[str],
    altered: Altered,
) -> list[str]:
    """Why faults and budgets of the scenario reached nothing, a line each with its remedy.

    `read` are all topics that are, not those of sensors alone; the others are as for `reactions`.
    """
    hit = {event for event, _ in altered}
    lines = []
    for event in scenario.events:
        what = f"{event.title} was not injected"
        if event in hit:
            continue
        if event.at_s >= played_s:
            lines.append(f"{what}, only {played_s:.1f} s were played; {_SOONER}")
        elif event.stream.startswith("/") and event.stream not in read:
            topic = f"no such topic of the recording is read; give one of {', '.join(sorted(read))}"
            lines.append(f"{what}, {topic}")
        elif not event.stream.startswith("/") and not _hit(event, topics, kinds):
            lines.append(f"{what}, the recording has no such sensor; record it, or give its --topic")
        else:
            lines.append(f"{what}, no message came then that it alters; give another time or other options")
    lines += [
        f"budget at {action.at_s:g} s was not set, only {played_s:.1f} s were played; {_SOONER}"
        for action in scenario.actions
        if action.at_s > played_s
    ]
    return lines


def cut_off(scenario: Scenario, *, altered: Altered, played_s: float) -> list[str]:
    """Faults that were injected and outlast what was played, a line each."""
    hit = {event for event, _ in altered}
    return [
        f"{event.fault} of {event.stream} lasts until {event.until_s:g} s, but only "
        f"{played_s:.1f} s were played: nothing was seen of its end"
        for event in scenario.events
        if event in hit and played_s < event.until_s < math.inf
    ]


def _hit(event: Event, topics: Mapping[str, str], kinds: Mapping[str, Modality]) -> list[str]:
    """Names of the recorded sensors whose messages it breaks."""
    return [
        name for name, topic in topics.items() if event.stream in (name, kinds[name], EVERY_SENSOR, topic)
    ]


def _reaction(
    event: Event,
    name: str,
    events: Sequence[Mapping[str, Any]],
    played_s: float,
) -> dict[str, Any]:
    before = [item["after"] for item in events if item["t"] < event.at_s]
    state_before = before[-1] if before else SensorState.INIT.name
    at_end = [item["after"] for item in events if item["t"] < event.until_s]
    during = [item for item in events if event.at_s <= item["t"] < event.until_s + AFTERMATH_S]
    after = [item for item in events if item["t"] >= event.until_s]
    noticed = next((item for item in during if item["after"] in _TROUBLE), None)
    left = next((item["t"] for item in during if item["after"] not in _IN_MASK), None)
    over = event.until_s < played_s
    was_out = bool(at_end) and at_end[-1] not in (SensorState.OK.name, SensorState.INIT.name)
    well = next((item["t"] for item in after if item["after"] == SensorState.OK.name), None)
    return {
        "sensor": name,
        "fault": event.fault,
        "at_s": event.at_s,
        "until_s": min(event.until_s, played_s),
        "state_before": state_before,
        "already_out": state_before not in (SensorState.OK.name, SensorState.INIT.name),
        "noticed_after_s": None if noticed is None else _apart(event.at_s, noticed["t"]),
        "code": "" if noticed is None else noticed["code"],
        "left_mask_after_s": None if left is None else _apart(event.at_s, left),
        "recovered_after_s": _apart(event.until_s, well) if over and was_out and well is not None else None,
        "still_out": over and was_out and well is None,
    }


def _apart(from_s: float, to_s: float) -> float:
    return round(to_s - from_s, 6)


def false_alarms(
    events: Sequence[Mapping[str, Any]],
    *,
    scenario: Scenario | None,
    topics: Mapping[str, str],
    kinds: Mapping[str, Modality],
    played_s: float,
    altered: Altered | None = None,
) -> dict[str, Any]:
    """Changes to DEGRADED or LOST of a sensor that no fault was hitting, nor had within `AFTERMATH_S`.

    Arguments are as for `reactions`: a fault that altered no message of the sensor is no excuse.
    """
    injected = () if scenario is None else scenario.events
    found = []
    for item in events:
        name = item["sensor"]
        streams = (name, kinds[name], EVERY_SENSOR, topics.get(name, ""))
        caused = any(
            event.stream in streams
            and event.at_s <= item["t"] < event.until_s + AFTERMATH_S
            and (altered is None or (event, topics.get(name, "")) in altered)
            for event in injected
        )
        changed = item["before"] != item["after"]  # else it is alarmed about already
        if changed and item["after"] in _TROUBLE and not caused:
            found.append({name: item[name] for name in ("t", "sensor", "before", "after", "code", "reason")})
    hours = played_s / 3600.0
    per_hour = len(found) / hours if hours > 0 else math.inf if found else 0.0
    return {
        "count": len(found),
        "per_hour": None if math.isinf(per_hour) else round(per_hour, 3),
        "events": found,
    }
