"""Recordings whose data does not fit, or is of no use: what a replay says, and how it ends."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import bags
import mcaps
import numpy as np
import pytest
from bags import START_NS, TOPICS
from builders import MS
from replays import run

from sentryfuse_core.bags.writer import BagWriter
from sentryfuse_core.config import Config, override
from sentryfuse_core.errors import BagError
from sentryfuse_core.replay.outputs import RunOutputs
from sentryfuse_core.replay.run import ReplayOptions, replay
from sentryfuse_core.types import Modality

CAMERA, LIDAR, IMU, AUDIO = Modality

pytestmark = pytest.mark.usefixtures("one_loaded_network")


def headerless(count: int, data: bytes, **info: Any) -> list[bags.Message]:
    """audio_common_msgs/AudioData every 20 ms, after an AudioInfo where one is given."""
    kind = "audio_common_msgs/msg/Audio"
    told = {
        "channels": 1,
        "sample_rate": 44_100,
        "sample_format": "S16LE",
        "bitrate": 0,
        "coding_format": "wave",
    }
    infos = [bags.Message("/mic_info", f"{kind}Info", START_NS, {**told, **info})] if info else []
    times = [START_NS + index * 20 * MS for index in range(count)]
    noise = itertools.cycle(data[k:] + data[:k] for k in range(0, 200, 2))  # no two of them the same
    return [*infos, *(bags.Message("/mic", f"{kind}Data", at, {"data": next(noise)}) for at in times)]


QUIET = np.random.default_rng(0).normal(0.0, 3000.0, 882).astype("<i2").tobytes()  # 20 ms of 44.1 kHz, mono


def camera_info(topic: str = "/camera/camera_info", **changes: Any) -> bags.Message:
    """The CameraInfo of the builder's pictures."""
    fields = {
        "header": bags.header(START_NS, "camera"),
        "width": 64,
        "height": 48,
        "distortion_model": "plumb_bob",
        "d": [0.0] * 5,
        "k": [32.0, 0.0, 32.0, 0.0, 32.0, 24.0, 0.0, 0.0, 1.0],
        **changes,
    }
    return bags.Message(topic, "sensor_msgs/msg/CameraInfo", START_NS, fields)


OTHER_PICTURE = camera_info(width=1280, height=720, k=[640.0, 0.0, 640.0, 0.0, 640.0, 360.0, 0.0, 0.0, 1.0])


@pytest.mark.parametrize(
    ("messages", "values", "told"),
    [
        (
            bags.drive([CAMERA], seconds=0.3),
            {"camera.image_width": 1242, "camera.image_height": 375},
            ["64 x 48", "camera.image_width"],
        ),
        ([OTHER_PICTURE, *bags.drive([CAMERA], seconds=0.5)], {}, ["CameraInfo", "64 x 48", "1280 x 720"]),
        ([*bags.raw_audio(30), *bags.drive([CAMERA], seconds=0.6)], {}, ["16000 Hz", "audio.channels"]),
        (headerless(60, QUIET), {}, ["audio.sample_rate_hz", "44100 Hz"]),
    ],
    ids=["intrinsics", "another picture", "stamped audio", "headerless audio"],
)
def test_replay_says_what_to_set_when_data_does_not_fit_the_parameters(
    messages: Sequence[bags.Message], values: dict[str, Any], told: list[str], tmp_path: Path
) -> None:
    result = run(tmp_path, messages, config=override(Config(), values))
    assert len([note for note in result.notes if all(text in note for text in told)]) == 1


@pytest.mark.parametrize("late", [False, True])
def test_replay_takes_the_camera_info_of_the_recording(late: bool, tmp_path: Path) -> None:
    """Also where the first pictures come before it, and do not fit the parameters."""
    messages, config = bags.drive([CAMERA], seconds=0.5), override(Config(), {"camera.image_width": 1242})
    info = camera_info()._replace(log_time_ns=START_NS + 250 * MS * late)
    result = run(tmp_path, sorted([info, *messages], key=lambda item: item.log_time_ns), config=config)
    assert result.selection.camera_infos == {CAMERA: "/camera/camera_info"}
    assert not any("CameraInfo" in note or "intrinsics" in note for note in result.notes)
    assert result.metrics["sensors"]["camera"]["topic"] == TOPICS[CAMERA]


def test_replay_takes_the_audio_info_of_the_recording(tmp_path: Path) -> None:
    result = run(tmp_path, headerless(60, QUIET, channels=1))
    assert result.selection.audio_infos == {AUDIO: "/mic_info"}
    assert not any("audio" in note for note in result.notes)
    assert result.metrics["sensors"]["audio"]["state"] == "OK"


@pytest.mark.parametrize("count", [3, 60])
def test_replay_says_why_audio_is_not_used_when_it_is_coded(tmp_path: Path, count: int) -> None:
    result = run(tmp_path, headerless(count, QUIET, coding_format="mp3"))
    (note,) = [note for note in result.notes if note.startswith("audio")]
    assert "'mp3'" in note
    assert not any(record.used for record in result.records)


