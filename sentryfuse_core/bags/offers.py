"""How the publishers of a topic offered it when it was recorded, as every version of rosbag2 writes it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from sentryfuse_core.safe_files import parse_yaml

__all__ = ["UNTOLD", "Offer", "RecordedQos", "agreed", "read_offers"]

_MOST_TEXT = 100_000  # characters; a profile has 300
# Newer versions write words, those before Jazzy the numbers of rmw; all others are unknown or the system's.
_LATCHED = {"transient_local": True, "1": True, "volatile": False, "2": False}
_RELIABLE = {"reliable": True, "1": True, "best_effort": False, "2": False}


class Offer(NamedTuple):
    """What one publisher offered; None where it is not told."""

    latched: bool | None
    reliable: bool | None


class RecordedQos(NamedTuple):
    """What all publishers of a topic offered together.

    `publishers` is how many offers one stream of messages has, which does not tell them apart; 0: none told.
    """

    latched: bool = False
    reliable: bool = True
    publishers: int = 0


UNTOLD = RecordedQos()


def read_offers(profiles: Any) -> tuple[Offer, ...]:
    """One offer for each of `offered_qos_profiles`, a list or its YAML; none for whatever is neither."""
    if isinstance(profiles, str):
        return _parsed(profiles)
    if not isinstance(profiles, list):
        return ()
    return tuple(
        Offer(_LATCHED.get(_word(item.get("durability"))), _RELIABLE.get(_word(item.get("reliability"))))
        for item in profiles
        if isinstance(item, Mapping)
    )


@lru_cache(maxsize=256)  # the topics of a recording share a few texts
def _parsed(text: str) -> tuple[Offer, ...]:
    try:
        content = parse_yaml(text) if len(text) <= _MOST_TEXT else None
    except Exception:  # noqa: BLE001 - what a stranger wrote; without it the recording plays all the same
        return ()
    return read_offers(content) if isinstance(content, list) else ()


def _word(value: Any) -> str:
    return str(value).strip().lower()


def agreed(parts: Iterable[tuple[Offer, ...]]) -> RecordedQos:
    """What reaches every subscription that heard any of the publishers; `parts` are those of each stream.

    So one publisher that latched or was reliable is enough. What nobody tells is volatile and reliable.
    """
    streams = list(parts)
    offers = {offer for part in streams for offer in part}
    reliable = {offer.reliable for offer in offers if offer.reliable is not None}
    return RecordedQos(
        latched=any(offer.latched for offer in offers),
        reliable=reliable != {False},
        publishers=max(map(len, streams), default=0),
    )
