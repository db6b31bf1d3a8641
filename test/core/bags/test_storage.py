"""Files of recordings: optional parts left out, parts beside, odd folders, and what is no recording."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import sqlite3
import sys
from pathlib import Path
from typing import Any

import bags
import mcaps
import pytest
import yaml
from bags import START_NS, TOPICS
from builders import MS, S
from hypothesis import given
from hypothesis import strategies as st

from sentryfuse_core.bags.readers import BagReader, Undecodable, bag_files, is_recording, recording_name
from sentryfuse_core.bags.storage import files
from sentryfuse_core.bags.storage.common import Definition, Item, Source, Stream, merged
from sentryfuse_core.errors import BagError, SentryFuseError
from sentryfuse_core.types import Modality

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

CAMERA, LIDAR, IMU, AUDIO = Modality
SENSORS = (LIDAR, IMU)
MESSAGES = bags.drive(SENSORS, seconds=0.5)
KEYS = [(item.log_time_ns, item.topic) for item in MESSAGES]


def keys(path: Path) -> list[tuple[int, str]]:
    """Time and topic of every message, all of them decoded."""
    with BagReader(path) as reader:
        found = list(reader.messages())
        assert reader.message_count == len(found)
    assert not [item for item in found if isinstance(item.message, Undecodable)]
    return [(item.log_time_ns, item.topic) for item in found]


def refusal(path: Path) -> str:
    with pytest.raises(BagError) as error, BagReader(path) as reader:
        list(reader.messages())
    assert "\n" not in str(error.value)
    return str(error.value)


LEFT_OUT: dict[str, dict[str, Any]] = {
    "nothing": {},
    "message index": {"indexed_channels": 0},
    "message index of some channels": {"indexed_channels": 1},
    "message index and statistics": {"indexed_channels": 0, "statistics": False},
    "message index of some channels, and statistics": {"indexed_channels": 1, "statistics": False},
    "chunk index": {"indexed_chunks": 0},
    "chunk index of some chunks": {"indexed_chunks": 1},
    "repeated schemas and channels": {"repeated": False},
    "statistics": {"statistics": False},
    "summary": {"summary": False},
    "chunks": {"chunks": 0},
    "chunks and summary": {"chunks": 0, "summary": False},
    "chunks around the last messages": {"loose": 7},
    "chunks around the last messages, and summary": {"loose": 7, "summary": False},
    "message encoding": {"encoding": ""},
    "definitions": {"definitions": False},
}


@pytest.mark.parametrize("left_out", LEFT_OUT)
def test_mcap_gives_every_message_when_optional_records_are_left_out(left_out: str, tmp_path: Path) -> None:
    path = mcaps.write(tmp_path / "a.mcap", MESSAGES, **LEFT_OUT[left_out])
    assert keys(path) == KEYS
    with BagReader(path) as reader:
        assert (reader.start_ns, reader.end_ns) == (KEYS[0][0], KEYS[-1][0])
        counts = {topic.name: topic.count for topic in reader.topics()}
        assert counts == {name: sum(key[1] == name for key in KEYS) for name in counts}


@pytest.mark.parametrize("options", [{}, {"chunks": 0}, {"indexed_channels": 0}])
def test_mcap_gives_messages_by_time_when_they_were_written_out_of_order(
    options: dict[str, Any], tmp_path: Path
) -> None:
    path = mcaps.write(tmp_path / "a.mcap", MESSAGES[::-1], **options)
    assert sorted(keys(path)) == sorted(KEYS)
    assert [time for time, _ in keys(path)] == sorted(time for time, _ in KEYS)


@pytest.mark.parametrize("options", [{}, {"chunks": 0}])
def test_mcap_gives_what_is_whole_and_then_the_damage_when_it_was_cut_off(
    options: dict[str, Any], tmp_path: Path
) -> None:
    content = mcaps.build(MESSAGES, **options)
    path = tmp_path / "a.mcap"
    path.write_bytes(content[: len(content) // 2])
    with BagReader(path) as reader:
        found = list(itertools.islice(reader.messages(), reader.message_count))
    assert "mcap recover" in refusal(path)
    found = [(item.log_time_ns, item.topic) for item in found]
    assert 5 < len(found) < len(KEYS)
    assert found == KEYS[: len(found)]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"claimed": 8 << 30}, "claims 8,589,934,592 bytes"),
        ({"compression": "snappy"}, "'snappy', which is not known; write it anew with `mcap compress"),
        ({"compression": "snappy", "indexed_channels": 0}, "mcap compress"),
        ({"encoding": "protobuf", "schema_encoding": "protobuf"}, "encoded as protobuf"),
        ({"encoding": "json", "schema_encoding": "jsonschema"}, "encoded as json"),
    ],
)
def test_mcap_is_refused_for_what_it_is_when_it_cannot_be_read(
    options: dict[str, Any], told: str, tmp_path: Path
) -> None:
    text = refusal(mcaps.write(tmp_path / "a.mcap", MESSAGES, **options))
    assert told in text
    assert ("recover" in text) == ("claimed" in options)


@pytest.mark.parametrize(
    "spelling",
    [
        lambda name: name.replace("/msg/", "/"),
        lambda name: name.replace("/", "::"),
        lambda name: name.replace("/msg/", "::msg::dds_::") + "_",
    ],
)
def test_reader_gives_the_full_type_when_it_is_spelt_otherwise(spelling: Any, tmp_path: Path) -> None:
    path = mcaps.write(tmp_path / "a.mcap", MESSAGES, spelling=spelling)
    with BagReader(path) as reader:
        assert {topic.type_name for topic in reader.topics()} == {item.type_name for item in MESSAGES}
    assert keys(path) == KEYS


def folder_of(target: Path, parts: list[list[bags.Message]], *, form: str = "mcap") -> Path:
    """A rosbag2 folder whose files hold `parts`."""
    target.mkdir()
    names = []
    for number, part in enumerate(parts):
        names.append(f"{target.name}_{number}.{form}")
        shutil.copy(
            bags.write_as(form, target.parent / f"{target.name} part {number}", part), target / names[-1]
        )
    metadata(target, {"version": 9, "storage_identifier": form, "relative_file_paths": names})
    return target


def metadata(folder: Path, content: Any) -> None:
    text = yaml.safe_dump({"rosbag2_bagfile_information": content})
    (folder / "metadata.yaml").write_text(text, encoding="utf-8")


@pytest.mark.parametrize("form", ["mcap", "db3"])
def test_reader_merges_files_by_time_when_they_cover_the_same_time(form: str, tmp_path: Path) -> None:
    by_topic = [[item for item in MESSAGES if item.topic == TOPICS[sensor]] for sensor in SENSORS]
    assert sorted(keys(folder_of(tmp_path / "a", by_topic, form=form))) == sorted(KEYS)
    assert [time for time, _ in keys(tmp_path / "a")] == sorted(time for time, _ in KEYS)


@pytest.mark.parametrize(
    "content",
    [
        {"storage_identifier": ""},
        {"storage_identifier": "my_plugin"},
        {"storage_identifier": None},
        {"version": 11, "new_field": {"a": [1]}},
        {"version": None, "files": None, "topics_with_message_count": None, "message_count": 0},
        {"relative_file_paths": ["a/a_0.mcap", "a\\a_1.mcap"]},
        {"relative_file_paths": None},
        None,
        [],
        "text",
    ],
)
def test_reader_takes_the_data_when_metadata_are_odd(content: Any, tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "a", [MESSAGES[:30], MESSAGES[30:]])
    if isinstance(content, dict):
        content = {"relative_file_paths": ["a_0.mcap", "a_1.mcap"]} | content
    metadata(folder, content)
    assert keys(folder) == KEYS


def test_reader_reads_a_part_and_says_so_when_metadata_do_not_name_it(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "a", [MESSAGES[:30], MESSAGES[30:]])
    metadata(folder, {"relative_file_paths": ["a_0.mcap"]})
    assert keys(folder) == KEYS
    with BagReader(folder) as reader:
        assert any("a_1.mcap is not named" in note for note in reader.notes)


def test_reader_names_the_part_when_it_is_missing(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "a", [MESSAGES[:30], MESSAGES[30:]])
    (folder / "a_1.mcap").unlink()
    assert "lacks a_1.mcap, 1 of the 2 files" in refusal(folder)
    assert "recover" not in refusal(folder)


@pytest.mark.parametrize("form", ["mcap", "db3"])
@pytest.mark.parametrize("named", [True, False])
def test_reader_leaves_the_last_part_out_and_says_so_when_it_is_empty(
    form: str,
    named: bool,
    tmp_path: Path,
) -> None:
    folder = folder_of(tmp_path / "a", [MESSAGES[:30], MESSAGES[30:], MESSAGES[:1]], form=form)
    (folder / f"a_2.{form}").write_bytes(b"")
    if not named:
        (folder / "metadata.yaml").unlink()
    assert keys(folder) == KEYS
    with BagReader(folder) as reader:
        assert any(f"a_2.{form} is empty, and was left out" in note for note in reader.notes)
    (folder / f"a_1.{form}").write_bytes(b"")  # of those between, only a copy can be the reason
    assert f"a_1.{form} is empty" in refusal(folder)


def test_reader_reads_metadata_once_when_a_recording_is_opened_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = folder_of(tmp_path / "a", [MESSAGES[:30], MESSAGES[30:]])
    calls: list[Path] = []
    real = files.read_yaml
    monkeypatch.setattr(files, "read_yaml", lambda path, **limits: calls.append(path) or real(path, **limits))
    for _ in range(3):
        assert keys(folder) == KEYS
    assert len(calls) == 1
    metadata(folder, {"relative_file_paths": ["a_0.mcap", "a_1.mcap", "a_2.mcap"]})
    assert "lacks a_2.mcap" in refusal(folder)


def test_reader_joins_numbered_files_when_there_are_no_metadata(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "a", [MESSAGES[:30], MESSAGES[30:]])
    (folder / "metadata.yaml").unlink()
    assert keys(folder) == KEYS
    assert is_recording(folder)
    assert [path.name for path in bag_files(folder)] == ["a_0.mcap", "a_1.mcap"]
    assert keys(folder.rename(tmp_path / "x.bag")) == KEYS  # a folder that is called as a file


def test_reader_takes_packed_files_when_the_recording_was_compressed(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "a", [MESSAGES[:30], MESSAGES[30:]])
    for path in bag_files(folder):
        path.with_name(path.name + ".zstd").write_bytes(zstd.compress(path.read_bytes()))
        path.unlink()
    assert keys(folder) == KEYS


def test_reader_refuses_a_packed_file_when_it_is_a_bomb(tmp_path: Path) -> None:
    path = tmp_path / "a.mcap.zstd"
    path.write_bytes(zstd.compress(bytes(200 << 20)))
    assert "1,000 times its size" in refusal(path)


def test_reader_tells_the_format_by_content_when_the_name_lies(tmp_path: Path) -> None:
    names = (("mcap", "a.db3"), ("db3", "a.bag"), ("bag", "b.mcap"), ("mcap", "a"), ("db3", "50% of #1?.db3"))
    for number, (form, name) in enumerate(names):
        path = tmp_path / str(number) / name
        shutil.copy(bags.write_as(form, path.parent, MESSAGES), path)
        assert keys(path) == KEYS


def test_reader_gives_what_is_in_the_log_when_a_db3_was_not_closed(tmp_path: Path) -> None:
    path = bags.write_as("db3", tmp_path / "written", MESSAGES)
    copied = tmp_path / "copied"
    copied.mkdir()
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("PRAGMA wal_autocheckpoint=0")
        database.execute(
            "INSERT INTO messages (topic_id, timestamp, data) "
            "SELECT topic_id, timestamp + ?, data FROM messages",
            (S,),
        )
        database.commit()
        for name in (path.name, f"{path.name}-wal"):
            shutil.copy(path.with_name(name), copied)
    before = {item.name: item.read_bytes() for item in copied.iterdir()}
    assert keys(copied / path.name) == KEYS + [(time + S, topic) for time, topic in KEYS]
    assert {item.name: item.read_bytes() for item in copied.iterdir()} == before


def test_reader_takes_a_db3_when_fields_that_are_not_needed_are_odd(tmp_path: Path) -> None:
    path = bags.write_as("db3", tmp_path, MESSAGES)
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE message_definitions SET encoding = 'unknown'")
        database.execute("UPDATE topics SET offered_qos_profiles = 'a: [', serialization_format = ''")
    assert keys(path) == KEYS


@pytest.mark.parametrize("column", ["serialization_format", "offered_qos_profiles"])
def test_reader_takes_a_db3_when_a_version_does_not_have_the_column(column: str, tmp_path: Path) -> None:
    path = bags.write_as("db3", tmp_path, MESSAGES)
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        database.execute(f"ALTER TABLE topics DROP COLUMN {column}")
    assert keys(path) == KEYS


def test_reader_unpacks_messages_when_each_was_packed(tmp_path: Path) -> None:
    path = bags.write_as("db3", tmp_path, MESSAGES)
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        for key, data in database.execute("SELECT id, data FROM messages").fetchall():
            database.execute("UPDATE messages SET data = ? WHERE id = ?", (zstd.compress(data), key))
    assert keys(path) == KEYS
    with BagReader(path) as reader:
        list(reader.messages())
        assert any("packed by zstd" in note for note in reader.notes)


FOREIGN = {
    b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n": "git lfs pull",
    b"<!DOCTYPE html>\n<html>": "web page",
    b"  <html lang='en'>": "web page",
    b"PK\x03\x04rest": "zip archive",
    b"\x1f\x8b\x08rest": "gunzip",
    b"BZh91AY": "bunzip2",
    b"\xfd7zXZ\0": "unxz",
    b"x" * 257 + b"ustar\x0000": "tar -xf",
    b"#ROSBAG V1.2\n": "rosbag fix",
    b"\x89MCAP1\r\n": "another version",
    bytes(4096): "filled with zeros",
    b"": "is empty",
    b"rosbag2_bagfile_information:\n": "give the folder",
    b"anything else": "File magic is invalid",
}


@pytest.mark.parametrize("content", FOREIGN, ids=FOREIGN.values())
@pytest.mark.parametrize("suffix", [".mcap", ".db3", ".bag"])
def test_reader_tells_what_a_file_is_when_it_is_no_recording(
    content: bytes, suffix: str, tmp_path: Path
) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(content)
    assert FOREIGN[content] in refusal(path)
    assert "recover" not in refusal(path)


def ros1_with_header(path: Path, *, name: bytes, value: bytes) -> Path:
    """A ROS 1 bag with a field of its first record's header replaced or added."""
    content = path.read_bytes()
    begin = content.index(b"\n") + 1
    end = begin + 4 + int.from_bytes(content[begin : begin + 4], "little")
    fields = content[begin + 4 : end]
    at = fields.find(name + b"=")
    if at >= 0:
        fields = fields[: at + len(name) + 1] + value + fields[at + len(name) + 1 + len(value) :]
    else:
        fields += (len(name) + 1 + len(value)).to_bytes(4, "little") + name + b"=" + value
    path.write_bytes(content[:begin] + len(fields).to_bytes(4, "little") + fields + content[end:])
    return path


