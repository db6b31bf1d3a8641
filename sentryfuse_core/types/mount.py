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
    """Pinhole camera: image size and focal lengths and principal point in pixels, plumb_bob distortion."""

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float
    distortion: tuple[float, ...] = ()
    whole: Intrinsics | None = None  # of the whole sensor, where the others are of a region of it
