"""Overlap of boxes in space."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from sentryfuse_core.boxes import Floats, Ints

__all__ = ["overlaps", "paired"]


def overlaps(first: Floats, second: Floats) -> Floats:
    """Intersection over union `[N, M]` of upright boxes `[N, 7]` and `[M, 7]`, sides parallel to none."""
    shared = np.zeros((len(first), len(second)))
    if not shared.size:
        return shared
    reach = np.hypot(first[:, 3], first[:, 4])[:, None] + np.hypot(second[:, 3], second[:, 4])
    apart = np.hypot(*np.moveaxis(first[:, None, :2] - second[None, :, :2], -1, 0))
    top = np.minimum((first[:, 2] + first[:, 5] / 2)[:, None], second[:, 2] + second[:, 5] / 2)
    bottom = np.maximum((first[:, 2] - first[:, 5] / 2)[:, None], second[:, 2] - second[:, 5] / 2)
    for row, column in zip(*np.nonzero((apart <= reach / 2) & (top > bottom)), strict=True):
        kind, points = cv2.rotatedRectangleIntersection(_footprint(first[row]), _footprint(second[column]))
        if kind != cv2.INTERSECT_NONE and points is not None:
            shared[row, column] = cv2.contourArea(cv2.convexHull(points))
    shared *= np.maximum(top - bottom, 0.0)
    whole = first[:, 3:6].prod(axis=1)[:, None] + second[:, 3:6].prod(axis=1) - shared
    return np.asarray(shared / whole)


def paired(overlap: Floats, enough: NDArray[np.bool_]) -> tuple[Ints, Ints]:
    """Pairs of boxes that overlap enough, as many as there can be and of those the closest."""
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(np.where(enough, 1.0 - overlap, 1e6))
    kept = enough[rows, columns]
    return rows[kept], columns[kept]


def _footprint(box: Floats) -> tuple[tuple[float, float], tuple[float, float], float]:
    """As OpenCV has rectangles: centre, sides, degrees."""
    x, y, _, length, width, _, yaw = box.tolist()
    return (x, y), (length, width), math.degrees(yaw)
