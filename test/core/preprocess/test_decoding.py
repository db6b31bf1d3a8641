"""Clouds, IMU windows and audio blocks of any layout become the same numbers."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
import pytest
from builders import MS, S, cloud_message, sample
from hypothesis import given, settings
from hypothesis import strategies as st

from sentryfuse_core.convert.cloud import point_cloud
from sentryfuse_core.errors import InvalidMessageError
from sentryfuse_core.preprocess import audio, imu, lidar, motion
from sentryfuse_core.preprocess.content import audio_stats, cloud_stats, image_stats
from sentryfuse_core.types import AudioBlock, ImuReading, Modality, Pose, Sample

LEVEL = Pose((0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0))


@settings(max_examples=100, deadline=None)
@given(
    order=st.permutations(["x", "y", "z", "intensity", "ring"]),
    coordinate=st.sampled_from(["f4", "f8"]),
    strength=st.sampled_from(["u1", "u2", "i4", "f4", "f8"]),
    endian=st.sampled_from("<>"),
    gap=st.integers(0, 5),
    rows=st.sampled_from([1, 2, 4]),
    padding=st.integers(0, 9),
    seed=st.integers(0, 2**32 - 1),
)
def test_cloud_decodes_the_same_when_its_layout_differs(
    order: list[str],
    coordinate: str,
    strength: str,
    endian: str,
    gap: int,
    rows: int,
    padding: int,
    seed: int,
) -> None:
    rng = np.random.default_rng(seed)
    expected = np.concatenate([rng.normal(0, 20, (3, 8)), rng.integers(0, 101, (1, 8))]).astype(np.float32)
    columns: dict[str, Any] = {name: expected[index].astype(coordinate) for index, name in enumerate("xyz")}
    columns["intensity"] = expected[3].astype(strength)
    columns["ring"] = np.arange(8, dtype=np.uint16)
    item = cloud_message({name: columns[name] for name in order}, order=endian, gap=gap)
    row_bytes = 8 // rows * item.point_step
    padded = np.pad(item.data.reshape(rows, row_bytes), ((0, 0), (0, padding)), constant_values=255)
    item.height, item.width, item.row_step = rows, 8 // rows, row_bytes + padding
    item.data = padded.reshape(-1)
    points = lidar.decode(point_cloud(item), intensity_full_scale=100.0)
    np.testing.assert_allclose(points[:3], expected[:3], rtol=1e-6)
    np.testing.assert_allclose(points[3], expected[3] / 100.0, rtol=1e-6)


def test_cloud_decode_leaves_out_what_is_no_return() -> None:
    x = np.array([1.0, np.nan, 3.0, 0.0, np.inf, 1e300, 7.0])
    columns = {
        "x": x,
        "y": np.zeros(7),
        "z": np.zeros(7),
        "reflectivity": np.array([1, 1, np.nan, 1, 1, 1, np.inf]),
    }
    points = lidar.decode(point_cloud(cloud_message(columns)), intensity_full_scale=1.0)
    np.testing.assert_array_equal(points[0], [1.0, 3.0, 7.0])
    np.testing.assert_array_equal(points[3], [1.0, 0.0, 1.0])
    columns["x"] = np.full(7, np.nan)
    with pytest.raises(InvalidMessageError, match="none of 7 points is a return: x never finite") as caught:
        lidar.decode(point_cloud(cloud_message(columns)), intensity_full_scale=1.0)
    assert caught.value.reason == "no_finite_points"


def test_move_equals_the_matrix_product_when_turned_and_shifted() -> None:
    rng = np.random.default_rng(0)
    points = rng.normal(0, 10, (4, 50)).astype(np.float32)
    rotation, shift = cv2.Rodrigues(np.array([0.2, -0.5, 1.0]))[0], np.array([1.0, -2.0, 0.5])
    moved = lidar.move(points, rotation, shift)
    assert moved.shape == (1, 50, 4)
    np.testing.assert_allclose(moved[0, :, :3], points[:3].T @ rotation.T + shift, atol=1e-4)
    np.testing.assert_array_equal(moved[0, :, 3], points[3])


def gyro(stamp_ns: int, rate: Any, accel: Any = (0.0, 0.0, 9.81)) -> Sample:
    reading = ImuReading(
        None if rate is None else np.array(rate, float), None if accel is None else np.array(accel, float)
    )
    return sample(Modality.IMU, stamp_ns, payload=reading)


def test_turned_is_exact_when_the_rate_is_constant() -> None:
    samples = [gyro(S + 5 * MS * index, (0.0, 0.0, 2.0)) for index in range(21)]
    for from_ns, to_ns in (
        (S, S + 100 * MS),
        (S + 100 * MS, S),
        (S + 3 * MS, S + 61 * MS),
        (S + 90 * MS, S + 120 * MS),
    ):
        rotation = motion.turned(samples, LEVEL, from_ns=from_ns, to_ns=to_ns)
        angle = 2.0 * (to_ns - from_ns) / S
        # A robot that turns left sees what was ahead move to its right.
        ahead = rotation @ np.array([1.0, 0.0, 0.0])
        np.testing.assert_allclose(ahead, [math.cos(angle), -math.sin(angle), 0.0], atol=1e-9)


def test_turned_integrates_when_the_rate_changes_and_the_imu_is_mounted_turned() -> None:
    # Rate about base z grows from 0 to 4 rad/s in 0.1 s; the sensor's x axis points up.
    samples = [gyro(S + 10 * MS * index, (0.4 * index, 0.0, 0.0)) for index in range(11)]
    upright = Pose((0.0, 0.0, 0.0), (0.0, -math.sqrt(0.5), 0.0, math.sqrt(0.5)))
    np.testing.assert_allclose(motion.pose_rotation(upright) @ [1.0, 0.0, 0.0], [0.0, 0.0, 1.0], atol=1e-12)
    rotation = motion.turned(samples, upright, from_ns=S + 50 * MS, to_ns=S + 100 * MS)
    assert motion.angle_rad(rotation) == pytest.approx(0.15)
    assert rotation[0, 1] == pytest.approx(math.sin(0.15))


def test_turned_is_no_rotation_when_there_is_no_gyro() -> None:
    assert motion.turned([], LEVEL, from_ns=0, to_ns=S) is motion.IDENTITY
    assert motion.turned([gyro(S, None)], LEVEL, from_ns=0, to_ns=S) is motion.IDENTITY


def test_readings_are_in_base_axes_when_the_imu_is_mounted_turned() -> None:
    left_forward, _ = cv2.Rodrigues(np.array([0.0, 0.0, math.pi / 2]))  # the sensor's x is base y
    samples = [gyro(S - 10 * MS, (1.0, 0.0, 0.0), (0.0, 3.0, 9.0)), gyro(S - 5 * MS, (1.0, 0.0, 0.0), None)]
    times_s, values = imu.in_base_axes(*imu.readings_of(samples), to_base=left_forward, end_ns=S)
    np.testing.assert_allclose(times_s, [[-0.01]])
    np.testing.assert_allclose(values[0, 0], [0.0, 1.0, 0.0, -3.0, 0.0, 9.0], atol=1e-6)
    with pytest.raises(InvalidMessageError) as caught:
        imu.readings_of(samples[1:])
    assert caught.value.reason == "field_absent"


def sound(time_s: np.ndarray) -> np.ndarray:
    """Two channels [N, 2] of a known signal below 1 kHz."""
    return np.stack([np.sin(2 * np.pi * 440 * time_s), np.sin(2 * np.pi * 700 * time_s + 1.0)], axis=-1) * 0.5


FORMATS: dict[str, Any] = {
    "i2": lambda unit: np.round(unit * 32767).astype(np.int16),
    "i4": lambda unit: np.round(unit * 2**31 * 0.999).astype(np.int32),
    "i1": lambda unit: np.round(unit * 127).astype(np.int8),
    "u1": lambda unit: np.round(unit * 127 + 128).astype(np.uint8),
    "f4": lambda unit: unit.astype(np.float32),
}


@pytest.mark.parametrize("kind", sorted(FORMATS))
@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 44_100, 48_000])
def test_window_is_the_same_sound_when_format_and_rate_differ(kind: str, rate_hz: int) -> None:
    end_ns, count = 3 * S, rate_hz // 50
    blocks = []
    for index in range(-12, 1):  # the last block begins in the window and ends after it
        begin = round(-0.01 * rate_hz) + index * count
        pcm = FORMATS[kind](sound((begin + np.arange(count)) / rate_hz))
        blocks.append((end_ns + round(begin * S / rate_hz), AudioBlock(pcm, rate_hz, True)))
    window = audio.window(blocks, end_ns=end_ns)
    assert window.shape == (1, 2, 3200)
    expected = sound((np.arange(3200) - 3200) / 16_000).T
    error = np.abs(window[0].numpy() - expected)[:, 100:-100]
    assert error.max() < (0.02 if kind.endswith("1") else 0.01)


def block(
    stamp_ns: int, value: float, *, samples: int = 320, rate_hz: int = 16_000
) -> tuple[int, AudioBlock]:
    return stamp_ns, AudioBlock(np.full((samples, 2), value, np.float32), rate_hz, True)


def test_window_leaves_gaps_silent_and_mends_jitter() -> None:
    blocks = [block(S - 60 * MS, 0.1), block(S - 40 * MS + 3 * MS, 0.2)]  # 3 ms of jitter, then nothing
    window = audio.window(blocks, end_ns=S)[0, 0].numpy()
    edges = [np.flatnonzero(np.isclose(window, value)) for value in (0.1, 0.2)]
    assert (edges[0][0], edges[0][-1]) == (3200 - 960, 3200 - 641)
    assert (edges[1][0], edges[1][-1]) == (3200 - 640, 3200 - 321)
    assert not window[-320:].any()
    dropped = [block(S - 100 * MS, 0.1), block(S - 60 * MS, 0.2)]  # one block lost between them
    window = audio.window(dropped, end_ns=S)[0, 0].numpy()
    assert not window[3200 - 1280 : 3200 - 960].any()
    assert np.isclose(window[3200 - 960], 0.2)


SCENE = {
    axis: np.random.default_rng(3 + i).normal(0.0, 12.0, 600).astype("f4") for i, axis in enumerate("xyz")
}


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("furthest", [np.inf, 9.0])  # what lies beyond is no return, as in an organised cloud
def test_points_are_read_in_the_order_they_have_when_is_bigendian_contradicts_them(
    order: str, furthest: float
) -> None:
    columns = {axis: np.where(SCENE["x"] > furthest, np.float32("nan"), SCENE[axis]) for axis in "xyz"}
    right = cloud_message(columns, order=order)
    wrong = cloud_message(columns, order=order, is_bigendian=order == "<")
    expected = lidar.decode(point_cloud(right), intensity_full_scale=1.0)
    np.testing.assert_array_equal(expected[0], columns["x"][SCENE["x"] <= furthest])
    if furthest > 100.0:
        np.testing.assert_array_equal(lidar.decode(point_cloud(wrong), intensity_full_scale=1.0), expected)


def test_points_in_millimetres_are_refused() -> None:
    far = {axis: 1000.0 * values for axis, values in SCENE.items()}
    with pytest.raises(InvalidMessageError, match="millimetres") as caught:
        lidar.decode(point_cloud(cloud_message(far)), intensity_full_scale=1.0)
    assert caught.value.reason == "out_of_range"
    some = {axis: np.where(np.arange(600) % 3 == 0, far[axis], SCENE[axis]) for axis in "xyz"}
    assert lidar.decode(point_cloud(cloud_message(some)), intensity_full_scale=1.0).shape[1] == 600


def test_window_reports_when_no_block_reaches_it() -> None:
    for stamp_ns in (S - 300 * MS, S):
        with pytest.raises(InvalidMessageError) as caught:
            audio.window([block(stamp_ns, 0.1)], end_ns=S)
        assert caught.value.reason == "no_data"


def test_blocks_follow_the_newest_when_the_format_changes_in_mid_run() -> None:
    changed = [block(S - 60 * MS, 0.1, rate_hz=48_000), block(S - 40 * MS, 0.2), block(S - 20 * MS, 0.3)]
    samples = [sample(Modality.AUDIO, stamp_ns, payload=payload) for stamp_ns, payload in changed]
    assert [stamp_ns for stamp_ns, _ in audio.blocks_of(samples)] == [S - 40 * MS, S - 20 * MS]


@pytest.mark.parametrize("count", [700, 50_000])
def test_cloud_stats_find_the_blocked_sector_when_points_are_many_or_few(count: int) -> None:
    azimuth = np.radians(np.linspace(-150.0, 120.0, count))  # nothing behind the robot, 90 degrees wide
    points = np.stack([np.cos(azimuth), np.sin(azimuth), azimuth * 0, azimuth * 0]).astype(np.float32) * 9.0
    stats = cloud_stats(points)
    assert stats.finite_points == count
    assert stats.occupancy >> 36 & 1  # straight ahead
    assert not stats.occupancy & 1  # straight behind
    assert cloud_stats(points[:, :0]).occupancy == 0


def blocks(*pcm: np.ndarray) -> list[AudioBlock]:
    return [AudioBlock(values, 16_000, stamped=True) for values in pcm]


def test_audio_stats_judge_each_block_by_its_own_kind_when_the_format_changes() -> None:
    random = np.random.default_rng(0)
    integers = random.integers(-800, 800, (320, 2), dtype=np.int16)
    floats, full = random.uniform(-0.1, 0.1, (320, 2)).astype(np.float32), np.ones((640, 2), np.float32)
    assert audio_stats(blocks(integers, floats)).clipped_share == 0.0
    assert audio_stats(blocks(integers, full, floats)).clipped_share == 0.5
    assert not audio_stats(blocks(integers, floats)).silent
    assert audio_stats(blocks(np.zeros((320, 2), np.int16), np.zeros((320, 2), np.float32))).silent
    changing = audio_stats(blocks(integers, integers[:, :1]))
    assert (changing.live_channels, changing.channel_count) == (0b11, 2)


def test_audio_stats_measure_clipping_and_silence_of_each_channel() -> None:
    loud = np.clip(np.sin(np.arange(1000))[:, None] * [2.0, 2.0], -1, 1)
    for pcm in (loud.astype(np.float32), FORMATS["i2"](loud), FORMATS["u1"](loud)):
        assert audio_stats(blocks(pcm)).clipped_share == pytest.approx(2 / 3, abs=0.05)
    quiet = np.zeros((320, 2), np.int16)
    assert audio_stats(blocks(quiet, quiet, quiet)).silent
    assert not audio_stats(blocks(quiet, quiet + 1)).silent
    half = FORMATS["i2"](loud) * [0, 1]
    stats = audio_stats(blocks(half, half))
    assert (stats.silent, stats.live_channels) == (False, 0b10)


def test_image_stats_tell_the_structure_of_a_night_scene_from_a_covered_sensors_noise() -> None:
    random = np.random.default_rng(0)
    noisy = random.integers(0, 3, (480, 640, 3), dtype=np.uint8)
    assert image_stats(np.zeros_like(noisy)).structure == 0.0
    assert image_stats(noisy).structure < 0.1
    assert image_stats(noisy).mean == pytest.approx(1.0, abs=0.05)
    night = random.normal(4.0, 2.0, (480, 640, 3))
    night[200:214, 100:114] += 150.0  # a lamp
    night[260:420, 200:480] += 6.0  # and what it falls on
    stats = image_stats(night.clip(0, 255).astype(np.uint8))
    assert stats.mean < 16.0
    assert stats.structure > 2.0


def test_image_stats_say_which_cells_lost_their_structure() -> None:
    noise = np.random.default_rng(0).normal(0.0, 3.0, (480, 640, 3))
    scene = np.add.outer(np.arange(480) % 96, np.arange(640) % 80)[..., None] + noise
    scene[:, :320] = 8.0 + noise[:, :320]  # a hand before the left half
    cells = np.reshape(image_stats(scene.clip(0, 255).astype(np.uint8)).cells, (8, 8))
    assert (cells[:, :4] < 1.0).all()
    assert (cells[:, 4:] > 3.0).all()
