"""ROS messages to samples, read by field name: rclpy and rosbags messages alike, importing neither.

Structure is checked here, at a cost that does not grow with the message; pixels and points are
decoded in `preprocess`. Whatever is wrong raises InvalidMessageError with one of these reasons:

- any message: `wrong_type` (a field is missing or of another type, or the type is of another sensor),
  `zero_stamp` (the driver does not stamp), `negative_stamp`, `bad_stamp` (1e9 nanoseconds or more),
  `empty` (no data), `bad_size` (sizes that make no sense), `truncated` (less data than the sizes say)
- image: `unknown_encoding`, `step_too_small` (a row does not fit its step)
- cloud: `no_xyz_fields`, `bad_field_type`, `field_outside_point`, `overlapping_fields`, `step_too_small`
- IMU and audio: `non_finite`; IMU: `out_of_range`
- audio: `unknown_audio_type`, `unknown_audio_encoding`, `bad_rate`, `no_clock` (no header, and the clock
  that would stamp it, /clock, has not begun)
- odometry: `non_finite`, `out_of_range`
- camera info: `not_calibrated`, `unknown_distortion`, `non_finite`, `bad_size`

Decoding in `preprocess` adds `undecodable` (corrupt image file), `outside_view` (the camera looks
elsewhere), `no_finite_points`, `out_of_range` (points in millimetres), `field_absent` (IMU without gyro
or acceleration), `no_data` (no audio in the window) and `no_pose`.
"""

from __future__ import annotations

from sentryfuse_core.convert.audio import AUDIO_INFO_TYPE, informed
from sentryfuse_core.convert.camera_info import camera_info, is_rectified
from sentryfuse_core.convert.foreign import DEPTH_ENCODINGS, foreign
from sentryfuse_core.convert.odometry import ODOMETRY_TYPE, odometry_reading
from sentryfuse_core.convert.sample import SUPPORTED_TYPES, to_sample, type_modality

__all__ = [
    "AUDIO_INFO_TYPE",
    "DEPTH_ENCODINGS",
    "ODOMETRY_TYPE",
    "SUPPORTED_TYPES",
    "camera_info",
    "foreign",
    "informed",
    "is_rectified",
    "odometry_reading",
    "to_sample",
    "type_modality",
]
