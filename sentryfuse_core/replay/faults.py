"""Applies a scenario's faults to messages, one at a time: the same code for the live node and for a replay.

Messages are read by field name, so rclpy's and rosbags' both do, and never changed: what is altered is
a copy. Chance comes from the scenario's seed and counts messages, so that the same stream meets the
same fate at any speed.
"""

from __future__ import annotations

import copy
import zlib
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from sentryfuse_core.clock import NS_PER_S
from sentryfuse_core.replay import corruption
from sentryfuse_core.replay.scenario import FAULTS, Event, Scenario

if TYPE_CHECKING:
    from collections.abc import Callable

    from sentryfuse_core.types import Modality

__all__ = ["Delivery", "FaultInjector", "shifted", "stamp_ns"]


class Delivery(NamedTuple):
    """A message and how much later than it came it goes on, in s."""

    message: Any
    delay_s: float


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


class FaultInjector:
    """Turns each message of a stream into what is left of it; remembers frozen content and random state."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self._random: dict[tuple[Event, str], np.random.Generator] = {}
        self._frozen: dict[tuple[Event, str], Any] = {}

    def needs_content(self, topic: str, modality: Modality | None, at_s: float) -> bool:
        """Whether `apply` would look into the message now; if not, it may be given as bytes."""
        return any(FAULTS[event.fault].content for event in self.scenario.active(topic, modality, at_s))

    def apply(self, topic: str, modality: Modality | None, message: Any, *, at_s: float) -> list[Delivery]:
        """What goes on in place of `message`, which came at `at_s`: nothing, or it with its delay."""
        delay_s = 0.0
        for event in self.scenario.active(topic, modality, at_s):
            if event.fault in ("drop", "duty"):
                if self._lost(event, topic, at_s):
                    return []
            elif event.fault == "delay":
                delay_s += event.options["delay_s"]
            elif event.fault == "jitter":
                delay_s += event.options["max_s"] * self._generator(event, topic).random()
            else:
                message = self._altered(event, topic, message, at_s)
        return [Delivery(message, delay_s)]

    def _lost(self, event: Event, topic: str, at_s: float) -> bool:
        share = event.options["share"]
        if event.fault == "drop":
            return bool(self._generator(event, topic).random() < share)
        period_s = event.options["period_s"]
        return (at_s - event.at_s) % period_s < share * period_s

    def _altered(self, event: Event, topic: str, message: Any, at_s: float) -> Any:
        options = event.options
        if event.fault == "freeze":
            return _stamped(self._frozen.setdefault((event, topic), message), stamp_ns(message))
        if event.fault == "offset":
            return shifted(message, options["offset_s"])
        if event.fault == "loop":
            passes = 1 + (at_s - event.at_s) // options["length_s"]
            return shifted(message, -passes * options["length_s"])
        return _CORRUPTIONS[event.fault](message, options, self._generator(event, topic))

    def _generator(self, event: Event, topic: str) -> np.random.Generator:
        key = (event, topic)
        if key not in self._random:
            index = self.scenario.events.index(event)
            self._random[key] = np.random.default_rng([self.scenario.seed, index, zlib.crc32(topic.encode())])
        return self._random[key]


_CORRUPTIONS: dict[str, Callable[..., Any]] = {
    "truncate": corruption.truncate,
    "black": corruption.black,
    "blocked": corruption.blocked,
    "nan": corruption.not_a_number,
    "noise": corruption.noise,
}
