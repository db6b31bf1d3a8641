"""Spoils what a camera sees through its lens: too little light, blur, dirt, a camera that was turned."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from sentryfuse_core.faults.corruption.image import full_scale
from sentryfuse_core.faults.dirt import BLUR_PX, SPOTS, hidden, scale_of
from sentryfuse_core.faults.hit import Hit

__all__ = ["blurred", "dim", "dirty", "turned"]

_READ_NOISE = 0.01  # of full scale, which stays when the light goes
_BROWN = (0.8, 1.0, 1.1)  # blue, green, red of dirt, of a grey as bright
_FARTHEST_RAD = 1.2  # from the middle, that a turned camera looks up


def dim(values: NDArray[Any], neutral: int | None, hit: Hit) -> None:
    """Leave a share `gain` of the light; the noise of reading it stays."""
    dark = neutral or 0
    seen = dark + hit.options["gain"] * (values.astype(np.float32) - dark)
    if neutral is None:
        noise = hit.random.standard_normal(values.shape, np.float32)
        seen += _READ_NOISE * full_scale(values) * noise
    _put(values, seen)


def blurred(values: NDArray[Any], _: int | None, hit: Hit) -> None:
    """Blur by a Gaussian of `sigma_px`, in pixels of an image as wide as the virtual camera's."""
    _put(values, _smooth(values, hit.options["sigma_px"] * scale_of(values.shape[1])))


def dirty(values: NDArray[Any], neutral: int | None, hit: Hit) -> None:
    """Put blurred, brownish spots before about `share` of the image; they stay where they are."""
    if hit.first is None:
        hit.first = hit.random.random((SPOTS, 4)), {}
    draws, known = hit.first
    height, width, channels = values.shape
    if (height, width) not in known:
        known[height, width] = hidden(hit.options["share"], draws, height=height, width=width)
    tint = np.array(_BROWN if channels == len(_BROWN) else (1.0,), np.float32)
    dirt = 0.6 * float(values.mean()) * tint if neutral is None else np.float32(neutral)
    through = 0.3 * _smooth(values, BLUR_PX * scale_of(width)) + 0.7 * dirt
    _put(values, values + known[height, width][..., None] * (through - values))


def turned(values: NDArray[Any], neutral: int | None, hit: Hit) -> None:
    """Show what a camera sees that was turned to the left by `yaw_deg`, as far as this one saw it.

    Pixels move along their rows, as they do near the horizon; the image spans `fov_deg` from left to right.
    """
    width = values.shape[1]
    middle, focal = 0.5 * width, 0.5 * width / math.tan(math.radians(0.5 * hit.options["fov_deg"]))
    bearing = np.arctan((np.arange(width) + 0.5 - middle) / focal) - math.radians(hit.options["yaw_deg"])
    source = middle + focal * np.tan(np.clip(bearing, -_FARTHEST_RAD, _FARTHEST_RAD)) - 0.5
    first = np.floor(source)
    share = (source - first)[:, None]
    dark = float(neutral or 0)
    # One dark column on each side stands for all that was not seen.
    wide = np.pad(values.astype(np.float32), ((0, 0), (1, 1), (0, 0)), constant_values=dark)
    left, right = (np.clip(first + step, -1, width).astype(int) + 1 for step in (0, 1))
    _put(values, (1.0 - share) * wide[:, left] + share * wide[:, right])


def _smooth(values: NDArray[Any], sigma_px: float) -> NDArray[np.float32]:
    size = 2 * max(1, math.ceil(2.5 * sigma_px)) + 1
    given = np.ascontiguousarray(values, np.float32)
    smooth = cv2.GaussianBlur(given, (size, size), sigma_px, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(smooth, np.float32).reshape(values.shape)


def _put(values: NDArray[Any], changed: NDArray[Any]) -> None:
    values[...] = np.clip(np.rint(changed), 0, full_scale(values)).astype(values.dtype)
