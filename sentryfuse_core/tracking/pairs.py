"""Which detection is which object: the pairs that are likeliest together, none of them unlikely."""

from __future__ import annotations

import numpy as np

from sentryfuse_core.boxes import Floats, Ints

__all__ = ["likeliest_pairs", "offsets"]

_NEVER = 1e6  # the cost of a pair that cannot be
_SIZE_WEIGHT = 2.0  # of the difference in the logarithms of length, width and height


def likeliest_pairs(
    places: Floats,
    spreads: Floats,
    sizes: Floats,
    found_places: Floats,
    found_spreads: Floats,
    found_sizes: Floats,
    *,
    alike: Floats,
    gate: float,
) -> tuple[Ints, Ints]:
    """Indices of T objects and D detections that belong together, each at most once.

    Args:
        places: `[T, 2]` where the objects are expected, m.
        spreads: `[T, 2, 2]` variances of that.
        sizes: `[T, 3]` length, width, height, m.
        found_places: `[D, 2]` of the detections.
        found_spreads: `[D, 2, 2]`.
        found_sizes: `[D, 3]`.
        alike: `[T, D]` cost of the classes being these; infinite where they cannot be one object.
        gate: largest squared Mahalanobis distance of a pair; 16 holds 99.97 % of the right ones.

    Costs are twice the negative logarithm of the likelihood; the sum of all pairs is the least possible
    (Jonker and Volgenant, 1987).
    """
    if not len(places) or not len(found_places):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    import lap  # a quarter of the module's import, and only where tracks are asked for

    distance, area = offsets(places, spreads, found_places, found_spreads)
    logs, found_logs = np.log(sizes), np.log(found_sizes)
    length, width, height = (np.abs(found_logs[:, side] - logs[:, side, None]) for side in range(3))
    size = length + width + height
    cost = distance + np.log(area) + _SIZE_WEIGHT * size + alike
    possible = (distance <= gate) & np.isfinite(alike)
    if not possible.any():
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    # Costs below 0, so that every possible pair is better than none: the gate has decided what is possible.
    most = cost[possible].max()
    cost = np.where(possible, cost - most - 1.0, _NEVER)
    _, columns, _ = lap.lapjv(cost, extend_cost=True, cost_limit=_NEVER / 2)
    rows = np.flatnonzero(columns >= 0)
    paired = possible[rows, columns[rows]]
    return rows[paired], columns[rows][paired]


def offsets(
    places: Floats, spreads: Floats, found_places: Floats, found_spreads: Floats
) -> tuple[Floats, Floats]:
    """`[T, D]` squared Mahalanobis distances, and the determinants of the variances they are measured by."""
    # Number by number: pairs of vectors and of matrices lie too far apart in memory where there are hundreds.
    x, y = (found_places[:, axis] - places[:, axis, None] for axis in (0, 1))
    xx, xy, yy = (
        spreads[:, row, column, None] + found_spreads[:, row, column]
        for row, column in ((0, 0), (0, 1), (1, 1))
    )
    area = xx * yy - xy**2
    return (yy * x**2 - 2 * xy * x * y + xx * y**2) / area, area
