"""Replays of recordings that tell poses and odometry."""

from __future__ import annotations

import json
from pathlib import Path

import bags
import pytest
from bags import START_NS
from builders import MS, S
from replays import run

from sentryfuse_core.bags.readers import BagReader
from sentryfuse_core.config import Config, override
from sentryfuse_core.replay.finish import write_all
from sentryfuse_core.replay.outputs import RunOutputs
from sentryfuse_core.replay.records import json_line, read_results
from sentryfuse_core.replay.run import ReplayOptions, replay
from sentryfuse_core.types import Modality

CAMERA, LIDAR, IMU, AUDIO = Modality

pytestmark = pytest.mark.usefixtures("one_loaded_network")


def test_poses_come_from_the_recording_and_their_chains_stand_in_manifest_and_diagnostics(
    tmp_path: Path,
) -> None:
    static = bags.transforms(
        bags.transform("mast", "base_link", (0.0, 0.0, 1.0)), bags.transform("lidar", "mast", (0.0, 0.0, 0.8))
    )
    messages = [static, *bags.drive([LIDAR, IMU], seconds=0.5)]
    result = run(tmp_path, messages)
    assert result.poses == {"lidar": "base_link <- mast <- lidar, /tf_static", "imu": "parameters"}
    imu = "imu is placed by the parameters imu.translation_m and imu.quaternion_xyzw, which are at their"
    assert all(
        [note.startswith(imu) for note in record.notes if "placed" in note] == [True]
        for record in result.records
        if IMU in record.used
    )
    write_all(tmp_path / "out", ReplayOptions(bag=tmp_path / "bag.mcap"), result, command=[], scenario=None)
    assert json.loads((tmp_path / "out" / "manifest.json").read_text())["poses"] == result.poses
    with BagReader(tmp_path / "out" / "results.mcap") as reader:
        (*_, last) = reader.messages({"/diagnostics"})
    poses = next(status for status in last.message.status if status.name == "sentryfuse: poses")
    assert poses.level == 1
    assert {value.key: value.value for value in poses.values} == result.poses


def test_parameters_place_the_sensors_and_it_is_said_once_when_the_recording_has_no_transforms(
    tmp_path: Path,
) -> None:
    result = run(tmp_path, bags.drive([LIDAR], seconds=0.3))
    assert result.poses == {"lidar": "parameters"}
    assert "no /tf_static or /tf in the recording: the poses are the parameters'" in result.notes
    assert not any("placed" in note for record in result.records for note in record.notes)


def test_same_boxes_are_found_when_transforms_say_what_the_parameters_do(tmp_path: Path) -> None:
    sensors = {"camera": Config().camera, "lidar": Config().lidar, "imu": Config().imu}
    static = [
        bags.transform(frame, "base_link", section.translation_m, section.quaternion_xyzw)
        for frame, section in sensors.items()
    ]
    found = []
    for name, first in (("told", [bags.transforms(*static, log_time_ns=START_NS + 2 * MS)]), ("mute", [])):
        (tmp_path / name).mkdir()
        result = run(tmp_path / name, [*first, *bags.drive([CAMERA, LIDAR, IMU], seconds=0.5)])
        found.append([json_line(record) for record in result.records])
    assert found[0] == found[1]


@pytest.mark.parametrize("form", ["mcap", "db3", "bag"])
def test_replay_tells_speeds_over_ground_as_long_as_the_recordings_odometry_is_good(
    form: str, tmp_path: Path
) -> None:
    """It is of another frame after a second, and then it ends."""
    other = bags.odometry(seconds=0.5, child="wheel", start_ns=START_NS + S)
    sensors = bags.drive([LIDAR, IMU], seconds=3.0)
    messages = sorted([*sensors, *bags.odometry(seconds=1.0), *other], key=lambda item: item.log_time_ns)
    bag = bags.write_as(form, tmp_path / "recorded", messages)
    result = replay(ReplayOptions(bag=bag), RunOutputs(tmp_path / "out", bag=bag))
    with BagReader(tmp_path / "out" / "results.mcap") as reader:
        found = [
            (item.message.header.stamp.sec * S + item.message.header.stamp.nanosec, item.message.over_ground)
            for item in reader.messages(["/sentryfuse/tracks"])
        ]
    over = {over for stamp_ns, over in found if S // 5 < stamp_ns - START_NS < S}
    relative = {over for stamp_ns, over in found if stamp_ns - START_NS > 1200 * MS}
    assert (over, relative) == ({True}, {False})
    told = {note.split("; ")[0] for record in result.records for note in record.notes if "odometry" in note}
    assert told == {
        "odometry is not used: no transform to its child_frame_id 'wheel'",
        "odometry is not used: no message for more than 0.3 s",
    }


def test_replay_takes_odometry_of_a_frame_that_the_recordings_transforms_know(tmp_path: Path) -> None:
    known = bags.transforms(
        bags.transform("wheel", "base_link", (0.0, 0.6, 0.3)), bags.transform("lidar", "base_link")
    )
    messages = [known, *bags.drive([LIDAR], seconds=0.6), *bags.odometry(seconds=0.6, child="wheel")]
    result = run(tmp_path, sorted(messages, key=lambda item: item.log_time_ns))
    assert not [note for record in result.records for note in record.notes if "odometry" in note]
    with BagReader(tmp_path / "out" / "results.mcap") as reader:
        last = [item.message for item in reader.messages(["/sentryfuse/tracks"])][-1]
    assert last.over_ground


def test_replay_tells_tracks_in_odometrys_frame_as_long_as_it_is_used(tmp_path: Path) -> None:
    """What is judged and drawn stays in the base frame."""
    messages = [*bags.drive([LIDAR], seconds=1.2), *bags.odometry(seconds=0.6)]
    bag = bags.write(tmp_path / "bag.mcap", sorted(messages, key=lambda item: item.log_time_ns))
    lines, frames = [], []
    for frame in ("base", "odom"):
        config = override(Config(), {"tracking.frame": frame})
        out = tmp_path / frame
        result = replay(ReplayOptions(bag=bag, config=config), RunOutputs(out, bag=bag))
        lines.append([json_line(record) for record in result.records])
        with BagReader(out / "results.mcap") as reader:
            arrays = [item.message for item in reader.messages(["/sentryfuse/tracks"])]
        frames.append([(array.header.frame_id, array.over_ground) for array in arrays])
        untold = [record.tracks is None for record in read_results(out / "results.mcap")]
        assert untold == [array.header.frame_id == "odom" for array in arrays]
    assert lines[0] == lines[1]
    assert set(frames[0]) == {("base_link", True), ("base_link", False)}
    assert set(frames[1]) == {("odom", True), ("base_link", False)}


def test_replay_tells_tracks_in_the_base_frame_and_why_when_odometry_names_no_frame(tmp_path: Path) -> None:
    messages = [*bags.drive([LIDAR], seconds=0.6), *bags.odometry(seconds=0.6, frame="")]
    config = override(Config(), {"tracking.frame": "odom"})
    result = run(tmp_path, sorted(messages, key=lambda item: item.log_time_ns), config=config)
    with BagReader(tmp_path / "out" / "results.mcap") as reader:
        last = [item.message for item in reader.messages(["/sentryfuse/tracks"])][-1]
    assert (last.header.frame_id, last.over_ground) == ("base_link", True)
    (told,) = {note for record in result.records for note in record.notes if "odometry" in note}
    assert "odometry's header.frame_id is empty" in told
