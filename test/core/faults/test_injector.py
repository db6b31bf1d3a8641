"""Faults: what is left of a stream under each of them."""

from __future__ import annotations

import copy
import math
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from builders import MS, S, cloud_message, image_message, imu_message, message
from damage import SENSOR, SOUND
from hypothesis import given
from hypothesis import strategies as st

from sentryfuse_core.config import Config
from sentryfuse_core.convert import to_sample
from sentryfuse_core.convert.image import BYTES_PER_PIXEL, PACKED_422
from sentryfuse_core.faults.injector import FaultInjector
from sentryfuse_core.faults.kinds import FAULTS
from sentryfuse_core.faults.scenario import Event, Scenario
from sentryfuse_core.faults.stamps import shifted, stamp_ns
from sentryfuse_core.preprocess import camera
from sentryfuse_core.types import Modality

RNG = np.random.default_rng(0)
IMAGE = image_message("rgb8", RNG.integers(0, 256, (8, 36), dtype=np.uint8), width=12)
CHUNK = SOUND["sentryfuse/msg/AudioChunk"]
OPTIONS = {"period_s": 1.0, "delay_s": 0.2, "max_s": 0.3, "offset_s": 1.5, "length_s": 2.0, "from_deg": -10.0,
           "to_deg": 100.0, "sigma": 0.1, "rate_hz": 5.0, "ppm": 1000.0, "jump_s": -3.0,
           "gain": 0.2, "sigma_px": 12.0, "share": 0.4, "yaw_deg": 10.0}  # fmt: skip


def cloud(points: np.ndarray[Any, Any], *, order: str = "<") -> SimpleNamespace:
    """A cloud with 4 bytes of padding before x, y, z and a ring."""
    columns = {name: points[:, axis].astype(np.float32) for axis, name in enumerate("xyz")}
    return cloud_message(columns | {"ring": np.arange(len(points), dtype=np.float32)}, order=order, gap=4)


def column(item: SimpleNamespace, name: str) -> np.ndarray[Any, Any]:
    """The values of one field of such a cloud."""
    offset = next(field.offset for field in item.fields if field.name == name)
    kind = ">f4" if item.is_bigendian else "<f4"
    return np.ndarray(item.width, kind, item.data.data, offset, item.point_step)


def imu(seed: int = 0) -> SimpleNamespace:
    values = np.random.default_rng(seed).normal(size=6).tolist()
    return imu_message(gyro=values[:3], accel=values[3:])


EXAMPLES = {Modality.CAMERA: IMAGE, Modality.IMU: imu(), Modality.AUDIO: CHUNK(),
            Modality.LIDAR: cloud(RNG.normal(size=(20, 3)))}  # fmt: skip


def event(fault: str, stream: str, **options: float) -> Event:
    given = {
        name: options.get(name, OPTIONS.get(name) if option.default is None else option.default)
        for name, option in FAULTS[fault].options.items()
    }
    return Event(0.0, 50.0, stream, fault, given)  # type: ignore[arg-type]


def injector(*events: Event, seed: int = 1) -> FaultInjector:
    return FaultInjector(Scenario("test", seed, 100.0, events))


def play(faults: FaultInjector, modality: Modality, item: Any, *, at_s: float = 1.0) -> list[Any]:
    return faults.apply(f"/{modality.value}", modality, item, at_s=at_s)


def spoilt(item: Any, modality: Modality, *events: Event) -> Any:
    """What the events leave of one message."""
    return play(injector(*events), modality, item)[0].message


CASES = [(fault, modality) for fault, kind in FAULTS.items() for modality in kind.streams]


def plain(value: Any) -> Any:
    """Nested namespaces and dataclasses as comparable values."""
    if isinstance(value, np.ndarray):
        return value.tobytes()
    if isinstance(value, list):
        return [plain(item) for item in value]
    return {key: plain(item) for key, item in vars(value).items()} if hasattr(value, "__dict__") else value


@pytest.mark.parametrize(("fault", "modality"), CASES)
def test_fault_leaves_the_message_and_other_streams_alone_when_applied(
    fault: str, modality: Modality
) -> None:
    original = EXAMPLES[modality]
    before = plain(copy.deepcopy(original))
    faults = injector(event(fault, modality.value))
    fates = [play(faults, modality, original) for _ in range(8)]
    assert plain(original) == before
    passed = [len(fate) == 1 and fate[0].message is original and fate[0].delay_s == 0.0 for fate in fates]
    assert not all(passed) or fault == "duty"
    same = [len(fate) == 1 and fate[0].delay_s == 0.0 and plain(fate[0].message) == before for fate in fates]
    told = {(one.fault, topic) for one, topic in faults.altered}
    assert told == (set() if all(same) else {(fault, f"/{modality.value}")})
    other = next(m for m in Modality if m is not modality)
    assert play(faults, other, original) == [(original, 0.0)]
    assert play(faults, modality, original, at_s=50.0) == [(original, 0.0)]


