"""BatteryLimit: the narrowest level while the battery is low."""

from __future__ import annotations

from sentryfuse_core.budget.wish import NO_WISH, Wish

__all__ = ["BatteryLimit"]

_MARGIN = 0.05  # of charge above the limit ends it, so that a voltage that sags under load does not flutter


class BatteryLimit:
    """Remembers that the battery was low until it is well above the limit, unknown, or has a new limit."""

    def __init__(self, levels: int) -> None:
        self._last = levels - 1
        self._low = False
        self._minimum = 0.0

    def wish(self, charge: float, minimum: float) -> Wish:
        """The level at this charge, 0..1; NaN, unknown, asks for nothing."""
        if minimum != self._minimum:  # what was low for another limit says nothing
            self._low, self._minimum = False, minimum
        enough = min(minimum + _MARGIN, 1.0) if self._low else minimum
        self._low = charge < enough
        if not self._low:
            return NO_WISH
        if charge < minimum:
            return Wish(self._last, f"battery: {charge:.0%} is below {minimum:.0%}")
        return Wish(self._last, f"battery: {charge:.0%} was below {minimum:.0%} and is not yet {enough:.0%}")
