"""What every message has in common: type, stamp, frame, fingerprint; and messages of every source."""

from __future__ import annotations

import array
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import sensor_msgs.msg
from builders import Header, S, Stamp, chunk_message, cloud_message, image_message, imu_message, message

from sentryfuse_core.config import AudioConfig, CameraConfig, Config, ImuConfig
from sentryfuse_core.convert import SUPPORTED_TYPES, to_sample, type_modality
from sentryfuse_core.convert.fields import fingerprint
from sentryfuse_core.errors import InvalidMessageError
from sentryfuse_core.types import ImageFrame, Modality, PointCloud, Sample


def convert(
    modality: Modality, item: Any, type_name: str, *, config: Any = None, received_ns: int = 9 * S
) -> Sample:
    section = config or Config().sensor(modality)
    return to_sample(
        modality, item, type_name=type_name, config=section, received_ns=received_ns, arrival_ns=7 * S
    )


def imu(item: Any, **options: Any) -> Sample:
    return convert(Modality.IMU, item, "sensor_msgs/msg/Imu", **options)


def reason(call: Any) -> str:
    with pytest.raises(InvalidMessageError) as caught:
        call()
    assert "\n" not in str(caught.value)
    return caught.value.reason


@pytest.mark.parametrize(
    ("sec", "nanosec", "expected"),
    [
        (-1, 0, "negative_stamp"),
        (5, 1_000_000_000, "bad_stamp"),
        (5, -1, "bad_stamp"),
        (0, 0, "zero_stamp"),
        ("5", 0, "wrong_type"),
        (None, 0, "wrong_type"),
    ],
)
def test_to_sample_rejects_when_the_stamp_is_no_time(sec: Any, nanosec: Any, expected: str) -> None:
    item = imu_message()
    item.header = Header(Stamp(sec, nanosec))
    assert reason(lambda: imu(item)) == expected


def test_to_sample_keeps_three_clocks_apart_when_an_offset_is_configured() -> None:
    item = imu_message()
    item.header = Header(Stamp(12, 345), "imu_link")
    plain = imu(item)
    assert (plain.stamp_ns, plain.received_ns, plain.arrival_ns) == (12 * S + 345, 9 * S, 7 * S)
    assert plain.frame_id == "imu_link"
    moved = imu(item, config=ImuConfig(stamp_offset_s=0.25, frame_id="other"))
    assert moved.stamp_ns == plain.stamp_ns - S // 4
    assert moved.frame_id == "other"
    item.header = Header(Stamp(1, 5))
    assert reason(lambda: imu(item, config=ImuConfig(stamp_offset_s=2.0))) == "negative_stamp"
    item.header = Header(Stamp(0, 5))  # never set: it stays what it is
    assert imu(item, config=ImuConfig(stamp_offset_s=-2.0)).stamp_ns == 5


