"""What happens to the node in a soak: faults, budgets and battery charges, all drawn from one seed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import yaml

from sentryfuse_core.config import KINDS, Kinds
from sentryfuse_core.faults.scenario import Event, Scenario
from sentryfuse_core.types import Modality

__all__ = ["MUST_SEE", "Plan", "Wish", "draw", "scenario_mapping", "scenario_text"]

CAMERA, LIDAR, IMU, AUDIO = Modality
_Options = Mapping[str, Mapping[str, float]]  # by fault

# Faults that take a sensor out of OK, by docs/health.md in at most 1.1 s.
MUST_SEE: Mapping[Modality, _Options] = {
    CAMERA: {"drop": {}, "freeze": {}, "black": {}, "white": {}, "malformed": {}, "truncate": {}},
    LIDAR: {"drop": {}, "freeze": {}, "empty": {}, "nan": {}, "malformed": {}, "truncate": {}},
    IMU: {"drop": {}, "freeze": {}, "nan": {}, "saturated": {}, "zero_stamp": {}},
    AUDIO: {"drop": {}, "freeze": {}, "silent": {}, "clipped": {}, "malformed": {}},
}
# Faults that a sensor may live through; whatever comes of them, it is well afterwards.
_MAY_PASS: _Options = {
    "jitter": {"max_s": 0.03},
    "duplicate": {"share": 0.5},
    "reorder": {"depth": 2, "share": 0.3},
    "drop": {"share": 0.2},
    "delay": {"delay_s": 0.02},
    "offset": {"offset_s": -0.02},
}
_MUST_SEE_SHARE = 0.8
_FIRST_FAULT_S = 10.0  # rates are learned by then
_FAULT_S = (4.0, 8.0)
_PAUSE_S = (22.0, 40.0)  # longer than the longest hold of a sensor that has had a relapse
_WISH_S = (8.0, 16.0)
_BATTERY_S = (20.0, 40.0)
_WISHES = {"level": 0.4, "latency_ms": 0.2, "power_w": 0.2, "free": 0.2}


@dataclass(frozen=True, kw_only=True)
class Wish:
    """A Budget message (`level`, `latency_ms`, `power_w`, `free` of limits) or a `battery` charge, 0..1."""

    at_s: float
    what: str
    value: float


@dataclass(frozen=True)
class Plan:
    """The faults as a scenario, and what is asked of the node; times from the first message of a sensor."""

    scenario: Scenario
    wishes: tuple[Wish, ...]


def draw(seed: int, *, seconds: float, levels: int, kinds: Kinds = KINDS) -> Plan:
    """A plan of `seconds` for sensors by name and a network of so many `levels`.

    The same arguments give the same one.
    """
    generator = np.random.default_rng(seed)
    events = [event for name, kind in kinds for event in _faults(generator, name, kind, seconds)]
    events.sort(key=lambda event: event.at_s)
    wishes = [*_budgets(generator, seconds, levels), *_batteries(generator, seconds)]
    wishes.sort(key=lambda wish: wish.at_s)
    return Plan(Scenario(f"soak {seed}", seed, seconds, events=tuple(events)), tuple(wishes))


def scenario_mapping(scenario: Scenario) -> dict[str, Any]:
    """The scenario as a file has it."""
    names = ("at_s", "until_s", "stream", "fault")
    events = [{name: getattr(one, name) for name in names} | dict(one.options) for one in scenario.events]
    return {"name": scenario.name, "seed": scenario.seed, "seconds": scenario.seconds, "events": events}


def scenario_text(scenario: Scenario) -> str:
    """The scenario as the YAML that fault_injector_node reads."""
    return yaml.safe_dump(scenario_mapping(scenario), sort_keys=False, default_flow_style=None)


def _faults(generator: np.random.Generator, name: str, kind: Modality, seconds: float) -> list[Event]:
    found = []
    at_s = _FIRST_FAULT_S + generator.uniform(0.0, _PAUSE_S[0])
    while (until_s := at_s + generator.uniform(*_FAULT_S)) < seconds - _PAUSE_S[0]:
        options = MUST_SEE[kind] if generator.random() < _MUST_SEE_SHARE else _MAY_PASS
        fault = str(generator.choice(list(options)))
        found.append(Event(round(at_s, 3), round(until_s, 3), name, fault, options[fault]))
        at_s = until_s + generator.uniform(*_PAUSE_S)
    return found


def _moments(generator: np.random.Generator, seconds: float, apart_s: tuple[float, float]) -> Iterator[float]:
    at_s = generator.uniform(*apart_s)
    while at_s < seconds:
        yield round(at_s, 3)
        at_s += generator.uniform(*apart_s)


def _budgets(generator: np.random.Generator, seconds: float, levels: int) -> Iterator[Wish]:
    for at_s in _moments(generator, seconds, _WISH_S):
        what = str(generator.choice(list(_WISHES), p=list(_WISHES.values())))
        value = {
            "level": float(generator.integers(0, levels)),
            "latency_ms": round(float(generator.uniform(2.0, 200.0)), 1),
            "power_w": round(float(generator.uniform(1.0, 20.0)), 1),
            "free": math.nan,
        }[what]
        yield Wish(at_s=at_s, what=what, value=value)


def _batteries(generator: np.random.Generator, seconds: float) -> Iterator[Wish]:
    for at_s in _moments(generator, seconds, _BATTERY_S):
        yield Wish(at_s=at_s, what="battery", value=round(float(generator.uniform(0.05, 1.0)), 3))