def test_reader_names_the_remedy_when_a_ros1_bag_was_not_closed_or_is_encrypted(tmp_path: Path) -> None:
    path = bags.write_as("bag", tmp_path / "open", MESSAGES)
    assert "rosbag reindex" in refusal(ros1_with_header(path, name=b"index_pos", value=bytes(8)))
    path = bags.write_as("bag", tmp_path / "locked", MESSAGES)
    text = refusal(ros1_with_header(path, name=b"encryptor", value=b"rosbag/AesCbcEncryptor"))
    assert "rosbag/AesCbcEncryptor" in text
    assert "rosbag decrypt" in text


def test_reader_refuses_what_is_no_file_when_reading_it_would_not_end(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mcap")
    assert "a named pipe" in refusal(tmp_path / "pipe.mcap")
    assert "a device" in refusal(Path("/dev/zero"))
    (tmp_path / "link.mcap").symlink_to("../.git/annex/objects/x")
    assert "git annex get" in refusal(tmp_path / "link.mcap")
    assert "too long" in refusal(tmp_path / ("x" * 300 + ".mcap"))
    assert "no recording at" in refusal(tmp_path / "missing")


def test_reader_refuses_metadata_when_their_aliases_are_a_bomb(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "a", [MESSAGES])
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]" for level in range(1, 10)]
    (folder / "metadata.yaml").write_text("\n".join(lines), encoding="utf-8")
    assert "metadata.yaml" in refusal(folder)


