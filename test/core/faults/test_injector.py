"""Faults: what is left of a stream under each of them."""

from __future__ import annotations

import array
import copy
import math
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from builders import MS, S, chunk_message, image_message, message
from hypothesis import given
from hypothesis import strategies as st

from sentryfuse_core.config import Config
from sentryfuse_core.convert import to_sample
from sentryfuse_core.convert.image import BYTES_PER_PIXEL
from sentryfuse_core.faults.injector import FaultInjector
from sentryfuse_core.faults.kinds import FAULTS
from sentryfuse_core.faults.scenario import Event, Scenario
from sentryfuse_core.faults.stamps import shifted, stamp_ns
from sentryfuse_core.preprocess import camera
from sentryfuse_core.types import Modality

TOPICS = {modality: f"/{modality.value}" for modality in Modality}


def scenario(*events: Event, seed: int = 1) -> Scenario:
    return Scenario("test", seed, 100.0, events)


def image(seed: int = 0) -> SimpleNamespace:
    pixels = np.random.default_rng(seed).integers(0, 256, 8 * 36, dtype=np.uint8)
    return message(S, height=8, width=12, step=36, encoding="rgb8", is_bigendian=0, data=pixels)


def jpeg() -> SimpleNamespace:
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    return message(S, format="jpeg", data=cv2.imencode(".jpg", pixels)[1].reshape(-1))


def cloud(points: np.ndarray[Any, Any], *, big: bool = False) -> SimpleNamespace:
    """A cloud with 4 bytes of padding before x, y, z and a ring field after."""
    order = ">" if big else "<"
    record = np.dtype({"names": ["x", "y", "z", "ring"], "formats": [order + "f4"] * 3 + ["u2"],
                       "offsets": [4, 8, 12, 16], "itemsize": 20})  # fmt: skip
    data = np.zeros(len(points), record)
    for axis, name in enumerate("xyz"):
        data[name] = points[:, axis]
    data["ring"] = np.arange(len(points))
    fields = [
        SimpleNamespace(name=name, offset=record.fields[name][1], datatype=7, count=1) for name in "xyz"
    ]
    return message(S, height=1, width=len(points), point_step=20, row_step=20 * len(points), is_bigendian=big,
                   fields=fields, data=data.view(np.uint8).reshape(-1), record=record)  # fmt: skip


def imu(seed: int = 0) -> SimpleNamespace:
    values = np.random.default_rng(seed).normal(size=6)
    vector = [
        SimpleNamespace(**dict(zip("xyz", map(float, part), strict=True)))
        for part in (values[:3], values[3:])
    ]
    return message(S, angular_velocity=vector[0], linear_acceleration=vector[1])


def audio() -> SimpleNamespace:
    pcm = np.random.default_rng(0).integers(-500, 500, 64, dtype=np.int16)
    return message(S, encoding="S16LE", channels=2, sample_rate_hz=16_000, data=pcm.view(np.uint8))


EXAMPLES = {Modality.CAMERA: image, Modality.IMU: imu, Modality.AUDIO: audio,
            Modality.LIDAR: lambda: cloud(np.random.default_rng(0).normal(size=(20, 3)))}  # fmt: skip
OPTIONS = {"period_s": 1.0, "delay_s": 0.2, "max_s": 0.3, "offset_s": 1.5, "length_s": 2.0, "from_deg": -10.0,
           "to_deg": 100.0, "sigma": 0.1, "rate_hz": 5.0, "ppm": 1000.0, "jump_s": -3.0}  # fmt: skip


def event(fault: str, stream: str, **options: float) -> Event:
    given = {
        name: options.get(name, OPTIONS.get(name) if option.default is None else option.default)
        for name, option in FAULTS[fault].options.items()
    }
    return Event(0.0, 50.0, stream, fault, given)  # type: ignore[arg-type]


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
    original = EXAMPLES[modality]()
    before = plain(copy.deepcopy(original))
    injector = FaultInjector(scenario(event(fault, modality.value)))
    fates = [injector.apply(TOPICS[modality], modality, original, at_s=1.0) for _ in range(8)]
    assert plain(original) == before
    passed = [len(fate) == 1 and fate[0].message is original and fate[0].delay_s == 0.0 for fate in fates]
    assert not all(passed) or fault == "duty"
    other = next(m for m in Modality if m is not modality)
    assert injector.apply(TOPICS[other], other, original, at_s=1.0) == [(original, 0.0)]
    assert injector.apply(TOPICS[modality], modality, original, at_s=50.0) == [(original, 0.0)]


