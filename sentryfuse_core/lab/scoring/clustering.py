"""The classical rival: Euclidean clusters of lidar points above the ground, boxed and named by their size."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from sentryfuse_core.boxes import Floats, FrameBoxes

__all__ = ["cluster", "thinned"]


# Lengths in metres; tuned on held-out worlds that `sentryfuse eval` does not score.
_GROUND, _CEILING = 0.4, 2.6  # points below are ground, points above poles and walls
_APART = 1.1  # neighbours on the ground plane nearer than this are of one cluster
_LEAST_POINTS = 3
_SLACK = 1.5  # a cluster larger than this times a class's size is none of it


def cluster(points: Floats, sizes: Floats, *, origin: tuple[float, float] = (0, 0)) -> FrameBoxes:
    """Boxes of one sweep.

    Points above the ground are joined by distance (Rusu, 'Semantic 3D Object Maps', 2009: Euclidean
    cluster extraction) and framed by the rectangle of least area on the ground. A sensor sees near faces
    only: the box gets at least the size of its class, grown away from the sensor. The score is how well
    the size fits, less where points are few.

    Args:
        points: [R, 3 or more] x, y, z in m, ground at z = 0; NaN where there is no return.
        sizes: [C, 3] usual length, width and height of each class.
        origin: where the sensor is, m.
    """
    kept = points[np.isfinite(points[:, :3]).all(axis=1)][:, :3]
    kept = kept[(kept[:, 2] > _GROUND) & (kept[:, 2] < _CEILING)]
    boxed = (_box(part, sizes, np.array(origin)) for part in _parts(kept))
    found = [box for box in boxed if box is not None]
    if not found:
        return FrameBoxes.none()
    boxes, classes, scores = zip(*found, strict=True)
    return FrameBoxes(np.stack(boxes), np.array(classes), np.array(scores))


def thinned(points: Floats, voxel_m: float) -> Floats:
    """One point of every voxel [N, 3 or more], those too low or high for `cluster` left out.

    The pairs of neighbours that `cluster` joins grow with the square of the density: of a dense cloud they
    take minutes, of one point in .2 m hardly any time, and 1.1 m still joins them.
    """
    kept = points[np.isfinite(points[:, :3]).all(axis=1)]
    kept = kept[(kept[:, 2] > _GROUND) & (kept[:, 2] < _CEILING)]
    _, first = np.unique(np.floor(kept[:, :3] / voxel_m).astype(np.int64), axis=0, return_index=True)
    chosen: Floats = kept[np.sort(first)]
    return chosen


def _parts(points: Floats) -> list[Floats]:
    if len(points) < _LEAST_POINTS:
        return []
    from scipy.sparse import coo_array  # of the extra `lab`
    from scipy.sparse.csgraph import connected_components
    from scipy.spatial import cKDTree

    pairs = cKDTree(points[:, :2]).query_pairs(_APART, output_type="ndarray")
    links = coo_array((np.ones(len(pairs)), pairs.T), shape=(len(points), len(points)))
    count, label = connected_components(links, directed=False)
    order = np.argsort(label, kind="stable")
    parts = np.split(points[order], np.cumsum(np.bincount(label, minlength=count))[:-1])
    return [part for part in parts if len(part) >= _LEAST_POINTS]


def _box(part: Floats, sizes: Floats, origin: NDArray[np.float64]) -> tuple[Floats, int, float] | None:
    """Box [7], class and score of a cluster; None where it is too large for every class."""
    centre, (first, second), degrees = cv2.minAreaRect(part[:, :2].astype(np.float32))
    yaw = np.deg2rad(degrees)
    if second > first:
        first, second, yaw = second, first, yaw + np.pi / 2
    seen = np.array([first, second, part[:, 2].max()])
    over = (seen / sizes).max(axis=1)
    # What is hidden makes a cluster short, hardly low: height weighs most.
    misfit = np.abs(np.log(np.maximum(seen, 0.1) / sizes)) @ np.array([0.5, 0.5, 2.0])
    misfit[over > _SLACK] = np.inf
    kind = int(misfit.argmin())
    if not np.isfinite(misfit[kind]):
        return None
    size = np.maximum(seen, sizes[kind])
    axes = np.array([[np.cos(yaw), np.sin(yaw)], [-np.sin(yaw), np.cos(yaw)]])
    away = np.sign(axes @ (np.array(centre) - origin))
    middle = np.array(centre) + (away * (size - seen)[:2] / 2) @ axes
    score = np.exp(-misfit[kind]) * len(part) / (len(part) + 5)
    return np.array([*middle, size[2] / 2, *size, yaw]), kind, float(score)
