"""Wish: the level that one concern asks for, and why; higher levels are narrower."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["NO_WISH", "Wish"]


class Wish(NamedTuple):
    """Level 0 asks for nothing."""

    level: int
    reason: str  # one phrase, with the numbers that led to it


NO_WISH = Wish(0, "")
