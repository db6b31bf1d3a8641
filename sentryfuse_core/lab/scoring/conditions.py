"""What light and ground do to mAP: by day and by night, and what an IMU is worth on rough ground."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sentryfuse_core.lab.scoring.matrix import SEEING, Cell
from sentryfuse_core.lab.scoring.resample import Interval, drawn_maps, interval_of, map_of, only_frames
from sentryfuse_core.types import Modality, ModalitySet

__all__ = [
    "DAY_ABOVE",
    "NIGHT_BELOW",
    "ROUGH_ABOVE",
    "Contrast",
    "day_and_night",
    "imu_gains",
    "not_compared",
]

DAY_ABOVE, NIGHT_BELOW = 0.5, 0.3  # of light, 0 = night, 1 = noon
ROUGH_ABOVE = 0.3  # 0 = smooth ground, 1 = the roughest
LEAST_FRAMES = 10  # of a condition: fewer say nothing of it, and drawn anew seem surer than they are
_MOST_LIGHT_DRAWS = 200  # eight sets of sensors at every level, twice: more take minutes
_IMU = ModalitySet.of(Modality.IMU)


@dataclass(frozen=True)
class Contrast:
    """The mAP of one set of sensors under two conditions, or with and without something."""

    what: str
    level: int
    before: float
    after: float
    gain: Interval  # after minus before, frames drawn anew
    frames: tuple[int, int]  # behind `before` and `after`


def not_compared(frames: Mapping[str, int]) -> str:
    """What is left out, of the frames that show each condition; empty: nothing."""
    few = ", ".join(f"{count} {name}" for name, count in frames.items() if count < LEAST_FRAMES)
    return few and f"what fewer than {LEAST_FRAMES} frames show is not compared: {few}"


def day_and_night(
    cells: Mapping[tuple[str, int], Cell],
    *,
    day: NDArray[np.bool_],
    night: NDArray[np.bool_],
    draws: int,
    seed: int,
) -> list[Contrast]:
    """By day, then by night, of every set with a camera; frames [F].

    Empty where either has fewer than LEAST_FRAMES. They have no frame in common, so each is drawn by itself.
    """
    names = {str(mask) for mask in ModalitySet.subsets() if Modality.CAMERA in mask}
    keys = [key for key in cells if key[0] in names]
    if not keys or min(day.sum(), night.sum()) < LEAST_FRAMES:
        return []
    sides = [[only_frames(cells[key].matches, which) for key in keys] for which in (day, night)]
    values = [[map_of(part) for part in side] for side in sides]
    draws = min(draws, _MOST_LIGHT_DRAWS)
    drawn = [drawn_maps(side, draws=draws, seed=seed + index) for index, side in enumerate(sides)]
    gains = drawn[1] - drawn[0]
    counts = int(day.sum()), int(night.sum())
    return [
        Contrast(name, level, before, after, interval_of(after - before, gains[:, index]), counts)
        for index, ((name, level), before, after) in enumerate(zip(keys, *values, strict=True))
    ]


def imu_gains(
    cells: Mapping[tuple[str, int], Cell], *, level: int, rough: NDArray[np.bool_], draws: int, seed: int
) -> list[Contrast]:
    """Without, then with the IMU, of the 6 sets that see, on the frames `rough` [F]; first their mean.

    Empty where fewer than LEAST_FRAMES are rough.

    Both sides are drawn with the same frames, so that the interval is that of a paired difference. It
    says how far another sample of worlds would move the gain; it does not cover another training run.
    """
    pairs = [
        (str(mask), str(mask | _IMU))
        for mask in SEEING
        if Modality.IMU not in mask and (str(mask), level) in cells and (str(mask | _IMU), level) in cells
    ]
    if not pairs or rough.sum() < LEAST_FRAMES:
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
