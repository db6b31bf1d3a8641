"""Builders of small recordings for tests, in every format that can be read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from builders import MS, S
from rosbags.rosbag1 import Writer as Ros1Writer
from rosbags.rosbag2 import StoragePlugin
from rosbags.rosbag2 import Writer as Ros2Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from sentryfuse_core.bags.definitions import AUDIO_COMMON_RAW, ROS1_TRANSFORMS
from sentryfuse_core.bags.writer import BagWriter, build_message, ros2_typestore
from sentryfuse_core.types import Modality

START_NS = 100 * S
FORMATS = ("mcap", "mcap folder", "db3", "db3 folder", "bag")
TOPICS = {
    Modality.CAMERA: "/camera/image/compressed",
    Modality.LIDAR: "/lidar/points",
    Modality.IMU: "/imu/data",
    Modality.AUDIO: "/audio",
}
_PERIODS_NS = {
    Modality.CAMERA: 66 * MS,
    Modality.LIDAR: 100 * MS,
    Modality.IMU: 10 * MS,
    Modality.AUDIO: 20 * MS,
}


class Message(NamedTuple):
    """One message as BagWriter.write takes it."""

    topic: str
    type_name: str
    log_time_ns: int
    fields: Mapping[str, Any]


def header(stamp_ns: int, frame_id: str) -> dict[str, Any]:
    return {"stamp": {"sec": stamp_ns // S, "nanosec": stamp_ns % S}, "frame_id": frame_id}


def camera(stamp_ns: int, seed: int) -> dict[str, Any]:
    """A noisy JPEG of 64 x 48 pixels."""
    pixels = np.random.default_rng(seed).integers(0, 255, (48, 64, 3), dtype=np.uint8)
    data = cv2.imencode(".jpg", pixels)[1].tobytes()
    return {"header": header(stamp_ns, "camera"), "format": "jpeg", "data": data}


def lidar(stamp_ns: int, seed: int) -> dict[str, Any]:
    """600 points all around."""
    random = np.random.default_rng(seed)
    bearing = np.linspace(-np.pi, np.pi, 600)
    distance = random.uniform(3.0, 25.0, 600)
    xyz = np.stack([distance * np.cos(bearing), distance * np.sin(bearing), random.normal(-1.0, 0.5, 600)])
    points = np.concatenate([xyz, random.uniform(0, 255, (1, 600))]).T.astype(np.float32)
    fields = [
        {"name": name, "offset": 4 * index, "datatype": 7, "count": 1}
        for index, name in enumerate(("x", "y", "z", "intensity"))
    ]
    return {
        "header": header(stamp_ns, "lidar"),
        "height": 1,
        "width": 600,
        "fields": fields,
        "is_bigendian": False,
        "point_step": 16,
        "row_step": 9600,
        "data": points.tobytes(),
        "is_dense": True,
    }


def imu(stamp_ns: int, seed: int) -> dict[str, Any]:
    """A robot at rest, with noise."""
    wx, wy, wz, ax, ay, az = np.random.default_rng(seed).normal(0.0, 0.01, 6).tolist()
    return {
        "header": header(stamp_ns, "imu"),
        "angular_velocity": {"x": wx, "y": wy, "z": wz},
        "linear_acceleration": {"x": ax, "y": ay, "z": az + 9.81},
    }


def audio(stamp_ns: int, seed: int) -> dict[str, Any]:
    """20 ms of stereo noise at 16 kHz."""
    pcm = np.random.default_rng(seed).integers(-800, 800, 640, dtype=np.int16)
    return {
        "header": header(stamp_ns, "microphones"),
        "sample_rate_hz": 16_000,
        "channels": 2,
        "encoding": "S16LE",
        "data": pcm.tobytes(),
    }


def odometry(
    *,
    seconds: float,
    topic: str = "/odom",
    frame: str = "odom",
    child: str = "base_link",
    start_ns: int = START_NS,
) -> list[Message]:
    """nav_msgs/Odometry at 50 Hz of a robot that goes straight on at 2 m/s."""
    found = []
    for index in range(round(50 * seconds)):
        stamp_ns = start_ns + index * 20 * MS
        fields = {
            "header": header(stamp_ns, frame),
            "child_frame_id": child,
            "pose": {"pose": {"position": {"x": 0.04 * index}, "orientation": {"w": 1.0}}},
            "twist": {"twist": {"linear": {"x": 2.0}}},
        }
        found.append(Message(topic, "nav_msgs/msg/Odometry", stamp_ns + MS, fields))
    return found


_SENSORS = {
    Modality.CAMERA: ("sensor_msgs/msg/CompressedImage", camera),
    Modality.LIDAR: ("sensor_msgs/msg/PointCloud2", lidar),
    Modality.IMU: ("sensor_msgs/msg/Imu", imu),
    Modality.AUDIO: ("sentryfuse/msg/AudioChunk", audio),
}


def transform(
    child: str,
    parent: str,
    translation: tuple[float, float, float] = (0.0, 0.0, 0.0),
    rotation: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 1.0),
    *,
    stamp_ns: int = START_NS,
) -> dict[str, Any]:
    """A geometry_msgs/TransformStamped."""
    return {
        "header": header(stamp_ns, parent),
        "child_frame_id": child,
        "transform": {
            "translation": dict(zip("xyz", translation, strict=True)),
            "rotation": dict(zip("xyzw", rotation, strict=True)),
        },
    }


def transforms(
    *items: Mapping[str, Any],
    topic: str = "/tf_static",
    log_time_ns: int = START_NS,
    type_name: str = "tf2_msgs/msg/TFMessage",
) -> Message:
    """One message of transforms between frames."""
    return Message(topic, type_name, log_time_ns, {"transforms": list(items)})


def drive(sensors: Iterable[Modality], *, seconds: float = 1.0, start_ns: int = START_NS) -> list[Message]:
    """Messages of steady sensors, each received 2 ms after its stamp."""
    found = []
    for modality in sensors:
        type_name, make = _SENSORS[modality]
        for index in range(round(seconds * S / _PERIODS_NS[modality])):
            stamp_ns = start_ns + index * _PERIODS_NS[modality]
            fields = make(stamp_ns, 1000 * modality.bit + index)
            found.append(Message(TOPICS[modality], type_name, stamp_ns + 2 * MS, fields))
    return sorted(found, key=lambda item: (item.log_time_ns, item.topic))


def write(path: Path, messages: Iterable[Message]) -> Path:
    """Record with the project's own writer."""
    with BagWriter(path) as writer:
        for item in messages:
            writer.write(*item)
    return path


