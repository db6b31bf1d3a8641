"""Sound messages of every supported type, and damage done to them."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
from builders import Header, Stamp, chunk_message, cloud_message, image_message, imu_message, message

from sentryfuse_core.types import Modality

RNG = np.random.default_rng(0)
JPEG = cv2.imencode(".jpg", RNG.integers(0, 255, (24, 32, 3), dtype=np.uint8))[1].reshape(-1)
PNG = cv2.imencode(".png", RNG.integers(0, 255, (24, 32, 3), dtype=np.uint8))[1].reshape(-1)
PCM = RNG.integers(-999, 999, (320, 2), dtype=np.int16)


def image() -> SimpleNamespace:
    return image_message("rgb8", RNG.integers(0, 255, (8, 36), dtype=np.uint8), width=12)


def cloud() -> SimpleNamespace:
    columns = {name: RNG.normal(5.0, 3.0, 20).astype(np.float32) for name in ("x", "y", "z", "intensity")}
    return cloud_message(columns)


def typed_audio() -> SimpleNamespace:
    data = SimpleNamespace(
        float32_data=[], int32_data=[], int16_data=PCM.reshape(-1), int8_data=[], uint8_data=[]
    )
    info = SimpleNamespace(format=8, channels=2, rate=16_000, chunk=320)
    return message(audio=SimpleNamespace(audio_data=data, info=info))


def multi_array() -> SimpleNamespace:
    dimension = SimpleNamespace(label="channels", size=2, stride=1)
    return SimpleNamespace(data=PCM.reshape(-1), layout=SimpleNamespace(dim=[dimension], data_offset=0))


SOUND: dict[str, Callable[[], SimpleNamespace]] = {
    "sensor_msgs/msg/Image": image,
    "sensor_msgs/msg/CompressedImage": lambda: message(format="jpeg", data=JPEG),
    "sensor_msgs/CompressedImage": lambda: message(format="png", data=PNG),
    "sensor_msgs/msg/PointCloud2": cloud,
    "sensor_msgs/msg/Imu": imu_message,
    "sentryfuse/msg/AudioChunk": lambda: chunk_message(PCM),
    "audio_common_msgs/msg/AudioData": lambda: SimpleNamespace(data=PCM.tobytes()),
    "audio_common_msgs/msg/Audio": lambda: typed_audio().audio,
    "audio_common_msgs/msg/AudioDataStamped": lambda: message(audio=SimpleNamespace(data=PCM.tobytes())),
    "audio_common_msgs/msg/AudioStamped": typed_audio,
    "std_msgs/msg/Int16MultiArray": multi_array,
}
SENSOR = {
    "Image": Modality.CAMERA,
    "CompressedImage": Modality.CAMERA,
    "PointCloud2": Modality.LIDAR,
    "Imu": Modality.IMU,
}

JUNK: tuple[Any, ...] = (
    *(0, 1, -1, 2, 3, 7, 40, 255, 256, 2**15, 2**31 - 1, 2**31, 2**32 - 1, 2**63, -(2**63), 2**70),
    *(0.0, -0.0, 0.5, 1e-300, 3.4e38, 1e300, math.nan, math.inf, -math.inf),
    *(None, True, (), [], {}, "", "x", "y", "rgb8", "bayer_rggb16", "mono16", "yuv422", "\0\n", object()),
    *(b"", b"\1\2\3", b"\xff\xd8\xff\xd9", bytes(48), b"\x89PNG" + bytes(40) + b"IEND"),
    *([1, 300, -5], [math.nan] * 9, [0.5, 0.25], ["a", None], [[1, 2], [3]], [2**40] * 4, [-1] + [0] * 8),
    *(np.zeros(9), np.full(9, np.nan), np.full(640, 3e38, np.float32), np.zeros((2, 3), np.uint8)),
    *(np.array("x"), np.array(3), np.arange(9)[::2], np.zeros(0)),
)


def places(value: Any, depth: int = 0) -> list[tuple[Any, str]]:
    """Every (owner, attribute) of a nested message."""
    found: list[tuple[Any, str]] = []
    if isinstance(value, (SimpleNamespace, Header, Stamp)):
        for name, item in vars(value).items():
            found.append((value, name))
            found.extend(places(item, depth + 1))
    elif isinstance(value, list) and depth < 4:
        for item in value[:4]:
            found.extend(places(item, depth + 1))
    return found


def damage(item: SimpleNamespace, seed: int) -> None:
    """Change up to three things of a sound message in place."""
    rng = random.Random(seed)  # noqa: S311 - damages test data
    for _ in range(rng.randint(1, 3)):
        owner, name = rng.choice(places(item) or [(item, "extra")])
        if name == "extra":
            break  # nothing left to damage
        value = getattr(owner, name)
        kind = rng.choice(["junk", "junk", "delete", "cut", "flip"])
        if kind == "delete":
            delattr(owner, name)
        elif kind != "junk" and isinstance(value, (np.ndarray, bytes)) and np.size(value) > 1:
            raw = bytearray(value if isinstance(value, bytes) else value.tobytes())
            place = rng.randrange(len(raw))
            raw[place : place + 4] = b"" if kind == "cut" else rng.randbytes(len(raw[place : place + 4]))
            setattr(owner, name, bytes(raw[:place] if rng.random() < 0.3 else raw))
        else:
            setattr(owner, name, rng.choice(JUNK))
