"""OdometryReading: what a message told of the robot's own motion."""

from __future__ import annotations

from dataclasses import dataclass

from sentryfuse_core.types import Pose

__all__ = ["OdometryReading"]


@dataclass(frozen=True)
class OdometryReading:
    """Where a frame of the robot is and how fast, as a message told it; speeds are along the frame's axes."""

    stamp_ns: int
    frame_id: str  # in which the pose is told
    child_frame_id: str  # whose pose and speed it is
    pose: Pose
    linear_m_s: tuple[float, float, float]
    angular_rad_s: tuple[float, float, float]
