"""Recordings in: the same messages from every format, one clear line for whatever is wrong."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from typing import Any

import bags
import numpy as np
import pytest
from bags import START_NS, TOPICS
from builders import MS
from hypothesis import given, settings
from hypothesis import strategies as st
from rosbags.rosbag1 import Writer as Ros1Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from sentryfuse_core.bags.readers import BagReader, Undecodable, bag_files
from sentryfuse_core.bags.writer import BagWriter, build_message, ros2_typestore
from sentryfuse_core.errors import BagError, SentryFuseError, TopicError
from sentryfuse_core.types import Modality

CAMERA, LIDAR, IMU, AUDIO = Modality
PLAIN = (CAMERA, LIDAR, IMU)


def one_line(error: pytest.ExceptionInfo[SentryFuseError]) -> str:
    text = str(error.value)
    assert "\n" not in text
    return text


@pytest.mark.parametrize("form", bags.FORMATS)
def test_reader_gives_the_same_messages_when_format_differs(form: str, tmp_path: Path) -> None:
    written = [*bags.drive(PLAIN, seconds=0.4), *bags.raw_audio(20)]
    written.sort(key=lambda item: item.log_time_ns)
    path = bags.write_as(form, tmp_path, written)
    with BagReader(path) as reader:
        assert reader.start_ns == written[0].log_time_ns
        assert reader.end_ns == written[-1].log_time_ns
        assert reader.message_count == len(written)
        assert {topic.name: topic.type_name for topic in reader.topics()} == {
            item.topic: item.type_name for item in written
        }
        read = list(reader.messages())
    assert [item.log_time_ns for item in read] == [item.log_time_ns for item in written]
    for expected in written:
        found = next(m for m in read if m.log_time_ns == expected.log_time_ns and m.topic == expected.topic)
        stamp = found.message.header.stamp
        assert {"sec": stamp.sec, "nanosec": stamp.nanosec} == expected.fields["header"]["stamp"]
        if "data" in expected.fields:
            assert bytes(found.message.data) == expected.fields["data"]
        if "audio" in expected.fields:
            assert bytes(found.message.audio.data) == expected.fields["audio"]["data"]


@pytest.mark.parametrize("form", bags.FORMATS)
def test_reader_gives_ros2_bytes_when_raw(form: str, tmp_path: Path) -> None:
    written = bags.drive(PLAIN, seconds=0.2)
    reference = bags.write_as("mcap", tmp_path / "reference", written)
    path = bags.write_as(form, tmp_path / "tested", written)
    with BagReader(reference) as expected, BagReader(path) as found:
        pairs = list(zip(expected.messages(raw=True), found.messages(raw=True), strict=True))
    assert {(a.topic, a.log_time_ns) for a, _ in pairs} == {(b.topic, b.log_time_ns) for _, b in pairs}
    by_key = {(b.topic, b.log_time_ns): b.message for _, b in pairs}
    assert all(by_key[a.topic, a.log_time_ns] == a.message for a, _ in pairs)


def ros1_bag(path: Path, type_name: str, fields: dict[str, Any], definition: str = "") -> Path:
    """One message of ROS 1, of a type that ROS defines or this `definition` does."""
    store = get_typestore(Stores.ROS1_NOETIC)
    if definition:
        store.register(get_types_from_msg(definition, type_name))
    with Ros1Writer(path) as writer:
        stream = writer.add_connection("/topic", type_name, typestore=store)
        message = build_message(store, type_name, fields)
        writer.write(stream, START_NS, store.serialize_ros1(message, type_name))
    return path


def test_reader_gives_every_field_when_ros1_calls_it_otherwise(tmp_path: Path) -> None:
    calibration = {"D": [0.5] * 5, "K": list(range(9)), "R": [2.0] * 9, "P": list(range(12))}
    fields = {"header": bags.header(START_NS, "camera"), "height": 48, "width": 64, **calibration}
    path = ros1_bag(tmp_path / "a.bag", "sensor_msgs/msg/CameraInfo", fields)
    with BagReader(path) as reader:
        found = next(reader.messages(raw=True))
    message = ros2_typestore().deserialize_cdr(found.message, found.type_name)
    assert (message.header.frame_id, message.height, message.width) == ("camera", 48, 64)
    assert {name: list(getattr(message, name.lower())) for name in calibration} == calibration


@pytest.mark.parametrize(
    ("type_name", "definition", "told"),
    [
        ("vision_msgs/msg/VisionClass", "uint16 id\nstring class_name\n", "has class_id where"),
        ("acme_msgs/msg/Gadget", "uint16 id\n", "unknown in ROS 2"),
    ],
)
def test_reader_marks_a_message_when_ros2_has_no_place_for_what_ros1_says(
    type_name: str, definition: str, told: str, tmp_path: Path
) -> None:
    path = ros1_bag(tmp_path / "a.bag", type_name, {"id": 7}, definition)
    with BagReader(path) as reader:
        assert next(reader.messages()).message.id == 7
        found = next(reader.messages(raw=True)).message
    assert isinstance(found, Undecodable)
    assert told in found.detail


def test_reader_gives_views_when_arrays_are_large(tmp_path: Path) -> None:
    path = bags.write(tmp_path / "a.mcap", bags.drive([LIDAR], seconds=0.1))
    with BagReader(path) as reader:
        data = next(reader.messages()).message.data
    assert isinstance(data, np.ndarray)
    assert not data.flags.owndata
    assert not data.flags.writeable


def test_reader_raises_topic_error_when_topic_is_unknown(tmp_path: Path) -> None:
    path = bags.write(tmp_path / "a.mcap", bags.drive([IMU], seconds=0.1))
    with BagReader(path) as reader, pytest.raises(TopicError) as error:
        next(reader.messages(["/nope"]))
    assert "/nope" in one_line(error)
    assert TOPICS[IMU] in str(error.value)


def test_reader_marks_message_when_it_does_not_match_its_type(tmp_path: Path) -> None:
    with BagWriter(tmp_path / "a.mcap") as writer:
        writer.write_cdr("/imu/data", "sensor_msgs/msg/Imu", START_NS, b"\x00\x01\x00\x00rubbish")
        writer.write("/imu/data", "sensor_msgs/msg/Imu", START_NS + 1, bags.imu(START_NS, 1))
    with BagReader(tmp_path / "a.mcap") as reader:
        first, second = reader.messages()
    assert isinstance(first.message, Undecodable)
    assert second.message.linear_acceleration.z > 9.0


def without_definitions(path: Path, *, type_name: str | None = None) -> Path:
    """What older versions of rosbag2 wrote."""
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        database.execute("DELETE FROM message_definitions")
        if type_name is not None:
            database.execute("UPDATE topics SET type = ?", (type_name,))
    return path


def test_reader_knows_both_families_of_audio_when_db3_has_no_definitions(tmp_path: Path) -> None:
    path = without_definitions(bags.write_as("db3", tmp_path / "raw", bags.raw_audio(3)))
    with BagReader(path) as reader:
        assert bytes(next(reader.messages()).message.audio.data) == bytes(640)
    audio = {"audio_data": {"int16_data": [1, -2, 3]}, "info": {"format": 8, "channels": 1, "rate": 16_000}}
    fields = {"header": bags.header(START_NS, "mic"), "audio": audio}
    message = bags.Message("/mic", "audio_common_msgs/msg/AudioStamped", START_NS, fields)
    path = without_definitions(bags.write_as("db3", tmp_path / "typed", [message], audio_chunks=True))
    with BagReader(path) as reader:
        assert next(reader.messages()).message.audio.audio_data.int16_data.tolist() == [1, -2, 3]


def test_reader_names_the_type_when_nothing_defines_it(tmp_path: Path) -> None:
    path = bags.write_as("db3", tmp_path, bags.drive([IMU], seconds=0.1))
    without_definitions(path, type_name="acme_msgs/msg/Gadget")
    with BagReader(path) as reader, pytest.raises(TopicError) as error:
        next(reader.messages())
    assert "acme_msgs/msg/Gadget" in one_line(error)


def test_reader_asks_for_one_file_when_folder_has_no_metadata(tmp_path: Path) -> None:
    messages = bags.drive([IMU], seconds=0.1)
    bags.write(tmp_path / "a.mcap", messages)
    with BagReader(tmp_path) as reader:
        assert reader.message_count == len(messages)
    bags.write(tmp_path / "b.mcap", messages)
    with pytest.raises(BagError) as error:
        BagReader(tmp_path).open()
    assert "a.mcap, b.mcap" in one_line(error)


@pytest.mark.parametrize("form", bags.FORMATS)
@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.95])
def test_reader_raises_bag_error_when_recording_is_truncated(form: str, share: float, tmp_path: Path) -> None:
    path = bags.write_as(form, tmp_path, bags.drive([CAMERA, LIDAR], seconds=1.0))
    file = bag_files(path)[0]
    file.write_bytes(file.read_bytes()[: int(share * file.stat().st_size)])
    with pytest.raises(BagError) as error, BagReader(path) as reader:
        list(reader.messages())
    assert path.name in one_line(error)
    assert ";" in str(error.value)  # what is wrong; what to do about it


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    messages = bags.drive(PLAIN, seconds=0.2)
    found = {}
    for form in ("mcap", "db3", "bag"):
        found[form] = bags.write_as(form, tmp_path_factory.mktemp(form), messages).read_bytes()
    return found


@settings(max_examples=60)
@given(form=st.sampled_from(["mcap", "db3", "bag"]), data=st.data())
def test_reader_raises_only_named_errors_when_bytes_are_altered(
    originals: dict[str, bytes], form: str, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    content = bytearray(originals[form])
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("altered") / f"a.{form}"
    path.write_bytes(content)
    with contextlib.suppress(SentryFuseError), BagReader(path) as reader:
        assert all(item.log_time_ns >= 0 for item in reader.messages())


def test_reader_says_so_when_not_open(tmp_path: Path) -> None:
    reader = BagReader(bags.write(tmp_path / "a.mcap", bags.drive([IMU], seconds=10 * MS / 1e9)))
    with pytest.raises(BagError, match="not open"):
        reader.topics()


@pytest.mark.parametrize("form", bags.FORMATS)
@pytest.mark.parametrize("no_time_ns", [0, 1])
def test_recording_begins_with_its_clock_when_the_first_messages_came_before(
    form: str, no_time_ns: int, tmp_path: Path
) -> None:
    drive = bags.drive([Modality.LIDAR, Modality.IMU], seconds=0.3)
    early = [item._replace(log_time_ns=no_time_ns) for item in drive[:3]]
    with BagReader(bags.write_as(form, tmp_path, [*early, *drive[3:]])) as reader:
        assert reader.start_ns == drive[3].log_time_ns
        times = [item.log_time_ns for item in reader.messages()]
        notes = [note for note in reader.notes if "before there was a clock" in note]
    assert times == [drive[3].log_time_ns] * 3 + [item.log_time_ns for item in drive[3:]]
    assert [f"3 of {len(drive)} messages" in note for note in notes] == [True]


def test_recording_begins_at_zero_when_nothing_has_another_time(tmp_path: Path) -> None:
    drive = [item._replace(log_time_ns=0) for item in bags.drive([Modality.IMU], seconds=0.1)]
    with BagReader(bags.write(tmp_path / "a.mcap", drive)) as reader:
        assert (reader.start_ns, reader.end_ns, reader.notes) == (0, 0, ())
        assert len(list(reader.messages())) == len(drive)
