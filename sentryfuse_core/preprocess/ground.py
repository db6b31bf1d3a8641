"""Whether the ground that a lidar sees is where the network takes it to be, at z = 0 of the base frame."""

from __future__ import annotations

import math
from typing import TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from sentryfuse_core.clock import NS_PER_S
from sentryfuse_core.errors import InvalidMessageError
from sentryfuse_core.preprocess import lidar
from sentryfuse_core.preprocess.motion import pose_rotation
from sentryfuse_core.types import PointCloud, Pose, Sample

__all__ = ["GroundCheck", "ground_m"]

Points: TypeAlias = NDArray[np.floating]
_APART_NS = NS_PER_S // 2  # from look to look: one kerb or ramp must not make up most of them
_LOOKS = 16
_AGREEING = 13  # of the looks
_MOST_LOOKS = 20 * _LOOKS  # with poses that change: a mount that moves is never judged
_OFF_M, _SAME_SIDE_M = 0.25, 0.15  # the median, and each that agrees with it; streets are uneven by 0.1 m
_RINGS_M = ((3.0, 6.0), (6.0, 12.0))  # from the base: a single beam's height differs between them
_SECTORS, _LEAST_SECTORS = 36, 12
_LOW, _LEAST_POINTS = 0.1, 5  # of the points of a sector
_UNEVEN_M = (0.15, 0.3)  # in each ring
_STEP_M = 0.2  # between the rings
_BELOW_M = 0.15  # below the lidar at least: a plane at its own height is what a flat scan shows


class GroundCheck:
    """Judges one lidar once, by its first eight seconds at a pose."""

    def __init__(self, name: str, base_frame: str) -> None:
        self.notes: list[str] = []  # what to set as things stand; one at most
        self._name, self._base_frame = name, base_frame
        self._pose: Pose | None = None
        self._found_m: list[float] = []  # NaN: no ground was seen
        self._looked_ns: int | None = None
        self._looks = 0

    def look(self, sample: Sample, pose: Pose) -> None:
        """Take in a cloud, unless all is known or the last one has just been looked at."""
        if pose != self._pose:
            self._pose, self._found_m, self.notes = pose, [], []
        recent = self._looked_ns is not None and abs(sample.stamp_ns - self._looked_ns) < _APART_NS
        if recent or len(self._found_m) == _LOOKS or self._looks == _MOST_LOOKS:
            return
        self._looked_ns = sample.stamp_ns
        self._looks += 1
        try:
            points = lidar.decode(cast("PointCloud", sample.payload), intensity_full_scale=1.0)[:3].T
        except InvalidMessageError:
            return
        placed = points @ pose_rotation(pose).T + np.asarray(pose.translation)
        self._found_m.append(ground_m(placed, pose.translation[2]))
        if len(self._found_m) == _LOOKS:
            self.notes = self._judged()

    def _judged(self) -> list[str]:
        seen_m = [height_m for height_m in self._found_m if not math.isnan(height_m)]
        off_m = float(np.median(seen_m)) if seen_m else 0.0
        agreeing = sum(math.copysign(height_m, height_m * off_m) > _SAME_SIDE_M for height_m in seen_m)
        if abs(off_m) < _OFF_M or agreeing < _AGREEING:
            return []
        side = "below" if off_m < 0.0 else "above"
        note = (
            f"{self._name}: the ground lies {abs(off_m):.1f} m {side} the origin of {self._base_frame!r}, "
            "where the network takes it to be: set output.base_frame to the frame on the ground (often "
            f"base_footprint), or correct the height of {self._name}"
        )
        return [note]


def ground_m(points: Points, lidar_m: float) -> float:
    """Height in m of the plane below and around, of points [N, 3] in the base frame; NaN where none is.

    That is where the lowest points of most directions lie at the same height, near and further away.
    """
    reach_m = np.hypot(points[:, 0], points[:, 1])
    heights_m = []
    for (from_m, to_m), uneven_m in zip(_RINGS_M, _UNEVEN_M, strict=True):
        kept = points[(reach_m >= from_m) & (reach_m < to_m) & (points[:, 2] < lidar_m - _BELOW_M)]
        turns = np.arctan2(kept[:, 1], kept[:, 0]) / (2.0 * np.pi) + 0.5
        sectors = (turns * _SECTORS).astype(int) % _SECTORS
        by_sector = [kept[sectors == sector, 2] for sector in range(_SECTORS)]
        # Not the very lowest: what a puddle mirrors lies below the ground.
        lowest = np.array([np.quantile(part, _LOW) for part in by_sector if len(part) >= _LEAST_POINTS])
        if len(lowest) < _LEAST_SECTORS:
            return math.nan
        middle_m = float(np.median(lowest))
        if np.median(np.abs(lowest - middle_m)) > uneven_m:
            return math.nan
        heights_m.append(middle_m)
    near_m, far_m = heights_m
    return near_m if abs(near_m - far_m) < _STEP_M else math.nan
