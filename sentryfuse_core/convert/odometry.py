"""nav_msgs/Odometry to readings."""

from __future__ import annotations

import math
from typing import Any

from sentryfuse_core.clock import NS_PER_S
from sentryfuse_core.config import OdometryConfig
from sentryfuse_core.convert.fields import number, read, stamp_ns, text
from sentryfuse_core.errors import InvalidMessageError
from sentryfuse_core.odometry import OdometryReading
from sentryfuse_core.types import Pose

__all__ = ["ODOMETRY_TYPE", "odometry_reading"]

ODOMETRY_TYPE = "nav_msgs/msg/Odometry"
_LARGEST_M, _LARGEST_SPEED = 1e8, 1e4  # m, and m/s or rad/s: beyond any robot


def odometry_reading(message: Any, *, config: OdometryConfig) -> OdometryReading:
    """Where the robot is and how fast; raises InvalidMessageError."""
    if isinstance(message, InvalidMessageError):  # whoever read it knows why it has no fields
        raise message
    orientation = read(message, "pose.pose.orientation")
    x, y, z, w = (number(orientation, axis) for axis in "xyzw")
    length = math.sqrt(x * x + y * y + z * z + w * w)
    if abs(length - 1.0) > 0.01:
        raise InvalidMessageError("out_of_range", f"the orientation has length {length:.3g}, not 1")
    return OdometryReading(
        stamp_ns(message) - round(config.stamp_offset_s * NS_PER_S),
        text(message, "header.frame_id"),
        config.frame_id or text(message, "child_frame_id").lstrip("/"),
        Pose(_vector(message, "pose.pose.position", _LARGEST_M), (x, y, z, w)),
        _vector(message, "twist.twist.linear", _LARGEST_SPEED),
        _vector(message, "twist.twist.angular", _LARGEST_SPEED),
    )


def _vector(message: Any, name: str, largest: float) -> tuple[float, float, float]:
    vector = read(message, name)
    x, y, z = (number(vector, axis) for axis in "xyz")
    if max(abs(x), abs(y), abs(z)) > largest:
        raise InvalidMessageError("out_of_range", f"{name} = ({x:.4g}, {y:.4g}, {z:.4g})")
    return x, y, z
