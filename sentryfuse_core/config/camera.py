"""Section `camera`: topic, pose, delay and intrinsics of the camera."""

from __future__ import annotations

from dataclasses import dataclass

from sentryfuse_core.config.option import opt
from sentryfuse_core.config.sensor import SensorConfig

__all__ = ["CameraConfig"]


@dataclass(frozen=True, kw_only=True)
class CameraConfig(SensorConfig):
    """Front camera; its frame is optical: z forward, x right, y down."""

    topic: str = opt("camera/image", "image topic; compressed transport adds '/compressed' if missing")
    translation_m: tuple[float, float, float] = opt((0.3, 0.0, 1.5), "camera in the base frame: x, y, z in m")
    quaternion_xyzw: tuple[float, float, float, float] = opt(
        (-0.5, 0.5, -0.5, 0.5),
        "rotation from the optical frame to the base frame, unit quaternion x, y, z, w",
    )
    expected_lag_s: float = opt(
        0.0,
        "known delay from stamp to arrival in s; much more is taken for a wrong clock",
        low=0.0,
        high=10.0,
    )
    transport: str = opt(
        "raw", "sensor_msgs/Image or sensor_msgs/CompressedImage", choices=("raw", "compressed")
    )
    info_topic: str = opt("camera/camera_info", "sensor_msgs/CameraInfo; replaces the intrinsics below")
    rectified: str = opt(
        "auto",
        "whether pictures are undistorted, so that P of CameraInfo holds and D does not; auto: by the name "
        "of the topic (image_rect, rectified, undistorted)",
        choices=("auto", "always", "never"),
    )
    image_width: int = opt(640, "width that the intrinsics hold for, in pixels", low=1, high=16_384)
    image_height: int = opt(480, "height that the intrinsics hold for, in pixels", low=1, high=16_384)
    fx: float = opt(320.0, "focal length x in pixels", low=1.0, high=100_000.0)
    fy: float = opt(320.0, "focal length y in pixels", low=1.0, high=100_000.0)
    cx: float = opt(320.0, "principal point x in pixels", low=-100_000.0, high=100_000.0)
    cy: float = opt(240.0, "principal point y in pixels", low=-100_000.0, high=100_000.0)