@pytest.mark.parametrize(
    ("fault", "modality", "options"),
    [
        ("freeze", Modality.LIDAR, {}),
        ("stuck", Modality.IMU, {}),
        ("drift", Modality.IMU, {"ppm": 0.0}),
        ("nan", Modality.IMU, {"share": 0.0}),
    ],
)
def test_fault_is_not_called_injected_when_what_goes_on_is_as_it_came(
    fault: str, modality: Modality, options: dict[str, float]
) -> None:
    faults = injector(event(fault, modality.value, **options))
    play(faults, modality, EXAMPLES[modality])
    assert not faults.altered


@given(seed=st.integers(0, 2**32 - 1), share=st.floats(0.1, 0.9))
def test_drop_meets_the_same_fate_when_played_at_another_speed(seed: int, share: float) -> None:
    def fate(times: np.ndarray[Any, Any]) -> list[bool]:
        faults = injector(event("drop", "imu", share=share), seed=seed)
        return [bool(play(faults, Modality.IMU, b"", at_s=float(at_s))) for at_s in times]

    slow = fate(np.linspace(0, 40, 200))
    assert slow == fate(np.linspace(0, 4, 200))
    assert 0.0 < np.mean(slow) < 1.0
    assert abs(np.mean(slow) - (1 - share)) < 0.25


def test_duty_loses_its_share_of_each_period_when_cycling() -> None:
    faults = injector(event("duty", "lidar", period_s=2.0, share=0.25))
    kept = [bool(play(faults, Modality.LIDAR, b"", at_s=at_s)) for at_s in np.arange(0, 40, 0.1)]
    assert kept[:5] == [False] * 5
    assert all(kept[5:20])
    assert np.mean(kept) == pytest.approx(0.75)


@given(st.lists(st.floats(0.0, 10.0), min_size=2, max_size=2))
def test_delays_add_up_when_two_events_hit(delays: list[float]) -> None:
    faults = injector(*(event("delay", "audio", delay_s=delay) for delay in delays))
    assert play(faults, Modality.AUDIO, b"raw") == [(b"raw", pytest.approx(sum(delays)))]


def test_jitter_stays_in_its_range_and_varies_when_repeated() -> None:
    faults = injector(event("jitter", "imu", max_s=0.3))
    delays = [play(faults, Modality.IMU, b"")[0].delay_s for _ in range(100)]
    assert 0.0 <= min(delays) < 0.05
    assert 0.25 < max(delays) <= 0.3


def test_freeze_repeats_content_under_new_stamps_when_active() -> None:
    faults = injector(event("freeze", "imu"))
    sent = [imu(seed) for seed in range(5)]
    for index, item in enumerate(sent):
        item.header.stamp.sec = 10 + index
    got = [play(faults, Modality.IMU, item)[0].message for item in sent]
    assert [stamp_ns(item) for item in got] == [stamp_ns(item) for item in sent]
    assert {plain(item.linear_acceleration)["x"] for item in got} == {sent[0].linear_acceleration.x}
    assert play(faults, Modality.IMU, sent[1], at_s=60.0)[0].message is sent[1]


@given(stamp=st.integers(0, 2**31 * S - 1), by_ms=st.integers(-10_000, 10_000))
def test_shift_moves_the_stamp_exactly_when_seconds_carry(stamp: int, by_ms: int) -> None:
    moved = shifted(message(stamp), by_ms / 1000)
    assert stamp_ns(moved) == stamp + by_ms * MS
    assert 0 <= moved.header.stamp.nanosec < S


def test_loop_repeats_the_same_stamps_when_time_goes_on() -> None:
    faults = injector(Event(10.0, 100.0, "lidar", "loop", {"length_s": 2.0}))
    stamps = [
        stamp_ns(play(faults, Modality.LIDAR, message(int(at_s * S)), at_s=float(at_s))[0].message)
        for at_s in np.arange(8.0, 16.0, 0.5)
    ]
    assert stamps[:4] == stamps[4:8] == stamps[8:12] == stamps[12:]


def test_headerless_message_passes_when_stamps_are_to_move() -> None:
    bare = SimpleNamespace(data=[1, 2])
    assert spoilt(bare, Modality.AUDIO, event("offset", "audio"), event("freeze", "audio")) is bare