@given(seed=st.integers(0, 2**32 - 1), share=st.floats(0.1, 0.9))
def test_drop_meets_the_same_fate_when_played_at_another_speed(seed: int, share: float) -> None:
    def fate(times: np.ndarray[Any, Any]) -> list[bool]:
        injector = FaultInjector(scenario(event("drop", "imu", share=share), seed=seed))
        return [bool(injector.apply("/imu", Modality.IMU, b"", at_s=float(at_s))) for at_s in times]

    slow = fate(np.linspace(0, 40, 200))
    assert slow == fate(np.linspace(0, 4, 200))
    assert 0.0 < np.mean(slow) < 1.0
    assert abs(np.mean(slow) - (1 - share)) < 0.25


def test_duty_loses_its_share_of_each_period_when_cycling() -> None:
    injector = FaultInjector(scenario(event("duty", "lidar", period_s=2.0, share=0.25)))
    kept = [bool(injector.apply("/lidar", Modality.LIDAR, b"", at_s=at_s)) for at_s in np.arange(0, 40, 0.1)]
    assert kept[:5] == [False] * 5
    assert all(kept[5:20])
    assert np.mean(kept) == pytest.approx(0.75)


@given(st.lists(st.floats(0.0, 10.0), min_size=2, max_size=2))
def test_delays_add_up_when_two_events_hit(delays: list[float]) -> None:
    injector = FaultInjector(scenario(*(event("delay", "audio", delay_s=delay) for delay in delays)))
    (delivery,) = injector.apply("/audio", Modality.AUDIO, b"raw", at_s=1.0)
    assert delivery == (b"raw", pytest.approx(sum(delays)))


def test_jitter_stays_in_its_range_and_varies_when_repeated() -> None:
    injector = FaultInjector(scenario(event("jitter", "imu", max_s=0.3)))
    delays = [injector.apply("/imu", Modality.IMU, b"", at_s=1.0)[0].delay_s for _ in range(100)]
    assert 0.0 <= min(delays) < 0.05
    assert 0.25 < max(delays) <= 0.3


def test_freeze_repeats_content_under_new_stamps_when_active() -> None:
    injector = FaultInjector(scenario(event("freeze", "imu")))
    sent = [imu(seed) for seed in range(5)]
    for index, item in enumerate(sent):
        item.header.stamp.sec = 10 + index
    got = [injector.apply("/imu", Modality.IMU, item, at_s=0.1 * i)[0].message for i, item in enumerate(sent)]
    assert [stamp_ns(item) for item in got] == [stamp_ns(item) for item in sent]
    assert {plain(item.linear_acceleration)["x"] for item in got} == {sent[0].linear_acceleration.x}
    after = injector.apply("/imu", Modality.IMU, sent[1], at_s=60.0)[0].message
    assert after is sent[1]


@given(stamp=st.integers(0, 2**31 * S - 1), by_ms=st.integers(-10_000, 10_000))
def test_shift_moves_the_stamp_exactly_when_seconds_carry(stamp: int, by_ms: int) -> None:
    moved = shifted(message(stamp), by_ms / 1000)
    assert stamp_ns(moved) == stamp + by_ms * MS
    assert 0 <= moved.header.stamp.nanosec < S


def test_loop_repeats_the_same_stamps_when_time_goes_on() -> None:
    injector = FaultInjector(scenario(Event(10.0, 100.0, "lidar", "loop", {"length_s": 2.0})))
    times = np.arange(8.0, 16.0, 0.5)
    stamps = [
        stamp_ns(
            injector.apply("/lidar", Modality.LIDAR, message(int(at_s * S)), at_s=float(at_s))[0].message
        )
        for at_s in times
    ]
    assert stamps[:4] == stamps[4:8] == stamps[8:12] == stamps[12:]


def test_headerless_message_passes_when_stamps_are_to_move() -> None:
    bare = SimpleNamespace(data=[1, 2])
    injector = FaultInjector(scenario(event("offset", "audio"), event("freeze", "audio")))
    assert injector.apply("/audio", Modality.AUDIO, bare, at_s=1.0)[0].message is bare


