"""What light and ground do to mAP: by day and by night, and what an IMU is worth on rough ground."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sentryfuse_core.lab.scoring.matrix import SEEING, Cell
from sentryfuse_core.lab.scoring.resample import Interval, drawn_maps, interval_of, map_of, only_frames
from sentryfuse_core.types import Modality, ModalitySet

__all__ = ["DAY_ABOVE", "NIGHT_BELOW", "ROUGH_ABOVE", "Contrast", "day_and_night", "imu_gains"]

DAY_ABOVE, NIGHT_BELOW = 0.5, 0.3  # of light, 0 = night, 1 = noon
ROUGH_ABOVE = 0.3  # 0 = smooth ground, 1 = the roughest
_IMU = ModalitySet.of(Modality.IMU)


@dataclass(frozen=True)
class Contrast:
    """The mAP of one set of sensors under two conditions, or with and without something."""

    what: str
    level: int
    before: float
    after: float
    gain: Interval | None  # after minus before, frames drawn anew
    frames: tuple[int, int]  # behind `before` and `after`


def day_and_night(
    cells: Mapping[tuple[str, int], Cell], *, day: NDArray[np.bool_], night: NDArray[np.bool_]
) -> list[Contrast]:
    """By day, then by night, of every set with a camera; frames [F]. Empty where either has no frames."""
    if not (day.any() and night.any()):
        return []
    names = {str(mask) for mask in ModalitySet.subsets() if Modality.CAMERA in mask}
    return [
        Contrast(
            name,
            level,
            map_of(only_frames(cell.matches, day)),
            map_of(only_frames(cell.matches, night)),
            None,
            (int(day.sum()), int(night.sum())),
        )
        for (name, level), cell in cells.items()
        if name in names
    ]


def imu_gains(
    cells: Mapping[tuple[str, int], Cell], *, level: int, rough: NDArray[np.bool_], draws: int, seed: int
) -> list[Contrast]:
    """Without, then with the IMU, of the 6 sets that see, on the frames `rough` [F]; first their mean.

    Both sides are drawn with the same frames, so that the interval is that of a paired difference. It
    says how far another sample of worlds would move the gain; it does not cover another training run.
    """
    pairs = [
        (str(mask), str(mask | _IMU))
        for mask in SEEING
        if Modality.IMU not in mask and (str(mask), level) in cells and (str(mask | _IMU), level) in cells
    ]
    if not pairs or not rough.any():
        return []
    parts = [only_frames(cells[name, level].matches, rough) for pair in pairs for name in pair]
    values = np.array([map_of(part) for part in parts])
    drawn = drawn_maps(parts, draws=draws, seed=seed)

    def contrast(what: str, chosen: slice) -> Contrast:
        """Of the chosen pairs; `values` and `drawn` have without and with the IMU in turn."""
        before, after = (float(values[side::2][chosen].mean()) for side in (0, 1))
        without, with_ = (drawn[:, side::2][:, chosen].mean(axis=1) for side in (0, 1))
        gain = interval_of(after - before, with_ - without)
        return Contrast(what, level, before, after, gain, (int(rough.sum()),) * 2)

    each = [contrast(name, slice(index, index + 1)) for index, (name, _) in enumerate(pairs)]
    return [contrast(f"mean of {len(pairs)}", slice(None)), *each]
