"""Applies a scenario's faults to messages, one at a time: the same code for the live node and for a replay.

Messages are read by field name, so rclpy's and rosbags' both do, and never changed: what is altered is
a copy. Chance comes from the scenario's seed and counts messages, so that the same stream meets the
same fate at any speed.
"""

from __future__ import annotations

import math
import zlib
from typing import Any

import numpy as np

from sentryfuse_core.config import KINDS, Kinds
from sentryfuse_core.faults.hit import Delivery, Hit
from sentryfuse_core.faults.kinds import FAULTS
from sentryfuse_core.faults.scenario import Event, Scenario

__all__ = ["Delivery", "FaultInjector"]


class FaultInjector:
    """Turns each message of a stream into what is left of it.

    Remembers content, random state and messages held. Only a `reorder` event holds any; `flush` lets go
    those whose event is over.
    """

    def __init__(self, scenario: Scenario, kinds: Kinds = KINDS) -> None:
        """`kinds`: names and kinds of the sensors."""
        self.scenario = scenario
        self._kinds = dict(kinds)
        self._hits: dict[tuple[Event, str], Hit] = {}

    def needs_content(self, topic: str, sensor: str | None, at_s: float) -> bool:
        """Whether `apply` would look into the message now; if not, it may be given as bytes."""
        return any(FAULTS[event.fault].spoils for event in self._active(topic, sensor, at_s))

    def apply(self, topic: str, sensor: str | None, message: Any, *, at_s: float) -> list[Delivery]:
        """What goes on because `message` came at `at_s`: nothing, it, copies, or ones held before."""
        deliveries = [Delivery(message, 0.0)]
        for event in self._active(topic, sensor, at_s):
            hit = self._hit(event, topic)
            hit.since_s = at_s - event.at_s
            before = deliveries
            deliveries = [result for delivery in before for result in _one(event, hit, delivery)]
            hit.altered = hit.altered or _differ(before, deliveries)  # once is enough: looking is not free
        return deliveries

    @property
    def altered(self) -> frozenset[tuple[Event, str]]:
        """The events that any message met, with its topic: the others were named and did nothing."""
        return frozenset(key for key, hit in self._hits.items() if hit.altered)

    def _active(self, topic: str, sensor: str | None, at_s: float) -> tuple[Event, ...]:
        kind = None if sensor is None else self._kinds[sensor]
        return self.scenario.active(topic, sensor, at_s, kind=kind)

    def flush(self, at_s: float = math.inf) -> list[tuple[str, Delivery]]:
        """Messages still held by events that are over at `at_s`, with their topics; without a time, all."""
        found = []
        for (event, topic), hit in self._hits.items():
            if event.until_s <= at_s:
                found += [(topic, delivery) for delivery, _ in hit.held]
                hit.held.clear()
        return found

    def _hit(self, event: Event, topic: str) -> Hit:
        key = (event, topic)
        if key not in self._hits:
            index = self.scenario.events.index(event)
            seed = [self.scenario.seed, index, zlib.crc32(topic.encode())]
            self._hits[key] = Hit(event.options, np.random.default_rng(seed))
        return self._hits[key]


def _differ(before: list[Delivery], after: list[Delivery]) -> bool:
    """Whether a fault did anything."""
    if len(before) != len(after):
        return True
    pairs = zip(before, after, strict=True)
    return any(one.delay_s != other.delay_s or not _equal(one.message, other.message) for one, other in pairs)


def _equal(one: Any, other: Any) -> bool:
    """Whether two messages, or parts of them, say the same: most faults copy what they do not change."""
    if one is other:
        return True
    if type(one) is not type(other):
        return False
    if isinstance(one, np.ndarray):
        return bool(one.shape == other.shape and one.tobytes() == other.tobytes())
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(_equal, one, other))
    names = getattr(one, "__slots__", None) or getattr(one, "__dict__", None)
    if names:
        return all(_equal(getattr(one, name, None), getattr(other, name, None)) for name in names)
    return bool(one == other or (one != one and other != other))  # noqa: PLR0124 - NaN


def _one(event: Event, hit: Hit, delivery: Delivery) -> list[Delivery]:
    """What one event makes of a delivery."""
    kind = FAULTS[event.fault]
    if kind.comes is not None:
        return kind.comes(delivery, hit)
    message, delay_s = delivery
    for spoil in kind.spoils:
        message = spoil(message, hit)
    return [Delivery(message, delay_s)]
