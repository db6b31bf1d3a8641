"""Faults of the sensor's clock: stamps moved, stepping, drifting, repeated or left out.

Each takes a message and its `Hit`, and returns a copy; a message without a header passes as it is.
"""

from __future__ import annotations

import copy
from typing import Any

from sentryfuse_core.clock import NS_PER_S
from sentryfuse_core.faults.hit import Hit

__all__ = ["clock_jump", "drift", "freeze", "loop", "offset", "shifted", "stamp_ns", "zero_stamp"]


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


def offset(message: Any, hit: Hit) -> Any:
    """Move stamps by `offset_s`."""
    return shifted(message, hit.options["offset_s"])


def clock_jump(message: Any, hit: Hit) -> Any:
    """Step the sensor's clock by `jump_s`, for as long as the event lasts."""
    return shifted(message, hit.options["jump_s"])


def drift(message: Any, hit: Hit) -> Any:
    """Let the sensor's clock gain `ppm` millionths since the event began."""
    return shifted(message, hit.since_s * hit.options["ppm"] * 1e-6)


def loop(message: Any, hit: Hit) -> Any:
    """Run stamps through the `length_s` before the event again and again."""
    return shifted(message, -(1 + hit.since_s // hit.options["length_s"]) * hit.options["length_s"])


def zero_stamp(message: Any, _: Hit) -> Any:
    """Leave the stamp 0, as a driver that does not stamp."""
    return _stamped(message, 0)


def freeze(message: Any, hit: Hit) -> Any:
    """Repeat the first message's content under new stamps."""
    return _stamped(hit.keep_first(message), stamp_ns(message))