@pytest.mark.parametrize("make", [image, jpeg])
def test_black_image_decodes_to_zeros_when_raw_or_compressed(make: Any) -> None:
    injector = FaultInjector(scenario(event("black", "camera")))
    dark = injector.apply("/camera", Modality.CAMERA, make(), at_s=1.0)[0].message
    pixels = cv2.imdecode(dark.data, cv2.IMREAD_COLOR) if hasattr(dark, "format") else dark.data
    assert pixels.size > 0
    assert pixels.max() == 0


@pytest.mark.parametrize("big", [False, True])
def test_blocked_sector_has_no_returns_when_others_keep_theirs(big: bool) -> None:
    bearings = np.radians(np.arange(-175, 180, 10))
    points = np.stack([np.cos(bearings), np.sin(bearings), np.ones_like(bearings)], 1)
    injector = FaultInjector(scenario(event("blocked", "lidar", from_deg=150.0, to_deg=-150.0)))
    original = cloud(points, big=big)
    left = injector.apply("/lidar", Modality.LIDAR, original, at_s=1.0)[0].message
    data = left.data.view(original.record)
    behind = np.abs(np.degrees(bearings)) >= 150
    assert np.array_equal(np.isnan(data["x"]), behind)
    assert np.array_equal(data["ring"], np.arange(len(points)))


def test_nan_spoils_its_share_when_given_a_cloud_or_imu() -> None:
    points = np.random.default_rng(0).normal(size=(1000, 3))
    injector = FaultInjector(scenario(event("nan", "lidar", share=0.3), event("nan", "imu")))
    original = cloud(points)
    left = injector.apply("/lidar", Modality.LIDAR, original, at_s=1.0)[0].message
    assert np.isnan(left.data.view(original.record)["z"]).mean() == pytest.approx(0.3, abs=0.05)
    reading = injector.apply("/imu", Modality.IMU, imu(), at_s=1.0)[0].message
    assert math.isnan(reading.angular_velocity.x)
    assert math.isnan(reading.linear_acceleration.z)


def test_noise_has_the_asked_size_when_measured() -> None:
    points = np.zeros((2000, 3))
    injector = FaultInjector(
        scenario(event("noise", "lidar", sigma=0.2), event("noise", "audio", sigma=0.01))
    )
    original = cloud(points)
    noisy = injector.apply("/lidar", Modality.LIDAR, original, at_s=1.0)[0].message
    assert np.std(noisy.data.view(original.record)["y"]) == pytest.approx(0.2, rel=0.1)
    block = audio()
    block.data = np.zeros(4000, np.int16).view(np.uint8)
    heard = injector.apply("/audio", Modality.AUDIO, block, at_s=1.0)[0].message
    assert np.std(heard.data.view(np.int16)) == pytest.approx(327.67, rel=0.1)


@pytest.mark.parametrize("kind", [bytes, list, np.asarray])
def test_truncated_data_keeps_its_container_when_cut(kind: Any) -> None:
    block = audio()
    block.data = kind(block.data.tobytes()) if kind is bytes else kind(block.data.tolist())
    injector = FaultInjector(scenario(event("truncate", "audio", keep=0.25)))
    cut = injector.apply("/audio", Modality.AUDIO, block, at_s=1.0)[0].message.data
    assert type(cut) is type(block.data)
    assert list(cut) == list(block.data)[:32]


def test_truncated_cloud_survives_noise_when_faults_combine() -> None:
    injector = FaultInjector(
        scenario(event("truncate", "lidar"), event("noise", "lidar"), event("blocked", "lidar"))
    )
    original = cloud(np.ones((10, 3)))
    cut = injector.apply("/lidar", Modality.LIDAR, original, at_s=1.0)[0].message
    assert np.array_equal(cut.data, original.data[:100])


@pytest.mark.parametrize("path", [("audio", "data"), ("audio", "audio_data", "int16_data")])
def test_noise_reaches_the_samples_when_nested(path: tuple[str, ...]) -> None:
    pcm = np.zeros(100, np.int16)
    body: Any = pcm.view(np.uint8) if len(path) == 2 else pcm
    for name in reversed(path[1:]):
        body = SimpleNamespace(**{name: body})
    injector = FaultInjector(scenario(event("noise", "audio", sigma=0.1)))
    heard: Any = injector.apply("/audio", Modality.AUDIO, message(S, audio=body), at_s=1.0)[0].message
    for name in path:
        heard = getattr(heard, name)
    assert np.count_nonzero(heard) > 90
    assert pcm.max() == 0


