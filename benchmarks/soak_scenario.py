"""A long scenario at random: one sensor after another fails, and the budget changes in between."""

from __future__ import annotations

import math
import random

from sentryfuse_core.replay.scenario import Action, Event, Scenario
from sentryfuse_core.types import Modality

__all__ = ["FIRST_S", "SLOT_S", "make_scenario"]

FIRST_S = 20.0  # before the first fault: the node settles
SLOT_S = 12.0  # one fault each; a sensor's turns are further apart than `health.relapse_s`: no long holds
_FAULT_S = (3.0, 5.0)
_FAULTS = ("drop", "freeze", "malformed")  # each takes any sensor out of use
_BUDGET_AT_S = 7.0  # into the slot, when the fault is over
_LEVELS = 3
_POWERS_W = (3.0, 8.0, 12.0)
_LATENCIES_MS = (5.0, 20.0, 50.0)


def make_scenario(*, minutes: float, seed: int) -> Scenario:
    """Faults that must each take their sensor out of use, and budgets of every kind."""
    draw = random.Random(seed)  # noqa: S311 - no secret
    events, actions = [], []
    slots = math.floor((60.0 * minutes - FIRST_S) / SLOT_S)
    for slot in range(slots):
        begin_s = FIRST_S + slot * SLOT_S
        modality = list(Modality)[slot % len(Modality)]
        until_s = begin_s + draw.uniform(*_FAULT_S)
        events.append(Event(begin_s, until_s, modality.value, draw.choice(_FAULTS)))
        actions.append(_action(begin_s + _BUDGET_AT_S, draw))
    return Scenario("soak", seed, 60.0 * minutes, tuple(events), tuple(actions))


def _action(at_s: float, draw: random.Random) -> Action:
    kind = draw.choice(("level", "power", "latency"))
    if kind == "level":
        return Action(at_s, level=draw.randrange(_LEVELS))
    if kind == "power":
        return Action(at_s, power_w=draw.choice(_POWERS_W))
    return Action(at_s, latency_ms=draw.choice(_LATENCIES_MS))
