"""Each way a message's structure can be wrong has its own reason code."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from builders import chunk_message, cloud_message, image_message, imu_message, message

from sentryfuse_core.config import AudioConfig, CameraConfig
from sentryfuse_core.convert import camera_info, informed, is_rectified
from sentryfuse_core.convert.audio import audio_block
from sentryfuse_core.convert.cloud import point_cloud
from sentryfuse_core.convert.image import compressed_frame, image_frame
from sentryfuse_core.convert.imu import imu_reading
from sentryfuse_core.errors import InvalidMessageError
from sentryfuse_core.preprocess import lidar
from sentryfuse_core.preprocess.camera import decode

PIXELS = np.arange(48, dtype=np.uint8).reshape(4, 12)
XYZ = {name: np.ones(6, np.float32) for name in "xyz"}


def reason(call: Any, *arguments: Any, **options: Any) -> str:
    with pytest.raises(InvalidMessageError) as caught:
        call(*arguments, **options)
    return caught.value.reason


def test_image_frame_accepts_when_the_last_row_lacks_its_padding() -> None:
    item = image_message("rgb8", PIXELS, width=4, padding=5)
    item.data = item.data[:-5]
    assert image_frame(item).step == 17
    item.data = item.data[:-1]
    assert reason(image_frame, item) == "truncated"


@pytest.mark.parametrize("step", [0, 4, 11, 13, 48, 2**32 - 1])  # 4: pixels instead of bytes; 48: all of them
def test_image_rows_lie_dense_when_the_step_contradicts_the_data(step: int) -> None:
    frame = image_frame(image_message("rgb8", PIXELS, width=4, step=step))
    assert frame.step == 12
    np.testing.assert_array_equal(decode(frame).reshape(4, 12), PIXELS)


def test_image_keeps_its_padding_when_step_and_data_agree() -> None:
    frame = image_frame(image_message("rgb8", PIXELS, width=4, padding=4, data=bytes(16 * 4 + 100)))
    assert frame.step == 16  # what lies behind the last row is not looked at


def test_the_field_that_contradicts_the_data_is_named_when_the_message_is_refused() -> None:
    with pytest.raises(InvalidMessageError, match=r"step 4 and the data agree") as caught:
        image_frame(image_message("rgb8", np.zeros((4, 4), np.uint8), width=4))  # mono8 by its size
    assert "in rgb8" in caught.value.detail
    with pytest.raises(InvalidMessageError, match=r"unknown_encoding: .*depth or confidence"):
        image_frame(image_message("32FC1", np.zeros((2, 8), np.uint8), width=2))
    with pytest.raises(InvalidMessageError, match=r"point_step 24; row_step 72 and the data agree"):
        point_cloud(cloud_message(XYZ, point_step=24))
    with pytest.raises(InvalidMessageError, match="point_step is 11"):
        point_cloud(cloud_message(XYZ, point_step=11))
    with pytest.raises(InvalidMessageError, match="height 0"):
        point_cloud(cloud_message(XYZ, height=0))
    with pytest.raises(InvalidMessageError, match="row_step 35"):
        point_cloud(cloud_message(XYZ, height=2, width=2, point_step=18, row_step=35, data=bytes(73)))


@pytest.mark.parametrize("row_step", [0, 2, 24, 36, 37, 72, 2**32 - 1])
def test_cloud_rows_lie_dense_when_row_step_contradicts_the_data(row_step: int) -> None:
    columns = {
        name: np.arange(1, 7, dtype=np.float32) * scale for name, scale in zip("xyz", (1, 2, 3), strict=True)
    }
    cloud = point_cloud(cloud_message(columns, height=2, width=3, row_step=row_step))
    points = lidar.decode(cloud, intensity_full_scale=1.0)
    np.testing.assert_array_equal(points[:3], list(columns.values()))


def test_cloud_keeps_its_padding_when_row_step_and_data_agree() -> None:
    item = cloud_message(XYZ, height=2, width=3, row_step=40)
    item.data = np.concatenate([item.data[:36], np.full(4, 77, np.uint8), item.data[36:]])
    cloud = point_cloud(item)
    assert cloud.row_step == 40
    assert point_cloud(cloud_message(XYZ, row_step=0)).row_step == 72  # of one row it says nothing
    assert (lidar.decode(cloud, intensity_full_scale=1.0)[:3] == 1.0).all()


def test_cloud_is_read_when_fields_that_say_nothing_are_wrong() -> None:
    item = cloud_message(XYZ | {"intensity": np.ones(6, np.uint8)}, is_dense=True)
    item.fields += [SimpleNamespace(name="x", offset=0, datatype=7, count=0)]  # the same once more
    for declared in item.fields:
        declared.count = 0  # as old drivers leave it
    assert len(point_cloud(item).fields) == 4


@pytest.mark.parametrize(
    ("index", "changes", "expected"),
    [
        (1, {"offset": 3}, "overlapping_fields"),
        (1, {"name": "x"}, "overlapping_fields"),
        (2, {"offset": -4}, "field_outside_point"),
        (2, {"offset": 9}, "field_outside_point"),
        (2, {"datatype": 8}, "field_outside_point"),
        (0, {"datatype": 99}, "bad_field_type"),
        (0, {"datatype": 4}, "bad_field_type"),
        (0, {"name": "X"}, "no_xyz_fields"),
        (0, {"name": None}, "wrong_type"),
    ],
)
def test_point_cloud_rejects_when_a_field_is_wrong(
    index: int, changes: dict[str, Any], expected: str
) -> None:
    item = cloud_message(XYZ)
    vars(item.fields[index]).update(changes)
    assert reason(point_cloud, item) == expected


def test_imu_reading_has_no_field_when_its_covariance_says_so() -> None:
    absent = np.array([-1.0] + [0.0] * 8)
    reading = imu_reading(imu_message(accel=(np.nan,) * 3, linear_acceleration_covariance=absent))
    assert reading.linear_acceleration is None
    np.testing.assert_allclose(reading.angular_velocity, (0.1, -0.2, 0.3))
    assert (
        imu_reading(imu_message(angular_velocity_covariance=np.full(9, np.nan))).angular_velocity is not None
    )
    both = imu_message(linear_acceleration_covariance=absent, angular_velocity_covariance=absent)
    assert reason(imu_reading, both) == "empty"


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_imu_reading_rejects_when_a_value_is_not_finite(bad: float) -> None:
    assert reason(imu_reading, imu_message(gyro=(0.0, bad, 0.0))) == "non_finite"
    assert reason(imu_reading, imu_message(accel=(0.0, 0.0, bad))) == "non_finite"


CHUNK = "sentryfuse/msg/AudioChunk"
PCM = np.arange(-8, 8, dtype=np.int16).reshape(8, 2)


def noise(head: bytes, size: int = 836) -> bytes:
    return head + np.random.default_rng(0).bytes(size - len(head))


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (noise(b"\xff\xfb\x90\x64"), "MP3"),
        (noise(b"\xff\xf3\x84\xc4"), "MP3"),
        (noise(b"ID3\3\0\0"), "MP3"),
        (noise(b"\xff\xf1\x50\x80"), "AAC"),
        (noise(b"OggS\0\2"), "Ogg"),
        (noise(b"fLaC"), "FLAC"),
        (noise(b"RIFF\x24\x08\0\0WAVEfmt "), "wave file"),
    ],
)
def test_audio_block_names_what_is_no_pcm(data: bytes, told: str) -> None:
    name = "audio_common_msgs/msg/AudioData"
    with pytest.raises(InvalidMessageError, match=told) as caught:
        audio_block(SimpleNamespace(data=data), type_name=name, config=AudioConfig())
    assert caught.value.reason == "unknown_audio_encoding"
    assert "audio.sample_rate_hz" in caught.value.detail


def test_audio_block_takes_pcm_that_begins_like_mp3_by_chance() -> None:
    pcm = np.random.default_rng(0).normal(0.0, 3000.0, 640).astype("<i2").tobytes()
    item = SimpleNamespace(data=b"\xff\xfb\x90\x64" + pcm[4:])
    block = audio_block(item, type_name="audio_common_msgs/msg/AudioData", config=AudioConfig())
    assert block.pcm.tobytes() == item.data


def audio_info(**fields: Any) -> SimpleNamespace:
    values = {"channels": 1, "sample_rate": 44_100, "sample_format": "S16LE", "coding_format": "wave"}
    return SimpleNamespace(**{**values, **fields})


def test_audio_info_replaces_what_the_parameters_say() -> None:
    found = informed(AudioConfig(), audio_info())
    assert (found.sample_rate_hz, found.channels, found.encoding) == (44_100, 1, "S16LE")
    assert informed(AudioConfig(), audio_info(sample_format="F32")).encoding == "F32LE"
    silent = informed(AudioConfig(channels=4), audio_info(channels=0, sample_rate=0, sample_format=""))
    assert (silent.sample_rate_hz, silent.channels, silent.encoding) == (16_000, 4, "S16LE")


@pytest.mark.parametrize("changes", [{"coding_format": "mp3"}, {"sample_format": "S24LE"}])
def test_blocks_are_refused_by_name_when_audio_info_says_they_are_coded(changes: dict[str, str]) -> None:
    config, item = informed(AudioConfig(), audio_info(**changes)), SimpleNamespace(data=bytes(640))
    with pytest.raises(InvalidMessageError, match="|".join(changes.values())):
        audio_block(item, type_name="audio_common_msgs/msg/AudioData", config=config)


def typed(**arrays: Any) -> SimpleNamespace:
    """AudioData of the family with typed arrays."""
    empty = {f"{kind}_data": [] for kind in ("float32", "int32", "int16", "int8", "uint8")}
    return SimpleNamespace(**{**empty, **arrays})


INFO = SimpleNamespace(format=8, channels=2, rate=48_000, chunk=8)


@pytest.mark.parametrize(
    ("type_name", "item"),
    [
        (CHUNK, chunk_message(PCM, rate_hz=48_000)),
        ("audio_common_msgs/msg/AudioData", SimpleNamespace(data=PCM.tobytes())),
        ("audio_common_msgs/msg/AudioDataStamped", message(audio=SimpleNamespace(data=PCM.tobytes()))),
        ("audio_common_msgs/msg/AudioData", typed(int16_data=PCM.reshape(-1))),
        (
            "audio_common_msgs/msg/AudioStamped",
            message(audio=SimpleNamespace(audio_data=typed(int16_data=PCM.reshape(-1).tolist()), info=INFO)),
        ),
        ("audio_common_msgs/msg/Audio", SimpleNamespace(audio=typed(int16_data=PCM.reshape(-1)), info=INFO)),
        (
            "std_msgs/msg/Int16MultiArray",
            SimpleNamespace(data=PCM.reshape(-1), layout=SimpleNamespace(dim=[], data_offset=0)),
        ),
        (
            "std_msgs/msg/Int16MultiArray",
            SimpleNamespace(
                data=np.append([0], PCM.T.reshape(-1)).astype(np.int16),
                layout=SimpleNamespace(
                    dim=[SimpleNamespace(label="channels", size=2), SimpleNamespace(label="samples", size=8)],
                    data_offset=1,
                ),
            ),
        ),
    ],
)
def test_audio_block_holds_the_same_sound_when_the_family_differs(type_name: str, item: Any) -> None:
    config = AudioConfig(sample_rate_hz=48_000, channels=2)
    block = audio_block(item, type_name=type_name, config=config)
    np.testing.assert_array_equal(block.pcm, PCM)
    assert block.sample_rate_hz == 48_000
    assert block.stamped == hasattr(item, "header")


def test_audio_block_follows_the_format_when_several_arrays_are_filled() -> None:
    name = "audio_common_msgs/msg/AudioStamped"
    data = typed(int16_data=[1, 2], float32_data=[0.5, -0.5])
    item = message(
        audio=SimpleNamespace(audio_data=data, info=SimpleNamespace(format=1, channels=1, rate=8000, chunk=2))
    )
    assert audio_block(item, type_name=name, config=AudioConfig()).pcm.dtype == np.float32
    item.audio.info.format = 32
    assert reason(audio_block, item, type_name=name, config=AudioConfig()) == "unknown_audio_encoding"
    item.audio.audio_data = typed()
    assert reason(audio_block, item, type_name=name, config=AudioConfig()) == "empty"
    assert reason(audio_block, item, type_name="x/msg/Y", config=AudioConfig()) == "unknown_audio_type"


def info_message(**fields: Any) -> SimpleNamespace:
    values: dict[str, Any] = {
        "width": 640,
        "height": 480,
        "distortion_model": "plumb_bob",
        "k": np.array([500.0, 0.0, 320.0, 0.0, 510.0, 240.0, 0.0, 0.0, 1.0]),
        "d": [0.0] * 5,
        "roi": SimpleNamespace(x_offset=0, y_offset=0, width=0, height=0),
    }
    return message(**{**values, **fields})


def test_camera_info_becomes_intrinsics_when_calibrated() -> None:
    plain = camera_info(info_message())
    assert (plain.fx, plain.fy, plain.cx, plain.cy, plain.distortion) == (500.0, 510.0, 320.0, 240.0, ())
    part = camera_info(info_message(roi=SimpleNamespace(x_offset=100, y_offset=40, width=200, height=300)))
    assert (part.width, part.height, part.cx, part.cy) == (200, 300, 220.0, 200.0)
    assert camera_info(info_message(d=[0.1, 0.0, 0.0, 0.0, 0.0])).distortion == (0.1, 0.0, 0.0, 0.0, 0.0)
    for count in (0, 3, 4, 5):  # nothing is distorted, whatever the model is called
        none = info_message(distortion_model="Inverse Brown Conrady", d=[0.0] * count)
        assert camera_info(none).distortion == ()


P = np.array([400.0, 0.0, 310.0, 0.0, 0.0, 405.0, 230.0, 0.0, 0.0, 0.0, 1.0, 0.0])
D = [-0.35, 0.12, 0.0, 0.0, 0.0]


@pytest.mark.parametrize("model", ["plumb_bob", "equidistant", "whatever"])
def test_camera_info_gives_p_without_distortion_when_the_picture_is_rectified(model: str) -> None:
    found = camera_info(info_message(distortion_model=model, d=D, p=P), rectified=True)
    assert (found.fx, found.fy, found.cx, found.cy) == (400.0, 405.0, 310.0, 230.0)
    assert found.distortion == ()
    still = camera_info(info_message(p=np.zeros(12)), rectified=True)  # without distortion K and P are one
    assert (still.fx, still.cx) == (500.0, 320.0)
    assert reason(camera_info, info_message(d=D, p=np.zeros(12)), rectified=True) == "not_calibrated"
    assert camera_info(info_message(d=D, p=P)).fx == 500.0


@pytest.mark.parametrize(
    ("topic", "expected"),
    [
        ("/camera/image_rect_color", True),
        ("/cam/image_rect/compressed", True),
        ("/left/rectified", True),
        ("/zed/left/image_rect_color", True),
        ("/cam0/image_undist", True),
        ("/image_undistort/out", True),
        ("/stereo/rectify/left", True),
        ("/camera/image_raw", False),
        ("/direct/image", False),
        ("/camera/unrectified/image", False),
    ],
)
def test_a_topic_is_rectified_when_its_name_says_so_or_the_parameter_does(topic: str, expected: bool) -> None:
    assert is_rectified(CameraConfig(), topic) is expected
    assert is_rectified(CameraConfig(rectified="always"), topic)
    assert not is_rectified(CameraConfig(rectified="never"), topic)


@pytest.mark.parametrize(
    "model", ["", "plumb_bob", "Plumb Bob", "plumb-bob", "radtan", "rational_polynomial"]
)
@pytest.mark.parametrize("count", [4, 5, 8, 12, 14])
def test_camera_info_takes_a_pinhole_however_it_is_spelt(model: str, count: int) -> None:
    assert len(camera_info(info_message(distortion_model=model, d=[0.1] * count)).distortion) == count


@pytest.mark.parametrize("model", ["equidistant", "fisheye", "Kannala-Brandt4"])
def test_camera_info_takes_a_fisheye_lens_when_it_has_four_coefficients(model: str) -> None:
    found = camera_info(info_message(distortion_model=model, d=[0.1, 0.2, 0.3, 0.4]))
    assert found.fisheye
    assert found.distortion == (0.1, 0.2, 0.3, 0.4)
    assert not camera_info(info_message(d=[0.1] * 4)).fisheye
    assert camera_info(info_message(distortion_model=model, d=[0.0] * 4)).fisheye  # equidistant to the letter
    rectified = info_message(distortion_model=model, d=[0.0] * 4, p=np.zeros(12))
    assert not camera_info(rectified, rectified=True).fisheye
    with pytest.raises(InvalidMessageError, match=r"rectified image .* camera\.rectified") as caught:
        camera_info(info_message(distortion_model=model, d=[0.1] * 8))
    assert caught.value.reason == "unknown_distortion"


REFUSED: dict[str, list[tuple[dict[str, Any], str]]] = {
    "image": [
        ({"encoding": "rgb12"}, "unknown_encoding"),
        ({"encoding": 7}, "wrong_type"),
        ({"step": 11, "data": bytes(60)}, "step_too_small"),  # rows of 15 bytes, or 12 and something behind
        ({"step": 0, "data": bytes(60)}, "step_too_small"),
        ({"step": 13, "data": bytes(47)}, "truncated"),
        ({"step": 17, "data": bytes(60)}, "truncated"),
        ({"step": 4, "data": bytes(16)}, "truncated"),  # a mono picture that is called rgb8
        ({"height": 5}, "truncated"),
        ({"height": 0}, "empty"),
        ({"width": 0}, "empty"),
        ({"data": b""}, "empty"),
        ({"height": -1}, "bad_size"),
        ({"encoding": "yuyv", "width": 3}, "bad_size"),
        ({"data": "text"}, "wrong_type"),
        ({"data": [300] * 48}, "wrong_type"),  # NumPy 1 would take it for 44
        ({"data": [-1] * 48}, "wrong_type"),
        ({"data": np.zeros(48, np.float64)}, "wrong_type"),
        ({"width": 2.5}, "wrong_type"),
    ],
    "file": [({"data": b""}, "empty"), ({"data": b"\xff\xd8" + bytes(150)}, "truncated")],
    "cloud": [
        ({"fields": []}, "no_xyz_fields"),
        ({"fields": None}, "wrong_type"),
        ({"point_step": 11}, "field_outside_point"),
        ({"point_step": -12}, "bad_size"),
        ({"width": 7}, "truncated"),
        ({"width": 0}, "empty"),
        ({"height": 0}, "empty"),
        ({"data": b""}, "empty"),
        ({"height": 2, "width": 2, "row_step": 23}, "step_too_small"),  # 72 bytes for two rows of 24
        ({"height": 2, "width": 2, "row_step": 70}, "truncated"),
    ],
    "chunk": [
        ({"encoding": "MP3"}, "unknown_audio_encoding"),
        ({"sample_rate_hz": 0}, "bad_rate"),
        ({"channels": 0}, "bad_size"),
        ({"channels": 3}, "truncated"),
        ({"data": b"\1\2\3"}, "truncated"),
        ({"data": b""}, "empty"),
        ({"data": np.array([np.nan, 0.0], np.float32).tobytes(), "encoding": "F32LE"}, "non_finite"),
    ],
    "camera info": [
        ({"k": np.zeros(9)}, "not_calibrated"),
        ({"k": np.zeros(8)}, "wrong_type"),
        ({"k": np.full(9, np.nan)}, "non_finite"),
        ({"width": 0}, "bad_size"),
        ({"distortion_model": "equidistant", "d": [0.1] * 5}, "unknown_distortion"),
        ({"d": [0.1] * 3}, "unknown_distortion"),
    ],
}


@pytest.mark.parametrize(
    ("kind", "changes", "expected"), [(kind, *row) for kind, rows in REFUSED.items() for row in rows]
)
def test_message_is_refused_with_its_reason_when_its_structure_is_wrong(
    kind: str, changes: dict[str, Any], expected: str
) -> None:
    item, read = {
        "image": (image_message("rgb8", PIXELS, width=4), image_frame),
        "file": (message(format="jpeg"), compressed_frame),
        "cloud": (cloud_message(XYZ), point_cloud),
        "chunk": (chunk_message(PCM), partial(audio_block, type_name=CHUNK, config=AudioConfig())),
        "camera info": (info_message(), camera_info),
    }[kind]
    vars(item).update(changes)
    assert reason(read, item) == expected