@pytest.mark.parametrize("order", "<>")
def test_blocked_sector_has_no_returns_when_others_keep_theirs(order: str) -> None:
    bearings = np.radians(np.arange(-175, 180, 10))
    original = cloud(np.stack([np.cos(bearings), np.sin(bearings), np.ones_like(bearings)], 1), order=order)
    left = spoilt(original, Modality.LIDAR, event("blocked", "lidar", from_deg=150.0, to_deg=-150.0))
    assert np.array_equal(np.isnan(column(left, "x")), np.abs(np.degrees(bearings)) >= 150)
    assert np.array_equal(column(left, "ring"), np.arange(len(bearings)))


def test_every_row_is_spoilt_when_the_step_is_not_told() -> None:
    """As drivers leave it out, and as the fusion node reads it all the same: rows are dense."""
    bright = np.full((6, 12), 200, np.uint8)
    dark = spoilt(image_message("rgb8", bright, width=4, step=0), Modality.CAMERA, event("black", "camera"))
    assert not dark.data.any()
    points = cloud(RNG.normal(size=(20, 3)))
    points.height, points.width, points.row_step = 4, 5, 0
    left = spoilt(points, Modality.LIDAR, event("nan", "lidar"))
    left.width = 20
    assert np.isnan(column(left, "x")).all()


def test_nan_spoils_its_share_when_given_a_cloud_or_imu() -> None:
    left = spoilt(cloud(RNG.normal(size=(1000, 3))), Modality.LIDAR, event("nan", "lidar", share=0.3))
    assert np.isnan(column(left, "z")).mean() == pytest.approx(0.3, abs=0.05)
    reading = spoilt(imu(), Modality.IMU, event("nan", "imu"))
    assert math.isnan(reading.angular_velocity.x)
    assert math.isnan(reading.linear_acceleration.z)


def test_noise_has_the_asked_size_when_measured() -> None:
    noisy = spoilt(cloud(np.zeros((2000, 3))), Modality.LIDAR, event("noise", "lidar", sigma=0.2))
    assert np.std(column(noisy, "y")) == pytest.approx(0.2, rel=0.1)
    for name in ("sentryfuse/msg/AudioChunk", "audio_common_msgs/msg/AudioStamped"):
        heard = pcm(spoilt(SOUND[name](), Modality.AUDIO, event("noise", "audio", sigma=0.01)), name)
        added = heard.astype(float) - pcm(SOUND[name](), name)
        assert np.std(added) == pytest.approx(327.67, rel=0.1)


@pytest.mark.parametrize("kind", [bytes, list, np.asarray])
def test_truncated_data_keeps_its_container_when_cut(kind: Any) -> None:
    block = CHUNK()
    block.data = kind(block.data.tobytes()) if kind is bytes else kind(block.data.tolist())
    cut = spoilt(block, Modality.AUDIO, event("truncate", "audio", keep=0.25)).data
    assert type(cut) is type(block.data)
    assert list(cut) == list(block.data)[:320]


def test_truncated_cloud_survives_noise_when_faults_combine() -> None:
    original = cloud(np.ones((10, 3)))
    faults = [event(name, "lidar") for name in ("truncate", "noise", "blocked")]
    cut = spoilt(original, Modality.LIDAR, *faults)
    assert np.array_equal(cut.data, original.data[: original.data.size // 2])


def test_injector_needs_the_message_only_when_content_changes() -> None:
    faults = injector(event("delay", "imu"), event("black", "camera"))
    assert not faults.needs_content("/imu", Modality.IMU, 1.0)
    assert faults.needs_content("/camera", Modality.CAMERA, 1.0)
    assert not faults.needs_content("/camera", Modality.CAMERA, 60.0)


def payload(item: Any, modality: Modality, type_name: str) -> Any:
    return to_sample(modality, item, type_name=type_name, config=Config().sensor(modality), received_ns=S,
                     arrival_ns=S).payload  # fmt: skip


RAW = ("rgb8", "bgra8", "mono8", "mono16", "bayer_rggb8", "bayer_rggb16", "yuv422", "yuyv")


@pytest.mark.parametrize(("fault", "level"), [("black", 0), ("white", 255), ("covered", 13)])
@pytest.mark.parametrize("encoding", [*RAW, ".jpg", ".png"])
def test_image_decodes_to_one_level_when_of_any_encoding(encoding: str, fault: str, level: int) -> None:
    size, options = BYTES_PER_PIXEL.get(encoding, 3), {"sigma": 0.0} if fault == "covered" else {}
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16 * size), dtype=np.uint8)
    original, kind = image_message(encoding, pixels, width=16, padding=3), "sensor_msgs/msg/Image"
    if encoding not in RAW:
        data = cv2.imencode(encoding, pixels.reshape(16, 16, 3))[1].reshape(-1)
        original, kind = message(format=encoding, data=data), "sensor_msgs/msg/CompressedImage"
    found = spoilt(original, Modality.CAMERA, event(fault, "camera", **options))
    if encoding in RAW:
        assert np.array_equal(found.data.reshape(16, -1)[:, -3:], original.data.reshape(16, -1)[:, -3:])
    seen = camera.decode(payload(found, Modality.CAMERA, kind))
    assert abs(seen.astype(int) - level).max() <= 4


