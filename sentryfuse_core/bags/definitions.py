"""Message definitions by text: this project's own msg files and packages that rosbags does not know."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from sentryfuse_core.shipped import share_folder

__all__ = [
    "AUDIO_COMMON_CHUNKS",
    "AUDIO_COMMON_RAW",
    "ROS1_TRANSFORMS",
    "ROS1_TRANSFORMS_TYPE",
    "TRANSFORMS_TYPE",
    "VISION",
    "project_definitions",
]

TRANSFORMS_TYPE, ROS1_TRANSFORMS_TYPE = "tf2_msgs/msg/TFMessage", "tf/msg/tfMessage"
# The first transforms of ROS 1, field by field those of today.
ROS1_TRANSFORMS: Mapping[str, str] = {ROS1_TRANSFORMS_TYPE: "geometry_msgs/TransformStamped[] transforms\n"}

# Two packages share the name audio_common_msgs with incompatible fields; a bag's own definitions go first.
AUDIO_COMMON_RAW: Mapping[str, str] = {
    "audio_common_msgs/msg/AudioData": "uint8[] data\n",
    "audio_common_msgs/msg/AudioDataStamped": "std_msgs/Header header\naudio_common_msgs/AudioData audio\n",
    "audio_common_msgs/msg/AudioInfo": (
        "uint8 channels\nuint32 sample_rate\nstring sample_format\nuint32 bitrate\nstring coding_format\n"
    ),
}
AUDIO_COMMON_CHUNKS: Mapping[str, str] = {
    "audio_common_msgs/msg/AudioData": (
        "float32[] float32_data\nint32[] int32_data\nint16[] int16_data\n"
        "int8[] int8_data\nuint8[] uint8_data\n"
    ),
    "audio_common_msgs/msg/AudioInfo": "uint32 format\nuint8 channels\nuint32 rate\nuint32 chunk\n",
    "audio_common_msgs/msg/Audio": (
        "audio_common_msgs/AudioData audio_data\naudio_common_msgs/AudioInfo info\n"
    ),
    "audio_common_msgs/msg/AudioStamped": "std_msgs/Header header\naudio_common_msgs/Audio audio\n",
}
VISION: Mapping[str, str] = {
    "vision_msgs/msg/ObjectHypothesis": "string class_id\nfloat64 score\n",
    "vision_msgs/msg/ObjectHypothesisWithPose": (
        "vision_msgs/ObjectHypothesis hypothesis\ngeometry_msgs/PoseWithCovariance pose\n"
    ),
    "vision_msgs/msg/BoundingBox3D": "geometry_msgs/Pose center\ngeometry_msgs/Vector3 size\n",
    "vision_msgs/msg/Detection3D": (
        "std_msgs/Header header\nvision_msgs/ObjectHypothesisWithPose[] results\n"
        "vision_msgs/BoundingBox3D bbox\nstring id\n"
    ),
    "vision_msgs/msg/Detection3DArray": "std_msgs/Header header\nvision_msgs/Detection3D[] detections\n",
    "vision_msgs/msg/VisionInfo": (
        "std_msgs/Header header\nstring method\nstring database_location\nint32 database_version\n"
    ),
    "vision_msgs/msg/VisionClass": "uint16 class_id\nstring class_name\n",
    "vision_msgs/msg/LabelInfo": (
        "std_msgs/Header header\nvision_msgs/VisionClass[] class_map\nfloat32 threshold\n"
    ),
}


@lru_cache(maxsize=1)
def project_definitions() -> Mapping[str, str]:
    """Text of msg/*.msg by full type name; raises NotInstalledError where they are not installed."""
    return {
        f"sentryfuse/msg/{path.stem}": path.read_text(encoding="utf-8")
        for path in sorted((share_folder() / "msg").glob("*.msg"))
    }
