"""Applies a scenario's faults to messages, one at a time: the same code for the live node and for a replay.

Messages are read by field name, so rclpy's and rosbags' both do, and never changed: what is altered is
a copy. Chance comes from the scenario's seed and counts messages, so that the same stream meets the
same fate at any speed.
"""

from __future__ import annotations

import copy
import math
import zlib
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from sentryfuse_core.clock import NS_PER_S
from sentryfuse_core.faults.corruption import CORRUPTIONS, stuck
from sentryfuse_core.faults.kinds import FAULTS
from sentryfuse_core.faults.scenario import Event, Scenario

if TYPE_CHECKING:
    from sentryfuse_core.types import Modality

__all__ = ["Delivery", "FaultInjector", "shifted", "stamp_ns"]


_ROUNDING = 1e-6  # of a period: a message on the edge of one belongs to it


class Delivery(NamedTuple):
    """A message and how much later than it came it goes on, in s."""

    message: Any
    delay_s: float


class _Held(NamedTuple):
    """A message that `overtakes` later ones have still to overtake."""

    delivery: Delivery
    overtakes: int


def stamp_ns(message: Any) -> int | None:
    """The header stamp in ns, None for a message without a header."""
    header = getattr(message, "header", None)
    return None if header is None else int(header.stamp.sec) * NS_PER_S + int(header.stamp.nanosec)


def _stamped(message: Any, stamp: int | None) -> Any:
    """A copy of `message` with the header stamp `stamp`; the message itself where either has none."""
    if stamp is None or getattr(message, "header", None) is None:
        return message
    changed = copy.copy(message)
    changed.header = copy.copy(message.header)
    changed.header.stamp = copy.copy(message.header.stamp)
    changed.header.stamp.sec, changed.header.stamp.nanosec = divmod(stamp, NS_PER_S)
    return changed


def shifted(message: Any, by_s: float) -> Any:
    """A copy of `message` with its header stamp moved by `by_s`; the message itself where it has none."""
    stamp = stamp_ns(message)
    return message if stamp is None else _stamped(message, stamp + round(by_s * NS_PER_S))


def _moved_s(event: Event, at_s: float) -> float:
    """How far the event moves a stamp."""
    options, since_s = event.options, at_s - event.at_s
    match event.fault:
        case "drift":
            return since_s * options["ppm"] * 1e-6
        case "loop":
            return -(1 + since_s // options["length_s"]) * options["length_s"]
        case "clock_jump":
            return options["jump_s"]
    return options["offset_s"]


class FaultInjector:
    """Turns each message of a stream into what is left of it.

    Remembers content, random state and messages held. Only a `reorder` event holds any; `flush` lets go
    those whose event is over.
    """

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self._random: dict[tuple[Event, str], np.random.Generator] = {}
        self._first: dict[tuple[Event, str], Any] = {}
        self._slot: dict[tuple[Event, str], int] = {}
        self._held: dict[tuple[Event, str], list[_Held]] = {}

    def needs_content(self, topic: str, modality: Modality | None, at_s: float) -> bool:
        """Whether `apply` would look into the message now; if not, it may be given as bytes."""
        return any(FAULTS[event.fault].content for event in self.scenario.active(topic, modality, at_s))

    def apply(self, topic: str, modality: Modality | None, message: Any, *, at_s: float) -> list[Delivery]:
        """What goes on because `message` came at `at_s`: nothing, it, copies, or ones held before."""
        deliveries = [Delivery(message, 0.0)]
        for event in self.scenario.active(topic, modality, at_s):
            deliveries = [
                result for delivery in deliveries for result in self._one(event, topic, delivery, at_s)
            ]
        return deliveries

    def flush(self, at_s: float = math.inf) -> list[tuple[str, Delivery]]:
        """Messages still held by events that are over at `at_s`, with their topics; without a time, all."""
        over = [key for key in self._held if key[0].until_s <= at_s]
        return [(key[1], held.delivery) for key in over for held in self._held.pop(key)]

    def _one(self, event: Event, topic: str, delivery: Delivery, at_s: float) -> list[Delivery]:
        options, (message, delay_s) = event.options, delivery
        match event.fault:
            case "drop" | "duty" | "rate":
                return [] if self._lost(event, topic, at_s) else [delivery]
            case "delay":
                return [Delivery(message, delay_s + options["delay_s"])]
            case "jitter":
                late_s = options["max_s"] * self._generator(event, topic).random()
                return [Delivery(message, delay_s + late_s)]
            case "duplicate":
                again = self._generator(event, topic).random() < options["share"]
                return [delivery] * (1 + int(options["copies"]) * again)
            case "reorder":
                return self._reordered(event, topic, delivery)
        return [Delivery(self._altered(event, topic, message, at_s), delay_s)]

    def _lost(self, event: Event, topic: str, at_s: float) -> bool:
        options = event.options
        if event.fault == "drop":
            return bool(self._generator(event, topic).random() < options["share"])
        if event.fault == "rate":
            slot = math.floor((at_s - event.at_s) * options["rate_hz"] + _ROUNDING)
            last = self._slot.get((event, topic))
            self._slot[event, topic] = slot
            return slot == last
        return (at_s - event.at_s) % options["period_s"] < options["share"] * options["period_s"]

    def _reordered(self, event: Event, topic: str, delivery: Delivery) -> list[Delivery]:
        """The message, unless it is held, and those held before it that enough have overtaken now."""
        generator, options = self._generator(event, topic), event.options
        held = self._held.setdefault((event, topic), [])
        if generator.random() < options["share"]:
            held.append(_Held(delivery, int(generator.integers(1, int(options["depth"]) + 1))))
            return []
        left = [_Held(waiting, overtakes - 1) for waiting, overtakes in held]
        self._held[event, topic] = [item for item in left if item.overtakes > 0]
        return [delivery, *(item.delivery for item in left if item.overtakes <= 0)]

    def _altered(self, event: Event, topic: str, message: Any, at_s: float) -> Any:
        options = event.options
        match event.fault:
            case "freeze":
                return _stamped(self._first.setdefault((event, topic), message), stamp_ns(message))
            case "stuck":
                return stuck(message, self._first.setdefault((event, topic), message), options)
            case "zero_stamp":
                return _stamped(message, 0)
            case "offset" | "clock_jump" | "drift" | "loop":
                return shifted(message, _moved_s(event, at_s))
        return CORRUPTIONS[event.fault](message, options, self._generator(event, topic))

    def _generator(self, event: Event, topic: str) -> np.random.Generator:
        key = (event, topic)
        if key not in self._random:
            index = self.scenario.events.index(event)
            self._random[key] = np.random.default_rng([self.scenario.seed, index, zlib.crc32(topic.encode())])
        return self._random[key]
