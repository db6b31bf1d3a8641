"""What a fault is given beside the message: its options, chance, and what it remembers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

__all__ = ["Delivery", "Hit"]


class Delivery(NamedTuple):
    """A message and how much later than it came it goes on, in s."""

    message: Any
    delay_s: float


@dataclass
class Hit:
    """One event at one topic, from its first message there to its last."""

    options: Mapping[str, float]
    random: np.random.Generator
    since_s: float = 0.0  # of the message at hand, since the event began
    first: Any = None  # the event's first message there, or what else the fault keeps from then on
    slot: int | None = None  # the last period in which a message came
    altered: bool = False  # whether any message went on otherwise than it came
    held: list[tuple[Delivery, int]] = field(default_factory=list)  # and how many are still to overtake it

    def keep_first(self, message: Any) -> Any:
        """The first message that was given here."""
        if self.first is None:
            self.first = message
        return self.first