def test_covered_part_is_dark_with_noise_when_the_rest_is_seen() -> None:
    found = spoilt(IMAGE, Modality.CAMERA, event("covered", "camera", left=0.5, sigma=0.02))
    pixels, before = (item.data.reshape(8, 12, 3) for item in (found, IMAGE))
    assert np.array_equal(pixels[:, 6:], before[:, 6:])
    assert pixels[:, :6].mean() == pytest.approx(13, abs=2)
    assert 2 < pixels[:, :6].std() < 8


@pytest.mark.parametrize("fault", ["blurred", "dirty", "turned"])
@pytest.mark.parametrize("encoding", [*RAW, ".png"])
def test_view_is_spoilt_alike_when_of_any_encoding(encoding: str, fault: str) -> None:
    """Grey waves are seen through the lens: encodings differ by rounding, mosaics by their size, too."""
    waves = 120 + 60 * np.sin(np.arange(64) * 2 * np.pi / 16)
    grey = np.repeat(waves.round().astype(np.uint8)[None], 32, axis=0)
    wanted = spoilt(image_message("mono8", grey, width=64), Modality.CAMERA, event(fault, "camera"))
    colours = np.repeat(grey[..., None], 3, axis=2)
    if encoding == ".png":
        data = cv2.imencode(encoding, colours)[1].reshape(-1)
        original, kind = message(format="png", data=data), "sensor_msgs/msg/CompressedImage"
    else:
        original, kind = encoded(encoding, grey), "sensor_msgs/msg/Image"
    seen = camera.decode(
        payload(spoilt(original, Modality.CAMERA, event(fault, "camera")), Modality.CAMERA, kind)
    )
    apart = abs(seen.astype(float) - wanted.data.reshape(32, 64, 1))[4:-4, 4:-4]
    assert np.median(apart) <= (6.0 if encoding.startswith("bayer") else 2.0)
    assert abs(seen.astype(float) - colours).mean() > 1.0


def encoded(encoding: str, grey: np.ndarray[Any, Any]) -> SimpleNamespace:
    """A grey image [H, W] as a message of any raw encoding."""
    if encoding in PACKED_422:
        luma = np.rint(grey.astype(float) * 219 / 255 + 16).astype(np.uint8)
        pair = (luma, np.full_like(luma, 128))
        pixels = np.stack(pair if encoding.startswith("yuy") else pair[::-1], axis=2)
    elif encoding.endswith("16"):
        pixels = (grey.astype("<u2") * 257)[..., None].view(np.uint8)
    else:
        pixels = np.repeat(grey[..., None], BYTES_PER_PIXEL[encoding], axis=2)
    return image_message(encoding, pixels.reshape(len(grey), -1), width=grey.shape[1])


def test_dirt_stays_where_it_is_when_images_follow_each_other() -> None:
    faults = injector(event("dirty", "camera"))
    pixels = np.full((32, 192), 200, np.uint8)
    one, other = (
        play(faults, Modality.CAMERA, image_message("rgb8", pixels, width=64))[0].message.data
        for _ in range(2)
    )
    assert np.array_equal(one, other)
    assert 0.2 < np.mean(one != 200) < 0.8


def test_empty_cloud_is_well_formed_when_read() -> None:
    left = spoilt(cloud(np.ones((10, 3))), Modality.LIDAR, event("empty", "lidar"))
    assert (left.width * left.height, left.row_step, len(left.data)) == (0, 0, 0)


@pytest.mark.parametrize("axis", [-1, 0, 5])
def test_stuck_axis_repeats_when_the_others_go_on(axis: int) -> None:
    faults = injector(event("stuck", "imu", axis=float(axis)))
    out = [play(faults, Modality.IMU, imu(seed))[0].message for seed in range(4)]
    moving = [
        len({getattr(getattr(item, name), letter) for item in out}) > 1
        for name in ("angular_velocity", "linear_acceleration")
        for letter in "xyz"
    ]
    assert moving == [axis not in (-1, index) for index in range(6)]