def test_injector_needs_the_message_only_when_content_changes() -> None:
    injector = FaultInjector(scenario(event("delay", "imu"), event("black", "camera")))
    assert not injector.needs_content("/imu", Modality.IMU, 1.0)
    assert injector.needs_content("/camera", Modality.CAMERA, 1.0)
    assert not injector.needs_content("/camera", Modality.CAMERA, 60.0)


def run(injector: FaultInjector, modality: Modality, make: Any, count: int = 1) -> Any:
    """The last message out of `count` that came."""
    for _ in range(count):
        out = injector.apply(TOPICS[modality], modality, make(), at_s=1.0)
    return out[0].message


RAW = ("rgb8", "bgra8", "mono8", "mono16", "bayer_rggb8", "bayer_rggb16", "yuv422", "yuyv")


@pytest.mark.parametrize(("fault", "level"), [("black", 0), ("white", 255), ("covered", 13)])
@pytest.mark.parametrize("encoding", RAW)
def test_image_decodes_to_one_level_when_raw_of_any_encoding(encoding: str, fault: str, level: int) -> None:
    size = BYTES_PER_PIXEL[encoding]
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16 * size), dtype=np.uint8)
    original = image_message(encoding, pixels, width=16, padding=3)
    options = {"sigma": 0.0} if fault == "covered" else {}
    injector = FaultInjector(scenario(event(fault, "camera", **options)))
    spoilt = run(injector, Modality.CAMERA, lambda: original)
    assert np.array_equal(spoilt.data.reshape(16, -1)[:, -3:], original.data.reshape(16, -1)[:, -3:])
    sample = to_sample(Modality.CAMERA, spoilt, type_name="sensor_msgs/msg/Image", config=Config().camera,
                       received_ns=S, arrival_ns=S)  # fmt: skip
    seen = camera.decode(sample.payload)  # type: ignore[arg-type]
    assert abs(seen.astype(int) - level).max() <= 4


def test_covered_part_is_dark_with_noise_when_the_rest_is_seen() -> None:
    original = image()
    injector = FaultInjector(scenario(event("covered", "camera", left=0.5, sigma=0.02)))
    pixels = run(injector, Modality.CAMERA, lambda: original).data.reshape(8, 12, 3)
    assert np.array_equal(pixels[:, 6:], original.data.reshape(8, 12, 3)[:, 6:])
    assert pixels[:, :6].mean() == pytest.approx(13, abs=2)
    assert 2 < pixels[:, :6].std() < 8


def test_empty_cloud_is_well_formed_when_read() -> None:
    injector = FaultInjector(scenario(event("empty", "lidar")))
    left = run(injector, Modality.LIDAR, lambda: cloud(np.ones((10, 3))))
    assert (left.width * left.height, left.row_step, len(left.data)) == (0, 0, 0)


@pytest.mark.parametrize("axis", [-1, 0, 5])
def test_stuck_axis_repeats_when_the_others_go_on(axis: int) -> None:
    injector = FaultInjector(scenario(event("stuck", "imu", axis=float(axis))))
    out = [injector.apply("/imu", Modality.IMU, imu(seed), at_s=1.0 + seed)[0].message for seed in range(4)]
    moving = [
        len({getattr(getattr(item, name), letter) for item in out}) > 1
        for name in ("angular_velocity", "linear_acceleration")
        for letter in "xyz"
    ]
    assert moving == [axis not in (-1, index) for index in range(6)]


def test_saturated_imu_is_at_full_scale_when_read() -> None:
    reading = run(FaultInjector(scenario(event("saturated", "imu"))), Modality.IMU, imu)
    assert {abs(getattr(reading.angular_velocity, axis)) for axis in "xyz"} == {34.9}
    assert {abs(getattr(reading.linear_acceleration, axis)) for axis in "xyz"} == {156.9}
    assert math.copysign(1, reading.angular_velocity.x) == math.copysign(1, imu().angular_velocity.x)


