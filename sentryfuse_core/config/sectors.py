"""Reads `output.sectors`: to which sides the network's region is turned."""

from __future__ import annotations

import math

from sentryfuse_core.errors import ConfigError

__all__ = ["sector_name", "sector_yaws_deg"]

_ALL_AROUND = "all_around"
_SIDES = {"front": 0.0, "left": 90.0, "back": 180.0, "right": -90.0}
_MOST = 8
_LEAST_APART_DEG = 10.0
_REMEDY = "give front, all_around, or sides and yaws in degrees such as 'front, back' or '0, 120, -120'"


def sector_yaws_deg(text: str) -> tuple[float, ...]:
    """Yaws in degrees, positive to the left, in -180 (not included) .. 180, in the order of the text.

    Raises ConfigError for words that are neither sides nor numbers, for more than 8 sectors, and for two that
    are less than 10 degrees apart.
    """
    words = list(_SIDES) if text.strip() == _ALL_AROUND else [word.strip() for word in text.split(",")]
    try:
        asked = [_SIDES[word] if word in _SIDES else float(word) for word in words]
    except ValueError:
        raise ConfigError(f"output.sectors = {text!r}: {_REMEDY}") from None
    if not all(map(math.isfinite, asked)) or len(asked) > _MOST:
        raise ConfigError(f"output.sectors = {text!r}: at most {_MOST} finite yaws; {_REMEDY}")
    yaws = tuple(180.0 - (180.0 - yaw) % 360.0 for yaw in asked)
    for index, yaw in enumerate(yaws):
        for other in yaws[:index]:
            if abs(math.remainder(yaw - other, 360.0)) < _LEAST_APART_DEG:
                raise ConfigError(
                    f"output.sectors = {text!r}: {other:g} and {yaw:g} are less than {_LEAST_APART_DEG:g} "
                    "degrees apart; give each side once"
                )
    return yaws


def sector_name(yaw_deg: float) -> str:
    """What to call a sector: a side, or its yaw."""
    return next((name for name, side in _SIDES.items() if side == yaw_deg), f"{yaw_deg:g} degrees")
