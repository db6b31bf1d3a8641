"""sensor_msgs/CameraInfo to intrinsics."""

from __future__ import annotations

from typing import Any

import numpy as np

from sentryfuse_core.convert.fields import array_view, integer, text
from sentryfuse_core.errors import InvalidMessageError
from sentryfuse_core.types import Intrinsics

__all__ = ["camera_info"]

_PLUMB_BOB = ("", "plumb_bob", "rational_polynomial")  # what OpenCV's pinhole model covers
_COEFFICIENTS = (0, 4, 5, 8, 12, 14)


def camera_info(message: Any) -> Intrinsics:
    """Intrinsics of the images that come with `message`, its region of interest taken into account."""
    if isinstance(message, InvalidMessageError):  # whoever read it knows why it has no fields
        raise message
    matrix = array_view(message, "k" if hasattr(message, "k") else "K", np.float64)
    distortion = array_view(message, "d" if hasattr(message, "d") else "D", np.float64)
    model = text(message, "distortion_model")
    if matrix.size != 9:
        raise InvalidMessageError("wrong_type", f"k has {matrix.size} elements, not 9")
    if not (np.isfinite(matrix).all() and np.isfinite(distortion).all()):
        raise InvalidMessageError("non_finite", "k or d holds a value that is not finite")
    fx, fy, cx, cy = (float(matrix[index]) for index in (0, 4, 2, 5))
    if fx <= 0.0 or fy <= 0.0:
        raise InvalidMessageError("not_calibrated", f"focal lengths are {fx} and {fy}: calibrate the camera")
    distorted = bool(distortion.any())
    if distorted and (model not in _PLUMB_BOB or distortion.size not in _COEFFICIENTS):
        raise InvalidMessageError(
            "unknown_distortion", f"{model!r:.40} with {distortion.size} coefficients; rectify first"
        )
    width, height = integer(message, "width"), integer(message, "height")
    if hasattr(message, "roi") and integer(message, "roi.width") > 0 and integer(message, "roi.height") > 0:
        width, height = integer(message, "roi.width"), integer(message, "roi.height")
        cx -= integer(message, "roi.x_offset")
        cy -= integer(message, "roi.y_offset")
    if width <= 0 or height <= 0:
        raise InvalidMessageError("bad_size", f"images of {width} x {height} pixels")
    coefficients = tuple(float(value) for value in distortion) if distorted else ()
    return Intrinsics(width, height, fx, fy, cx, cy, coefficients)