def test_saturated_imu_is_at_full_scale_when_read() -> None:
    reading = spoilt(imu(), Modality.IMU, event("saturated", "imu"))
    assert {abs(getattr(reading.angular_velocity, axis)) for axis in "xyz"} == {34.9}
    assert {abs(getattr(reading.linear_acceleration, axis)) for axis in "xyz"} == {156.9}
    assert math.copysign(1, reading.angular_velocity.x) == math.copysign(1, imu().angular_velocity.x)


def pcm(item: Any, type_name: str) -> Any:
    return payload(item, Modality.AUDIO, type_name).pcm


AUDIO = sorted(name for name in SOUND if name.rpartition("/")[2] not in SENSOR)


@pytest.mark.parametrize("type_name", AUDIO)
@pytest.mark.parametrize("fault", ["silent", "clipped", "gapped"])
def test_audio_is_spoilt_when_of_any_family(type_name: str, fault: str) -> None:
    before = pcm(SOUND[type_name](), type_name)
    options = {"gain": 3000.0} if fault == "clipped" else {}
    after = pcm(spoilt(SOUND[type_name](), Modality.AUDIO, event(fault, "audio", **options)), type_name)
    if fault == "silent":
        assert after.shape == before.shape
        assert not after.any()
    elif fault == "clipped":
        assert np.mean(np.isin(after, [-32768, 32767])) > 0.9
    else:
        assert len(after) == 240
        rows = [bytes(row) for row in before]
        assert all(bytes(row) in rows for row in after)


@pytest.mark.parametrize(
    ("fault", "options", "expected_s"),
    [("clock_jump", {"jump_s": -3.0}, -3.0), ("drift", {"ppm": 100_000.0}, 0.2), ("zero_stamp", {}, -10.0)],
)
def test_clock_goes_wrong_when_told(fault: str, options: dict[str, float], expected_s: float) -> None:
    faults = injector(event(fault, "all", **options))
    for modality in Modality:
        item = play(faults, modality, message(10 * S), at_s=2.0)[0].message
        assert stamp_ns(item) == 10 * S + round(expected_s * S)
    assert stamp_ns(faults.apply("/tf", None, message(S), at_s=2.0)[0].message) == S


def test_rate_takes_nothing_when_the_stream_has_just_that_rate() -> None:
    faults = injector(Event(5.1, 50.0, "camera", "rate", {"rate_hz": 10.0}))
    times_s = [5.1 + 0.1 * index for index in range(100)]  # some a rounding before the edge of their period
    assert all(play(faults, Modality.CAMERA, b"", at_s=at_s) for at_s in times_s)


def test_silence_is_the_middle_of_the_range_when_samples_have_no_sign() -> None:
    pcm = np.array([0, 9, 255], np.uint8)
    typed = SimpleNamespace(float32_data=[], int32_data=[], int16_data=[], int8_data=[], uint8_data=pcm)
    item = SimpleNamespace(audio_data=typed, info=SimpleNamespace(format=2, channels=1, rate=16_000))
    left = spoilt(item, Modality.AUDIO, event("silent", "audio"))
    assert list(left.audio_data.uint8_data) == [128, 128, 128]


def test_rate_is_cut_to_the_one_asked_for_when_faster() -> None:
    faults = injector(event("rate", "camera", rate_hz=5.0))
    times = np.arange(0, 600) / 30
    passed = [at for at in times if play(faults, Modality.CAMERA, b"", at_s=float(at))]
    assert np.allclose(np.diff(passed), 0.2)


def test_duplicates_come_in_the_number_asked_for_when_sent() -> None:
    faults = injector(event("duplicate", "imu", copies=2.0, share=0.5))
    counts = [len(play(faults, Modality.IMU, b"")) for _ in range(200)]
    assert set(counts) == {1, 3}
    assert 70 < counts.count(3) < 130


@given(depth=st.integers(1, 5), share=st.floats(0.05, 0.95), seed=st.integers(0, 999))
def test_reordered_messages_all_come_once_when_flushed(depth: int, share: float, seed: int) -> None:
    stream = injector(event("reorder", "imu", depth=float(depth), share=share), seed=seed)
    out = [d.message for i in range(200) for d in play(stream, Modality.IMU, i, at_s=i / 10)]
    assert stream.flush(49.9) == []
    out += [delivery.message for topic, delivery in stream.flush(50.0) if topic == "/imu"]
    assert sorted(out) == list(range(200))
    assert out != list(range(200))
    assert stream.flush() == []
    overtaken = [sum(later > item for later in out[:place]) for place, item in enumerate(out)]
    assert max(overtaken) >= 1
