"""Message types of sensors that are not understood: which sensor's they are, and what to do about it."""

from __future__ import annotations

from typing import NamedTuple

from sentryfuse_core.types import Modality

__all__ = ["DEPTH_ENCODINGS", "Foreign", "foreign"]

DEPTH_ENCODINGS = ("16UC1", "32FC1", "64FC1")  # what drivers give depth, disparity and confidence images


class Foreign(NamedTuple):
    """A type of some driver or transport, and how to get what is understood instead."""

    modality: Modality
    remedy: str


_LIVOX = Foreign(Modality.LIDAR, "set the driver's xfer_format to 0, which publishes PointCloud2")
_PACKETS = "record the driver's points: play the packets through its {} and record PointCloud2"
_VELODYNE = Foreign(Modality.LIDAR, _PACKETS.format("transform node (velodyne_pointcloud)"))
_OUSTER = Foreign(Modality.LIDAR, _PACKETS.format("os_cloud"))
_HESAI = Foreign(Modality.LIDAR, _PACKETS.format("cloud node"))
_ROBOSENSE = Foreign(Modality.LIDAR, _PACKETS.format("rslidar_sdk_node"))
_PLANE = Foreign(Modality.LIDAR, "a scan of one plane is not enough; record a 3-D lidar's PointCloud2")
_REPUBLISH = "republish it as compressed or raw (image_transport republish)"
_BY_TYPE = {
    "livox_ros_driver/CustomMsg": _LIVOX,
    "livox_ros_driver2/CustomMsg": _LIVOX,
    "livox_interfaces/CustomMsg": _LIVOX,
    "velodyne_msgs/VelodyneScan": _VELODYNE,
    "velodyne_msgs/VelodynePacket": _VELODYNE,
    "ouster_ros/PacketMsg": _OUSTER,
    "ouster_sensor_msgs/PacketMsg": _OUSTER,
    "ouster_msgs/PacketMsg": _OUSTER,
    "pandar_msgs/PandarScan": _HESAI,
    "hesai_ros_driver/UdpFrame": _HESAI,
    "rslidar_msg/RslidarPacket": _ROBOSENSE,
    "rslidar_msgs/rslidarScan": _ROBOSENSE,
    "sensor_msgs/LaserScan": _PLANE,
    "sensor_msgs/MultiEchoLaserScan": _PLANE,
    "sensor_msgs/PointCloud": Foreign(Modality.LIDAR, "convert it to PointCloud2 (point_cloud_converter)"),
    "foxglove_msgs/PointCloud": Foreign(Modality.LIDAR, "record it as sensor_msgs/PointCloud2"),
    "foxglove_msgs/CompressedVideo": Foreign(
        Modality.CAMERA, "record pictures (JPEG or raw), no video stream"
    ),
    "foxglove_msgs/CompressedImage": Foreign(Modality.CAMERA, "record it as sensor_msgs/CompressedImage"),
    "foxglove_msgs/RawImage": Foreign(Modality.CAMERA, "record it as sensor_msgs/Image"),
    "ffmpeg_image_transport_msgs/FFMPEGPacket": Foreign(Modality.CAMERA, _REPUBLISH),
    "theora_image_transport/Packet": Foreign(Modality.CAMERA, _REPUBLISH),
    "h264_msgs/Packet": Foreign(Modality.CAMERA, _REPUBLISH),
    "stereo_msgs/DisparityImage": Foreign(
        Modality.CAMERA, "a disparity image is no picture; take the camera's"
    ),
    "foxglove_msgs/RawAudio": Foreign(
        Modality.AUDIO, "record it as sentryfuse/AudioChunk or audio_common_msgs"
    ),
}


def foreign(type_name: str) -> Foreign | None:
    """What is known of a type that no sensor understands, 'pkg/msg/Type' or 'pkg/Type'."""
    return _BY_TYPE.get(type_name.replace("/msg/", "/"))
