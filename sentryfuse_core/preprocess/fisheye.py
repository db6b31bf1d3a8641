"""Fisheye lenses: where the rays of a virtual camera lie in the picture, also beyond a right angle."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["along", "fisheye_maps"]

Map: TypeAlias = NDArray[np.float32]  # [H, W]
_LEAST = 1e-6  # of a ray's sideways part, by which is divided


def fisheye_maps(
    axes: NDArray[np.float32],
    size: tuple[int, int],
    source: NDArray[np.float64],
    distortion: tuple[float, ...],
) -> tuple[Map, Map, Map, NDArray[np.bool_]]:
    """Column and row in the picture, reach along the optical axis, and whether the lens sees it: [H, W] each.

    The model is the equidistant one of Kannala and Brandt (IEEE TPAMI 28(8), 2006) as OpenCV and CameraInfo
    have it: an angle t from the axis lies t (1 + k1 t^2 + k2 t^4 + k3 t^6 + k4 t^8) focal lengths away.

    Args:
        axes: [3, 3] from the virtual camera's pixel (column, row, 1) to a ray: right, down, forward.
        size: columns and rows of the virtual camera.
        source: [3, 3] the lens's matrix in pixels.
        distortion: k1 to k4; what is not given is 0.
    """
    right, down, forward = (along(axis, size) for axis in axes)
    aside = np.hypot(right, down)
    angle = np.arctan2(aside, forward)
    k = (*distortion, 0.0, 0.0, 0.0, 0.0)[:4]
    factor = _away(angle, k) / np.maximum(aside, np.float32(_LEAST))
    columns = source[0, 0] * factor * right + source[0, 2]
    rows = source[1, 1] * factor * down + source[1, 2]
    return (
        columns.astype(np.float32),
        rows.astype(np.float32),
        forward,
        np.asarray(angle <= _widest(k)),
    )


def along(axis: NDArray[np.float32], size: tuple[int, int]) -> Map:
    """How far each pixel's ray (column, row, 1) reaches along `axis` [3]: [H, W].

    A row added to a column, in float32: a matrix product over a list of all pixels takes ten times as long.
    """
    columns, rows = np.arange(size[0], dtype=np.float32), np.arange(size[1], dtype=np.float32)
    reach: Map = axis[0] * columns + (axis[1] * rows + axis[2])[:, None]
    return reach


def _away(angle: NDArray[Any], k: tuple[float, ...]) -> NDArray[Any]:
    """How many focal lengths from the middle what lies at `angle` in rad is shown."""
    square = angle * angle
    polynomial = 1.0 + square * (k[0] + square * (k[1] + square * (k[2] + square * k[3])))
    return np.asarray(angle * polynomial)


def _widest(k: tuple[float, ...]) -> float:
    """The angle in rad up to which what lies further out is shown further out."""
    angle = np.linspace(0.0, np.pi, 1801)
    falling = np.flatnonzero(np.diff(_away(angle, k)) <= 0.0)
    return float(angle[falling[0]]) if falling.size else float(np.pi)
