"""Faults of coming: a message is lost, late, doubled or overtaken, and is not looked into.

Each takes a delivery and its `Hit`, and returns what goes on in its place.
"""

from __future__ import annotations

import math

from sentryfuse_core.faults.hit import Delivery, Hit

__all__ = ["delay", "drop", "duplicate", "duty", "jitter", "rate", "reorder"]

_ROUNDING = 1e-6  # of a period: a message on the edge of one belongs to it


def drop(delivery: Delivery, hit: Hit) -> list[Delivery]:
    """Lose each message with probability `share`."""
    return [] if hit.random.random() < hit.options["share"] else [delivery]


def duty(delivery: Delivery, hit: Hit) -> list[Delivery]:
    """Lose the first `share` of every `period_s`."""
    lost = hit.since_s % hit.options["period_s"] < hit.options["share"] * hit.options["period_s"]
    return [] if lost else [delivery]


def rate(delivery: Delivery, hit: Hit) -> list[Delivery]:
    """Let only the first message of every 1 / `rate_hz` go on."""
    last, hit.slot = hit.slot, math.floor(hit.since_s * hit.options["rate_hz"] + _ROUNDING)
    return [] if hit.slot == last else [delivery]


def delay(delivery: Delivery, hit: Hit) -> list[Delivery]:
    """Let it come `delay_s` late."""
    return [Delivery(delivery.message, delivery.delay_s + hit.options["delay_s"])]


def jitter(delivery: Delivery, hit: Hit) -> list[Delivery]:
    """Let it come up to `max_s` late, at random."""
    return [Delivery(delivery.message, delivery.delay_s + hit.options["max_s"] * hit.random.random())]


def duplicate(delivery: Delivery, hit: Hit) -> list[Delivery]:
    """With probability `share` let it come `copies` more times."""
    return [delivery] * (1 + int(hit.options["copies"]) * (hit.random.random() < hit.options["share"]))


def reorder(delivery: Delivery, hit: Hit) -> list[Delivery]:
    """With probability `share` hold it until 1 to `depth` later ones have overtaken it."""
    if hit.random.random() < hit.options["share"]:
        hit.held.append((delivery, int(hit.random.integers(1, int(hit.options["depth"]) + 1))))
        return []
    left = [(waiting, overtakes - 1) for waiting, overtakes in hit.held]
    hit.held = [item for item in left if item[1] > 0]
    return [delivery, *(waiting for waiting, overtakes in left if overtakes <= 0)]