def test_to_sample_names_the_clock_when_it_would_have_to_stamp_audio_and_has_not_begun() -> None:
    def audio(received_ns: int) -> Sample:
        item = SimpleNamespace(
            layout=SimpleNamespace(dim=[], data_offset=0), data=np.tile(np.int16([5, -5]), 80)
        )
        name = "std_msgs/msg/Int16MultiArray"
        return convert(
            Modality.AUDIO, item, name, received_ns=received_ns, config=AudioConfig(latency_s=0.05)
        )

    assert reason(lambda: audio(0)) == "no_clock"
    assert reason(lambda: audio(S // 100)) == "no_clock"  # a simulation that counts from 0
    assert audio(S // 10).stamp_ns == S // 20


def test_to_sample_rejects_when_the_type_belongs_to_another_sensor() -> None:
    assert reason(lambda: convert(Modality.CAMERA, imu_message(), "sensor_msgs/msg/Imu")) == "wrong_type"
    assert reason(lambda: convert(Modality.CAMERA, imu_message(), "std_msgs/msg/String")) == "wrong_type"
    assert reason(lambda: convert(Modality.AUDIO, message(), "foo/msg/Sound")) == "unknown_audio_type"
    assert reason(lambda: imu(SimpleNamespace())) == "wrong_type"


def test_type_modality_knows_both_spellings_when_asked() -> None:
    assert type_modality("sensor_msgs/Image") is Modality.CAMERA
    assert type_modality("sensor_msgs/msg/PointCloud2") is Modality.LIDAR
    assert type_modality("audio_common_msgs/AudioStamped") is Modality.AUDIO
    assert type_modality("std_msgs/msg/String") is None
    assert type_modality("") is None
    assert set(SUPPORTED_TYPES.values()) == set(Modality)


@pytest.mark.parametrize(
    "keep", [lambda b: array.array("B", b), bytes, bytearray, lambda b: np.frombuffer(b, np.uint8)]
)
def test_to_sample_shares_the_message_memory_when_it_is_a_buffer(keep: Any) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 255, (4, 18), dtype=np.uint8)
    image = image_message("rgb8", pixels, width=6)
    cloud = cloud_message({name: rng.normal(size=5).astype(np.float32) for name in "xyz"})
    chunk = chunk_message(rng.integers(-99, 99, (8, 2), dtype=np.int16))
    for modality, item, type_name in (
        (Modality.CAMERA, image, "sensor_msgs/msg/Image"),
        (Modality.LIDAR, cloud, "sensor_msgs/msg/PointCloud2"),
        (Modality.AUDIO, chunk, "sentryfuse/msg/AudioChunk"),
    ):
        item.data = keep(item.data.tobytes())
        payload = convert(modality, item, type_name).payload
        view = payload.data if isinstance(payload, (ImageFrame, PointCloud)) else payload.pcm  # type: ignore[union-attr]
        assert np.shares_memory(view, np.frombuffer(item.data, np.uint8))


def test_to_sample_reads_lists_when_a_message_has_no_buffer() -> None:
    pixels = np.arange(36, dtype=np.uint8).reshape(4, 9)
    item = image_message("rgb8", pixels, width=3)
    item.data = item.data.tolist()
    sample = convert(Modality.CAMERA, item, "sensor_msgs/msg/Image")
    assert isinstance(sample.payload, ImageFrame)
    assert sample.payload.data.tolist() == list(range(36))
    item.data = [1, 2, 300]
    assert reason(lambda: convert(Modality.CAMERA, item, "sensor_msgs/msg/Image")) == "wrong_type"


CONTENTS: list[tuple[Modality, str, Callable[[int], Any]]] = [
    (Modality.CAMERA, "Image", lambda n: image_message("mono8", np.uint8([[n, 2]]), width=2)),
    (Modality.LIDAR, "PointCloud2", lambda n: cloud_message({axis: np.float32([n, 2]) for axis in "xyz"})),
    (Modality.IMU, "Imu", lambda n: imu_message(gyro=[float(n), 0.0, 0.0])),
    (Modality.IMU, "Imu", lambda n: imu_message(accel=[0.0, 0.0, float(n)])),
]


@pytest.mark.parametrize(("modality", "name", "make"), CONTENTS)
def test_sample_has_another_fingerprint_when_its_content_is_another_and_only_then(
    modality: Modality, name: str, make: Callable[[int], Any]
) -> None:
    kind = f"sensor_msgs/msg/{name}"
    one, same, other = (convert(modality, make(number), kind).fingerprint for number in (1, 1, 9))
    assert one == same
    assert one != other


def test_audio_has_another_fingerprint_when_its_samples_are_others_and_only_then() -> None:
    kind = "sentryfuse/msg/AudioChunk"
    blocks = (chunk_message(np.int16([[number, 2]])) for number in (1, 1, 9))
    one, same, other = (convert(Modality.AUDIO, block, kind).fingerprint for block in blocks)
    assert one == same
    assert one != other


@pytest.mark.parametrize("shape", [(2160, 3840, 3), (1080, 1920, 3), (131_072, 16), (600_001,), (5000,)])
def test_fingerprint_changes_when_any_byte_does_and_only_then(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    scene = np.zeros(shape, np.uint8)
    found, flat = fingerprint(scene), scene.reshape(-1)
    places = [0, flat.size - 1, *rng.integers(0, flat.size, 30)]
    for place in places:
        flat[place] ^= 1
        assert fingerprint(scene) != found, place
        flat[place] ^= 1
    assert fingerprint(scene) == found


def test_fingerprint_changes_when_a_thing_moves_through_a_picture_without_noise() -> None:
    """As in a simulator: the same bytes, elsewhere."""
    found = set()
    for step in range(64):
        scene = np.zeros((1080, 1920, 3), np.uint8)
        scene[100 + step : 200 + step, 8 * step : 8 * step + 80] = 200
        found.add(fingerprint(scene))
    assert len(found) == 64


def test_fingerprint_is_the_same_when_the_bytes_lie_elsewhere_in_memory() -> None:
    scene = np.random.default_rng(0).integers(0, 255, 500_000, dtype=np.uint8)
    shifted = np.frombuffer(b"x" + scene.tobytes(), np.uint8)[1:]
    assert fingerprint(shifted) == fingerprint(scene)


def test_audio_is_stamped_by_arrival_when_its_message_has_no_header() -> None:
    item = SimpleNamespace(data=np.zeros(64, np.uint8))
    sample = convert(
        Modality.AUDIO,
        item,
        "audio_common_msgs/msg/AudioData",
        config=AudioConfig(latency_s=0.1, frame_id="mics"),
    )
    assert sample.stamp_ns == 9 * S - S // 10
    assert not sample.payload.stamped  # type: ignore[union-attr]
    assert sample.frame_id == "mics"


def test_to_sample_reads_the_messages_that_rclpy_delivers() -> None:
    image = sensor_msgs.msg.Image(height=2, width=3, encoding="bgr8", step=9)
    image.data = array.array("B", range(18))
    image.header.stamp.sec = 4
    sample = convert(Modality.CAMERA, image, "sensor_msgs/msg/Image", config=CameraConfig())
    assert sample.stamp_ns == 4 * S
    assert np.shares_memory(sample.payload.data, np.frombuffer(image.data, np.uint8))  # type: ignore[union-attr]
    reading = sensor_msgs.msg.Imu()
    reading.header.stamp.sec = 4
    reading.angular_velocity.z = 0.5
    assert imu(reading).payload.angular_velocity[2] == 0.5  # type: ignore[union-attr, index]
