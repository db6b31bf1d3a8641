"""Recordings out: same input, same bytes; readable however the writing ended."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import bags
import pytest
from bags import START_NS

from sentryfuse_core.bags.readers import BagReader
from sentryfuse_core.bags.writer import BagWriter
from sentryfuse_core.errors import OutputError
from sentryfuse_core.types import Modality

IMU_TYPE = "sensor_msgs/msg/Imu"


def test_writer_gives_the_same_bytes_when_input_is_the_same(tmp_path: Path) -> None:
    messages = bags.drive(Modality, seconds=0.5)
    first, second = (bags.write(tmp_path / folder / "a.mcap", messages) for folder in ("one", "two"))
    assert first.read_bytes() == second.read_bytes()


def test_writer_makes_a_rosbag2_folder_when_path_has_no_suffix(tmp_path: Path) -> None:
    folder = bags.write(tmp_path / "drive", bags.drive([Modality.IMU], seconds=0.1))
    assert sorted(path.name for path in folder.iterdir()) == ["drive.mcap", "metadata.yaml"]
    with BagReader(folder) as reader:
        assert reader.message_count == 10


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_writer_leaves_a_readable_file_when_interrupted(error: type[BaseException], tmp_path: Path) -> None:
    messages = bags.drive([Modality.IMU, Modality.LIDAR], seconds=0.5)
    path = tmp_path / "a.mcap"

    def cut_short() -> Iterator[bags.Message]:
        yield from messages[:30]
        raise error

    with pytest.raises(error):
        bags.write(path, cut_short())
    with BagReader(path) as reader:
        assert [item.log_time_ns for item in reader.messages()] == [m.log_time_ns for m in messages[:30]]


def test_writer_begins_anew_when_an_earlier_one_was_killed(tmp_path: Path) -> None:
    path = tmp_path / "a.mcap"
    BagWriter(path).open()  # and never closed
    assert [found.name for found in tmp_path.iterdir()] == [".a.part"]
    bags.write(path, bags.drive([Modality.IMU], seconds=0.1))
    assert [found.name for found in tmp_path.iterdir()] == ["a.mcap"]


def test_writer_leaves_a_readable_file_when_nothing_was_written(tmp_path: Path) -> None:
    path = bags.write(tmp_path / "a.mcap", [])
    with BagReader(path) as reader:
        assert reader.topics() == ()
        assert (reader.start_ns, reader.end_ns, reader.duration_s) == (0, 0, 0.0)
        assert list(reader.messages()) == []


@pytest.mark.parametrize("name", ["a.mcap", "folder"])
def test_writer_raises_output_error_when_target_exists(name: str, tmp_path: Path) -> None:
    path = bags.write(tmp_path / name, [])
    with pytest.raises(OutputError, match="exists already"):
        BagWriter(path).open()


def test_writer_raises_output_error_when_folder_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="cannot write"):
        BagWriter(tmp_path / "file" / "a.mcap").open()


def test_writer_raises_when_field_is_unknown(tmp_path: Path) -> None:
    with BagWriter(tmp_path / "a.mcap") as writer, pytest.raises(KeyError, match="angular_speed"):
        writer.write("/imu", IMU_TYPE, START_NS, {"angular_speed": {}})


def test_writer_fills_ros_defaults_when_fields_are_left_out(tmp_path: Path) -> None:
    with BagWriter(tmp_path / "a.mcap") as writer:
        writer.write("/imu", IMU_TYPE, START_NS, {})
    with BagReader(tmp_path / "a.mcap") as reader:
        message = next(reader.messages()).message
    assert message.header.frame_id == ""
    assert message.orientation.w == 1.0
    assert message.orientation_covariance.tolist() == [0.0] * 9


def test_writer_says_so_when_not_open(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="not open"):
        BagWriter(tmp_path / "a.mcap").write("/imu", IMU_TYPE, START_NS, {})
