"""sensor_msgs/CameraInfo to intrinsics."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from sentryfuse_core.convert.fields import array_view, integer, text
from sentryfuse_core.errors import InvalidMessageError
from sentryfuse_core.types import Intrinsics

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sentryfuse_core.config import CameraConfig

__all__ = ["camera_info", "is_rectified"]

# What OpenCV's pinhole model covers, by the names that calibration programs give it.
_PINHOLE = (
    "",
    "none",
    "pinhole",
    "plumb_bob",
    "radtan",
    "radial_tangential",
    "brown_conrady",
    "rational",
    "rational_polynomial",
    "thin_prism",
)
_FISHEYE = ("equidistant", "fisheye", "kannala_brandt", "kannala_brandt4")
_FISHEYE_COEFFICIENTS = 4
_COEFFICIENTS = (0, 4, 5, 8, 12, 14)
_RECTIFIED = re.compile(r"(?:^|[/_.-])(?:rect|rectif(?:y|ied)|undist(?:ort(?:ed)?)?)(?:[/_.-]|$)")


def is_rectified(config: CameraConfig, topic: str) -> bool:
    """Whether the pictures on `topic` are undistorted already: as configured, or as image_proc names them."""
    if config.rectified == "auto":
        return _RECTIFIED.search(topic.lower()) is not None
    return config.rectified == "always"


def camera_info(message: Any, *, rectified: bool = False) -> Intrinsics:
    """Intrinsics of the images that come with `message`, binning and region of interest taken into account.

    A raw image obeys K and D, a rectified one P and no distortion; CameraInfo is the same for both.
    """
    matrix, distortion = _array(message, "k", 9), _array(message, "d", None)
    if rectified:
        projection = _array(message, "p", 12)
        if projection[0] > 0.0 and projection[5] > 0.0:
            matrix = projection[[0, 1, 2, 4, 5, 6, 8, 9, 10]]
        elif distortion.any():
            detail = "p is 0: a rectified image needs it; calibrate the camera, or set camera.rectified"
            raise InvalidMessageError("not_calibrated", detail)
        distortion = distortion[:0]
    fx, fy, cx, cy = (float(matrix[index]) for index in (0, 4, 2, 5))
    if fx <= 0.0 or fy <= 0.0:
        raise InvalidMessageError("not_calibrated", f"focal lengths are {fx} and {fy}: calibrate the camera")
    coefficients, fisheye = _distortion(message, distortion)
    width, height = integer(message, "width"), integer(message, "height")
    if width <= 0 or height <= 0:
        raise InvalidMessageError("bad_size", f"images of {width} x {height} pixels")
    found = Intrinsics(width, height, fx, fy, cx, cy, coefficients, fisheye=fisheye)
    if hasattr(message, "roi") and integer(message, "roi.width") > 0 and integer(message, "roi.height") > 0:
        left, top = integer(message, "roi.x_offset"), integer(message, "roi.y_offset")
        width, height = integer(message, "roi.width"), integer(message, "roi.height")
        found = replace(found, width=width, height=height, cx=cx - left, cy=cy - top, whole=found)
    return found


def _array(message: Any, name: str, size: int | None) -> NDArray[Any]:
    """A matrix, called by a capital in ROS 1; wrong size or values raise."""
    values = array_view(message, name if hasattr(message, name) else name.upper(), np.float64)
    if size is not None and values.size != size:
        raise InvalidMessageError("wrong_type", f"{name} has {values.size} elements, not {size}")
    if not np.isfinite(values).all():
        raise InvalidMessageError("non_finite", f"{name} holds a value that is not finite")
    return values


def _distortion(message: Any, values: NDArray[Any]) -> tuple[tuple[float, ...], bool]:
    """The coefficients, none where all are 0, and whether they are a fisheye lens's.

    Four zeros are a lens that is equidistant to the letter, which no pinhole is.
    """
    model = text(message, "distortion_model")
    name = re.sub(r"[^a-z0-9]+", "_", model.strip().lower())
    coefficients = tuple(float(value) for value in values)
    if name in _FISHEYE and values.size == _FISHEYE_COEFFICIENTS:
        return coefficients, True
    if not values.any():
        return (), False
    if name not in _PINHOLE or values.size not in _COEFFICIENTS:
        detail = (
            f"{model!r:.40} with {values.size} coefficients; use plumb_bob, rational_polynomial, equidistant "
            "with 4, or the rectified image with camera.rectified"
        )
        raise InvalidMessageError("unknown_distortion", detail)
    return coefficients, False
