"""Where a sensor sits and how a camera sees."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Intrinsics", "Pose"]


@dataclass(frozen=True)
class Pose:
    """Sensor's frame to base frame: translation in metres, unit quaternion x, y, z, w."""

    translation: tuple[float, float, float]
    quaternion: tuple[float, float, float, float]


@dataclass(frozen=True)
class Intrinsics:
    """Camera: image size, focal lengths and principal point in pixels, and the distortion of its lens."""

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float
    distortion: tuple[float, ...] = ()
    whole: Intrinsics | None = None  # of the whole sensor, where the others are of a region of it
    fisheye: bool = False  # equidistant, and the distortion is that model's