def test_replay_takes_p_and_says_so_when_the_topic_is_rectified(tmp_path: Path) -> None:
    pictures = [
        item._replace(topic="/cam/image_rect_color/compressed") for item in bags.drive([CAMERA], seconds=0.5)
    ]
    info = camera_info(
        "/cam/camera_info",
        header=bags.header(START_NS, "another_camera"),
        distortion_model="omnidirectional",
        d=[0.3] * 4,
        p=[30.0, 0.0, 32.0, 0.0, 0.0, 30.0, 24.0, 0.0, 0.0, 0.0, 1.0, 0.0],
    )
    result = run(tmp_path, [info, *pictures])
    assert any("rectified" in note and "P of /cam/camera_info" in note for note in result.notes)
    assert any("'another_camera'" in note and "'camera'" in note for note in result.notes)
    assert result.metrics["sensors"]["camera"]["state"] == "OK"
    raw = run(tmp_path, [], name="raw", config=override(Config(), {"camera.rectified": "never"}))
    assert any("CameraInfo not used" in note and "omnidirectional" in note for note in raw.notes)


def garbled(tmp_path: Path, *, every: int) -> Path:
    """A recording in which each `every`-th cloud does not match its type."""
    path, clouds = tmp_path / "bag.mcap", itertools.count()
    with BagWriter(path) as writer:
        for item in bags.drive([LIDAR, IMU], seconds=0.6):
            if item.topic == TOPICS[LIDAR] and next(clouds) % every == 0:
                writer.write_cdr(item.topic, item.type_name, item.log_time_ns, b"\x00\x01\x00\x00rubbish")
            else:
                writer.write(*item)
    return path


def test_replay_ends_with_the_reason_when_nothing_of_a_topic_can_be_decoded(tmp_path: Path) -> None:
    bag = garbled(tmp_path, every=1)
    result = replay(ReplayOptions(bag=bag), RunOutputs(tmp_path / "out", bag=bag))
    assert isinstance(result.damage, BagError)
    assert "none of the 6 messages of /lidar/points (sensor_msgs/msg/PointCloud2)" in str(result.damage)
    assert "--topic lidar=NAME" in str(result.damage)
    assert result.metrics["sensors"]["lidar"]["invalid_reasons"] == {"undecodable": 6}


def refused(kind: str) -> list[bags.Message]:
    """A drive whose messages are whole and of no use."""
    found = bags.drive([CAMERA, LIDAR], seconds=1.2)
    for item in found:
        if kind == "stamps":
            item.fields["header"]["stamp"] = {"sec": 0, "nanosec": 0}
        elif item.topic == TOPICS[CAMERA]:
            item.fields["data"] = b"RIFF0000WEBPVP8 " + bytes(100)
        else:
            item.fields["data"] = (np.frombuffer(item.fields["data"], np.float32) * 1e5).tobytes()
    return found


@pytest.mark.parametrize(
    ("kind", "reasons"),
    [("stamps", ["header.stamp is 0"]), ("content", ["a WebP file", "half of the points lie beyond"])],
)
def test_replay_ends_with_the_reasons_when_no_message_can_be_used(
    kind: str, reasons: list[str], tmp_path: Path
) -> None:
    result = run(tmp_path, refused(kind))
    assert "no message of any sensor could be used" in str(result.damage)
    for reason in reasons:
        assert reason in str(result.damage)
    (tmp_path / "good").mkdir()
    good = [*refused(kind), *bags.drive([IMU], seconds=1.2)]
    assert run(tmp_path / "good", sorted(good, key=lambda item: item.log_time_ns)).damage is None


def test_replay_notes_the_reason_when_some_messages_cannot_be_decoded(tmp_path: Path) -> None:
    bag = garbled(tmp_path, every=3)
    result = replay(ReplayOptions(bag=bag), RunOutputs(tmp_path / "out", bag=bag))
    assert result.damage is None
    assert any("lidar: 2 of the 6 messages" in note for note in result.notes)
    assert sum(sensor["invalid"] for sensor in result.metrics["sensors"].values()) == 2


def of_two(seconds: tuple[float, float], after_ms: int) -> list[tuple[str, bags.Message]]:
    """Two lidars of one frame on one topic, the second one that much later."""
    first = bags.drive([LIDAR], seconds=seconds[0])
    second = bags.drive([LIDAR], seconds=seconds[1], start_ns=START_NS + after_ms * MS)
    both = [("first", item) for item in first] + [("second", item) for item in second]
    return sorted(both, key=lambda item: item[1].log_time_ns)


@pytest.mark.parametrize(
    ("seconds", "after_ms", "codes"),
    [((3.0, 3.0), 50, {"several_publishers"}), ((1.5, 1.5), 1550, set())],  # the second one: started anew
)
def test_replay_tells_of_publishers_that_are_mixed_when_the_recording_keeps_them_apart(
    seconds: tuple[float, float], after_ms: int, codes: set[str], tmp_path: Path
) -> None:
    sent = of_two(seconds, after_ms)
    names = {id(item): name for name, item in sent}
    bag = mcaps.write(
        tmp_path / "bag.mcap", [item for _, item in sent], channel_of=lambda item: names[id(item)], chunks=2
    )
    result = replay(ReplayOptions(bag=bag), RunOutputs(tmp_path / "out", bag=bag))
    assert {event["code"] for event in result.metrics["events"]} - {""} == codes


def test_replay_notes_it_when_a_topic_was_recorded_of_several_publishers(tmp_path: Path) -> None:
    offer = "- reliability: 2\n  durability: 2\n"
    messages = bags.drive([LIDAR], seconds=0.5)
    mcaps.write(tmp_path / "bag.mcap", messages, metadata={"offered_qos_profiles": 2 * offer})
    (note,) = [note for note in run(tmp_path, messages).notes if "publishers" in note]
    assert "lidar: /lidar/points was recorded of 2 publishers" in note