def write_as(form: str, folder: Path, messages: Iterable[Message], *, audio_chunks: bool = False) -> Path:
    """Record in one of FORMATS with rosbags itself; returns what to open."""
    folder.mkdir(parents=True, exist_ok=True)
    if form == "bag":
        return _write_ros1(folder / "test.bag", messages)
    plugin = StoragePlugin.SQLITE3 if form.startswith("db3") else StoragePlugin.MCAP
    store = ros2_typestore(audio_chunks=audio_chunks)
    target = folder / "test"
    with Ros2Writer(target, version=9, storage_plugin=plugin) as writer:
        _record(writer, store, store.serialize_cdr, messages)
    return target if form.endswith("folder") else next(target.glob(f"*.{form}"))


def _write_ros1(path: Path, messages: Iterable[Message]) -> Path:
    store = get_typestore(Stores.ROS1_NOETIC)
    transforms_now = dict.fromkeys(["tf2_msgs/msg/TFMessage"], *ROS1_TRANSFORMS.values())
    for name, text in {**AUDIO_COMMON_RAW, **ROS1_TRANSFORMS, **transforms_now}.items():
        store.register(get_types_from_msg(text, name))
    with Ros1Writer(path) as writer:
        _record(writer, store, store.serialize_ros1, messages)
    return path


def _record(writer: Any, store: Typestore, serialize: Any, messages: Iterable[Message]) -> None:
    connections: dict[str, Any] = {}
    for topic, type_name, log_time_ns, fields in messages:
        if topic not in connections:
            connections[topic] = writer.add_connection(topic, type_name, typestore=store)
        data = serialize(build_message(store, type_name, fields), type_name)
        writer.write(connections[topic], log_time_ns, data)


def raw_audio(count: int) -> Iterator[Message]:
    """audio_common_msgs/AudioDataStamped, which rosbags does not know."""
    for index in range(count):
        stamp_ns = START_NS + index * 20 * MS
        fields = {"header": header(stamp_ns, "mic"), "audio": {"data": bytes([index % 256] * 640)}}
        yield Message("/mic", "audio_common_msgs/msg/AudioDataStamped", stamp_ns, fields)
