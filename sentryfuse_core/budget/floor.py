"""AccuracyFloor: the narrowest level that is still accurate enough, by the checkpoint's own evaluation."""

from __future__ import annotations

import math
from collections.abc import Mapping

from sentryfuse_core.types import ModalitySet

__all__ = ["AccuracyFloor"]


class AccuracyFloor:
    """Each level against the full width of the same sensors: audio alone never sees what a lidar does."""

    def __init__(self, maps: Mapping[tuple[int, int], float]) -> None:
        """`maps`: mean average precision, 0..1, by (mask bits, level); NaN or absent: not evaluated."""
        self._maps = maps

    def known(self, mask: ModalitySet, level: int) -> bool:
        """Whether these sensors were evaluated at full width and at `level`."""
        bits = mask.bits
        return not math.isnan(self._map(bits, 0)) and not math.isnan(self._map(bits, level))

    def keeps(self, mask: ModalitySet, level: int, share: float) -> bool:
        """Whether `level` has this share of the full width's accuracy; so has what was not evaluated."""
        return not self.known(mask, level) or self._map(mask.bits, level) >= share * self._map(mask.bits, 0)

    def held(self, mask: ModalitySet, level: int, share: float) -> int:
        """The narrowest level up to `level` that keeps the share; level 0 always does."""
        return next(wider for wider in range(level, -1, -1) if wider == 0 or self.keeps(mask, wider, share))

    def told(self, mask: ModalitySet, level: int, share: float) -> str:
        """'mAP 77 % at level 2, 95 % of full width's 82 % asked for'."""
        there, full = self._map(mask.bits, level), self._map(mask.bits, 0)
        return f"mAP {there:.1%} at level {level}, {share:.0%} of full width's {full:.1%} is asked for"

    def _map(self, bits: int, level: int) -> float:
        return self._maps.get((bits, level), math.nan)