def test_reader_marks_messages_when_the_decoder_raises_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = bags.write(tmp_path / "a.mcap", bags.drive([IMU], seconds=0.05))

    def fail(*_args: object) -> None:
        raise KeyError("sensor_msgs/msg/Imu")

    monkeypatch.setattr("rosbags.typesys.store.Typestore.deserialize_cdr", fail)
    with BagReader(path) as reader:
        found = [item.message for item in reader.messages()]
    assert [type(item) for item in found] == [Undecodable] * 5
    assert "KeyError 'sensor_msgs/msg/Imu'" in found[0].detail


@pytest.mark.parametrize("form", ["mcap", "db3", "bag"])
def test_reader_names_the_file_when_reading_raises_anything(
    form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = bags.write_as(form, tmp_path, bags.drive([IMU], seconds=0.05))

    def fail(*_args: object, **_options: object) -> None:
        raise ZeroDivisionError("odd input")

    places = {
        "mcap": "mcap.McapFile._messages",
        "db3": "sqlite.SqliteFile._items",
        "bag": "ros1.Ros1File._items",
    }
    with BagReader(path) as reader, monkeypatch.context() as patch:
        patch.setattr(f"sentryfuse_core.bags.storage.{places[form]}", lambda *_: map(fail, [0]))
        with pytest.raises(SentryFuseError, match=f"{path.name}: odd input"):
            list(reader.messages())


STREAM = Stream("/a", "a/msg/A", "cdr", Definition("", ""), 1)


@given(st.lists(st.lists(st.integers(0, 30), max_size=8), max_size=6))
def test_merged_is_in_order_and_begins_sources_late_when_times_are_any(times: list[list[int]]) -> None:
    begun: set[int] = set()

    def source(number: int) -> Source:
        rising = sorted(times[number])

        def read() -> Any:
            begun.add(number)
            return (Item(at, STREAM, bytes([number, place])) for place, at in enumerate(rising))

        return Source(rising[0] if rising else 0, read)

    found = []
    for item in merged([source(number) for number in range(len(times))]):
        found.append((item.log_time_ns, *item.data))
        # Of what lies ahead nothing is open: memory holds only files and chunks that overlap.
        assert all(not times[number] or min(times[number]) <= item.log_time_ns for number in begun)
    expected = [
        (at, number, place) for number, part in enumerate(times) for place, at in enumerate(sorted(part))
    ]
    assert found == sorted(expected)


def test_merged_keeps_the_recordings_own_bounds_when_only_some_topics_are_read(tmp_path: Path) -> None:
    path = mcaps.write(tmp_path / "a.mcap", MESSAGES)
    with BagReader(path) as reader:
        chosen = [(item.log_time_ns, item.topic) for item in reader.messages([TOPICS[LIDAR]])]
        assert chosen == [key for key in KEYS if key[1] == TOPICS[LIDAR]]
        assert chosen[-1][0] < reader.end_ns == KEYS[-1][0]
        assert reader.start_ns == KEYS[0][0] <= START_NS + 2 * MS


def mistimed(form: str, folder: Path, time_ns: Any, *, last: int) -> Path:
    """MESSAGES, the log time of the last ones altered."""
    kept = len(MESSAGES) - last
    if form == "db3":  # whose times can be anything
        path = bags.write_as(form, folder, MESSAGES)
        with contextlib.closing(sqlite3.connect(path)) as database, database:
            database.execute("UPDATE messages SET timestamp = ? WHERE id > ?", (time_ns, kept))
        return path
    messages = [*MESSAGES[:kept], *(item._replace(log_time_ns=time_ns) for item in MESSAGES[kept:])]
    if form == "bag":
        return bags.write_as(form, folder, messages)
    return mcaps.write(folder / "a.mcap", messages, loose=last if form == "mcap without chunks" else 0)


MISTIMED = [
    *itertools.product(["mcap", "mcap without chunks"], [2**31 * S, 2**63, 2**64 - 1]),
    *itertools.product(["db3"], [2**31 * S, -1, 2**63 - 1, 1e300, "noon"]),
    *itertools.product(["bag"], [2**31 * S, (2**32 - 1) * S]),
]


@pytest.mark.parametrize(("form", "time_ns"), MISTIMED)
def test_reader_leaves_messages_out_and_says_so_when_no_ros_time_holds_theirs(
    form: str, time_ns: Any, tmp_path: Path
) -> None:
    path = mistimed(form, tmp_path, time_ns, last=2)
    assert keys(path) == KEYS[:-2]
    with BagReader(path) as reader:
        assert (reader.start_ns, reader.end_ns) == (KEYS[0][0], KEYS[-3][0])
        (note,) = reader.notes
    assert f"{path.name}: 2 of its {len(KEYS)} messages have log times that no ROS time can hold" in note


@pytest.mark.parametrize(("form", "time_ns"), [("mcap", 2**64 - 1), ("db3", -1), ("bag", 2**31 * S)])
def test_reader_refuses_a_recording_when_no_ros_time_holds_any_log_time(
    form: str, time_ns: Any, tmp_path: Path
) -> None:
    path = mistimed(form, tmp_path, time_ns, last=len(MESSAGES))
    assert f"all its {len(KEYS)} messages" in refusal(path)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("a/drive.mcap", "drive"),
        ("drive_3.db3.zstd", "drive_3"),
        ("v1.1", "v1.1"),
        ("a/2024-05-01.12.30/", "2024-05-01.12.30"),
        (".", "here"),
        ("..", "above"),
        (".mcap", ".mcap"),
    ],
)
def test_recording_is_called_after_its_whole_name_when_that_has_dots(
    path: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "above" / "here").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "above" / "here")
    assert recording_name(Path(path)) == name
