"""Dirt on a lens: how much of each pixel its spots hide, for messages and tensors alike."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sentryfuse_core.preprocess.geometry import GEOMETRY

__all__ = ["BLUR_PX", "SPOTS", "hidden", "scale_of"]

SPOTS = 24  # drops or dirt on a lens, at most
BLUR_PX = 6.0  # of what still shines through
_LEAST_PX, _SPREAD_PX, _EDGE_PX = 10.0, 30.0, 4.0  # radius of a spot, and its soft edge


def scale_of(width: int) -> float:
    """Pixels of an image of `width` for one of the virtual camera, where both see the same."""
    return width / GEOMETRY.image_width


def hidden(share: float, draws: NDArray[Any], *, height: int, width: int) -> NDArray[np.float32]:
    """What is hidden [height, width], 0..1, about `share` of the image together.

    `draws` [SPOTS, 4], 0..1, say where each spot is, how large and how opaque.
    """
    scale = scale_of(width)
    x, y = np.arange(width, dtype=np.float32) + 0.5, np.arange(height, dtype=np.float32)[:, None] + 0.5
    found = np.zeros((height, width), np.float32)
    for u, v, size, opaque in np.asarray(draws, np.float64).tolist():
        if found.mean() >= share:
            break
        radius = scale * (_LEAST_PX + _SPREAD_PX * size)
        apart = np.hypot(x - u * width, y - v * height)
        spot = (0.6 + 0.4 * opaque) * np.clip((radius - apart) / (_EDGE_PX * scale), 0.0, 1.0)
        found = np.maximum(found, spot, dtype=np.float32)
    return found