def audio_families() -> dict[str, Any]:
    """Every type of audio message, with the same stereo noise."""
    pcm = np.random.default_rng(0).integers(-9000, 9000, 640, dtype=np.int16)
    typed = SimpleNamespace(float32_data=[], int32_data=[], int16_data=pcm, int8_data=[], uint8_data=[])
    tagged = SimpleNamespace(audio_data=typed, info=SimpleNamespace(format=8, channels=2, rate=16_000))
    dimension = SimpleNamespace(label="channels", size=2, stride=1)
    raw = pcm.view(np.uint8)
    return {
        "sentryfuse/msg/AudioChunk": chunk_message(pcm.reshape(-1, 2)),
        "audio_common_msgs/msg/AudioData": SimpleNamespace(data=raw.tobytes()),
        "audio_common_msgs/msg/AudioDataStamped": message(S, audio=SimpleNamespace(data=raw)),
        "audio_common_msgs/msg/AudioStamped": message(S, audio=tagged),
        "audio_common_msgs/msg/Audio": tagged,
        "std_msgs/msg/Int16MultiArray": SimpleNamespace(
            data=array.array("h", pcm), layout=SimpleNamespace(dim=[dimension], data_offset=0)
        ),
    }


@pytest.mark.parametrize("type_name", sorted(audio_families()))
@pytest.mark.parametrize("fault", ["silent", "clipped", "gapped"])
def test_audio_is_spoilt_when_of_any_family(type_name: str, fault: str) -> None:
    def heard(item: Any) -> Any:
        sample = to_sample(Modality.AUDIO, item, type_name=type_name, config=Config().audio,
                           received_ns=S, arrival_ns=S)  # fmt: skip
        return sample.payload.pcm  # type: ignore[union-attr]

    injector = FaultInjector(scenario(event(fault, "audio")))
    original = audio_families()[type_name]
    before, after = heard(original), heard(run(injector, Modality.AUDIO, lambda: original))
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
    [("clock_jump", {"jump_s": -3.0}, -3.0), ("drift", {"ppm": 100_000.0}, 0.2), ("zero_stamp", {}, -1.0)],
)
def test_clock_goes_wrong_when_told(fault: str, options: dict[str, float], expected_s: float) -> None:
    injector = FaultInjector(scenario(event(fault, "all", **options)))
    for modality in Modality:
        item = injector.apply(TOPICS[modality], modality, message(10 * S), at_s=2.0)[0].message
        expected = 0 if fault == "zero_stamp" else 10 * S + round(expected_s * S)
        assert stamp_ns(item) == expected
    assert injector.apply("/tf", None, message(S), at_s=2.0)[0].message.header.stamp.sec == 1


def test_rate_is_cut_to_the_one_asked_for_when_faster() -> None:
    injector = FaultInjector(scenario(event("rate", "camera", rate_hz=5.0)))
    times = np.arange(0, 600) / 30
    passed = [at for at in times if injector.apply("/camera", Modality.CAMERA, b"", at_s=float(at))]
    assert np.allclose(np.diff(passed), 0.2)


def test_duplicates_come_in_the_number_asked_for_when_sent() -> None:
    injector = FaultInjector(scenario(event("duplicate", "imu", copies=2.0, share=0.5)))
    counts = [len(injector.apply("/imu", Modality.IMU, b"", at_s=1.0)) for _ in range(200)]
    assert set(counts) == {1, 3}
    assert 70 < counts.count(3) < 130


@given(depth=st.integers(1, 5), share=st.floats(0.05, 0.95), seed=st.integers(0, 999))
def test_reordered_messages_all_come_once_when_flushed(depth: int, share: float, seed: int) -> None:
    stream = FaultInjector(scenario(event("reorder", "imu", depth=float(depth), share=share), seed=seed))
    out = [d.message for i in range(200) for d in stream.apply("/imu", Modality.IMU, i, at_s=i / 10)]
    assert stream.flush(49.9) == []
    out += [delivery.message for topic, delivery in stream.flush(50.0) if topic == "/imu"]
    assert sorted(out) == list(range(200))
    assert out != list(range(200))
    assert stream.flush() == []
    overtaken = [sum(later > item for later in out[:place]) for place, item in enumerate(out)]
    assert max(overtaken) >= 1
