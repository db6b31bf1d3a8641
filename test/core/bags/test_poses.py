"""Poses of a recording: out of its own /tf_static and /tf, parameters only where they say nothing."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import bags
import pytest
from bags import START_NS, transform, transforms
from builders import MS, sample

from sentryfuse_core.bags.poses import BagTransforms, pose_notes
from sentryfuse_core.bags.readers import BagReader
from sentryfuse_core.bags.writer import BagWriter
from sentryfuse_core.config import Config, override
from sentryfuse_core.preprocess.placing import Placer
from sentryfuse_core.types import Modality, ModalitySet, Pose

CAMERA, LIDAR, IMU, AUDIO = Modality
LEVEL = (0.0, 0.0, 0.0, 1.0)
TOPICS = tuple(bags.TOPICS.values())


class Placing:
    """A recording's transforms at work."""

    def __init__(self, poses: BagTransforms, placer: Placer) -> None:
        self.poses = poses
        self.placer = placer

    def lidar(self, *, ms: int = 0, frame_id: str = "lidar") -> Pose:
        self.poses.now_ns = START_NS + ms * MS
        item = sample(LIDAR, START_NS + ms * MS)
        return self.placer.pose(replace(item, frame_id=frame_id))

    @property
    def source(self) -> str:
        return self.placer.placements[LIDAR].source

    @property
    def problem(self) -> str:
        return self.placer.placements[LIDAR].problem

    @property
    def notes(self) -> str:
        return " | ".join(self.poses.notes)


@contextmanager
def placing(
    folder: Path,
    messages: Sequence[bags.Message],
    *,
    form: str = "mcap",
    config: Config | None = None,
    sensors: Sequence[str] = TOPICS,
) -> Iterator[Placing]:
    config = config or Config()
    bag = bags.write_as(form, folder / "bag", sorted(messages, key=lambda item: item.log_time_ns))
    placer = Placer(config)
    with BagReader(bag) as reader:
        yield Placing(BagTransforms(reader, config, sensors, placer), placer)


MAST = (
    transforms(transform("mast", "base_link", (1.0, 0.0, 1.0))),
    transforms(transform("velodyne", "mast", (0.0, 0.0, 0.5)), log_time_ns=START_NS + 900 * MS),
)


@pytest.mark.parametrize("form", bags.FORMATS)
def test_static_transforms_hold_from_the_start_when_recorded_in_parts_and_late(
    form: str, tmp_path: Path
) -> None:
    with placing(tmp_path, MAST, form=form) as found:
        assert found.lidar(frame_id="velodyne").translation == pytest.approx((1.0, 0.0, 1.5))
        assert found.source == "base_link <- mast <- velodyne, /tf_static"
        assert (found.problem, found.notes) == ("", "")


def turning(*, rate_hz: int = 20, until_ms: int = 4000, delay_ms: int = 5) -> list[bags.Message]:
    """A turret that turns by half a radian a second, told on /tf with a little delay."""
    found = []
    for ms in range(0, until_ms, 1000 // rate_hz):
        yaw = 0.5 * ms / 1000
        stamp_ns = START_NS + ms * MS
        turret = transform(
            "turret", "base_link", (0, 0, 1), (0, 0, math.sin(yaw / 2), math.cos(yaw / 2)), stamp_ns=stamp_ns
        )
        found.append(transforms(turret, topic="/tf", log_time_ns=stamp_ns + delay_ms * MS))
    return found


def yaw_of(pose: Pose) -> float:
    return 2 * math.atan2(pose.quaternion[2], pose.quaternion[3])


def test_moving_mount_is_placed_at_the_samples_stamp_when_transforms_come_after_it(tmp_path: Path) -> None:
    messages = [*turning(), transforms(transform("lidar", "turret", (1, 0, 0)))]
    with placing(tmp_path, messages) as found:
        for ms in (10, 1025, 1030, 3333):
            pose = found.lidar(ms=ms)
            assert yaw_of(pose) == pytest.approx(0.5 * ms / 1000, abs=1e-6)
            assert pose.translation == pytest.approx((math.cos(yaw_of(pose)), math.sin(yaw_of(pose)), 1.0))
            assert found.problem == ""
        assert found.source == "base_link <- turret <- lidar, /tf_static and /tf"


def test_ageing_transform_of_a_moving_mount_is_told_in_words_that_stay(tmp_path: Path) -> None:
    messages = [*turning(until_ms=1000), transforms(transform("lidar", "turret"))]
    with placing(tmp_path, messages) as found:
        assert yaw_of(found.lidar(ms=955)) == pytest.approx(0.475, abs=1e-3)
        assert found.problem == ""
        told = set()
        for ms in range(1300, 1900, 50):
            assert yaw_of(found.lidar(ms=ms)) == pytest.approx(0.475, abs=1e-6)
            told.add(found.problem)
        assert len(told) <= 2
        assert all("a transform more than 0." in text and "moves" in text for text in told)


def test_transform_of_a_mount_that_stands_still_is_told_only_when_it_is_old(tmp_path: Path) -> None:
    still = transforms(transform("lidar", "base_link", (0, 0, 1)), topic="/tf")
    with placing(tmp_path, [still]) as found:
        found.lidar(ms=900)
        assert found.problem == ""
        found.lidar(ms=1500)
        assert "more than 1 s away" in found.problem


def test_an_hour_of_tf_is_not_read_when_static_transforms_say_it_all(tmp_path: Path) -> None:
    odometry = [
        transforms(transform("base_link", "odom", (i, 0, 0)), topic="/tf", log_time_ns=START_NS + i * MS)
        for i in range(3000)
    ]
    with placing(tmp_path, [*odometry, transforms(transform("lidar", "base_link", (0, 0, 2)))]) as found:
        assert found.lidar(ms=2500).translation == (0, 0, 2)
        assert "odom" not in found.poses._tree.frames


def test_missing_base_frame_is_one_line_with_the_frames_there_are_when_parameters_hold(
    tmp_path: Path,
) -> None:
    tree = transforms(transform("lidar", "base_footprint", (9, 9, 9)))
    with placing(tmp_path, [tree]) as found:
        assert found.lidar() == Pose(Config().lidar.translation_m, LEVEL)
        assert found.source == "parameters"
        assert found.problem == ""
        assert (
            "no frame 'base_link', only base_footprint, lidar: the poses are the parameters'" in found.notes
        )
        assert len(found.poses.notes) == 1


def test_unknown_frame_is_placed_by_parameters_and_told_when_others_are_known(tmp_path: Path) -> None:
    with placing(tmp_path, MAST) as found:
        assert found.lidar().translation == Config().lidar.translation_m
        assert found.problem.startswith("is placed by the parameters lidar.translation_m and ")
        assert "which are at their defaults" in found.problem
        assert "no transform from frame 'lidar' to 'base_link'" in found.problem
        assert found.placer.notes(ModalitySet.of(LIDAR)) == (f"lidar {found.problem}",)
        found.lidar(frame_id="")
        assert "name no frame, set lidar.frame_id" in found.problem
        found.lidar(frame_id="x" * 100_000)
        assert len(found.problem) <= 600
    config = override(Config(), {"lidar.translation_m": (0.0, 0.0, 1.0)})
    with placing(tmp_path / "set", MAST, config=config) as found:
        found.lidar()
        assert "placed by the parameters" in found.problem
        assert "default" not in found.problem


@pytest.mark.parametrize("kind", ["tf2_msgs/msg/TFMessage", "tf/msg/tfMessage"])
def test_slashes_of_ros_1_are_told_as_the_mistake_when_frames_begin_with_one(
    kind: str, tmp_path: Path
) -> None:
    tree = transforms(transform("/velodyne", "/base_link", (0, 0, 2)), topic="/tf", type_name=kind)
    with placing(tmp_path, [tree], form="bag") as found:
        assert found.lidar(frame_id="/velodyne").translation == (0, 0, 2)
        assert "'/velodyne' with a leading slash" in found.problem
        assert "set lidar.frame_id" in found.problem
        assert "leading slash" in found.notes


def test_frame_that_changes_is_told_when_it_does(tmp_path: Path) -> None:
    with placing(tmp_path, MAST) as found:
        assert found.lidar(frame_id="velodyne").translation[2] == 1.5
        assert found.lidar(frame_id="mast").translation[2] == 1.0
        assert found.problem == "changed its frame from 'velodyne' to 'mast'"
        found.lidar(frame_id="mast")
        assert found.problem == ""


def test_robot_of_the_sensors_is_taken_when_a_recording_holds_several(tmp_path: Path) -> None:
    messages = [
        transforms(transform("lidar", "base_link", (n, 0, 0)), topic=f"/robot{n}/tf_static") for n in (1, 2)
    ]
    with placing(tmp_path, messages, sensors=["/robot2/points", "/robot2/imu"]) as found:
        assert found.lidar().translation == (2, 0, 0)
        assert "poses are from the transforms under /robot2, not /robot1/tf" in found.notes


def test_transforms_of_nothing_are_refused_with_a_reason_and_parameters_hold(tmp_path: Path) -> None:
    bad = transforms(
        transform("lidar", "base_link", (0, 0, 2), (0, 0, 0, 0)), transform("imu", "base_link", (0, 0, 1))
    )
    with placing(tmp_path, [bad]) as found:
        assert found.lidar().translation == Config().lidar.translation_m
        assert "/tf_static: refused base_link -> lidar: quaternion (0, 0, 0, 0) is no rotation" in found.notes


def test_parameters_hold_without_a_word_when_they_are_asked_for(tmp_path: Path) -> None:
    config = override(Config(), {"output.extrinsics": "parameters", "lidar.translation_m": (0.0, 0.0, 7.0)})
    with placing(tmp_path, [transforms(transform("lidar", "base_link"))], config=config) as found:
        assert found.lidar().translation == (0.0, 0.0, 7.0)
        assert (found.source, found.problem, found.notes) == ("parameters", "", "")


def test_parameters_that_somebody_set_are_told_when_the_recording_overrules_them(tmp_path: Path) -> None:
    config = override(Config(), {"lidar.translation_m": (0.0, 0.0, 1.0)})
    with placing(tmp_path, [transforms(transform("lidar", "base_link", (0, 0, 3)))], config=config) as found:
        assert found.lidar().translation == (0, 0, 3)
        (note,) = pose_notes(found.placer.placements, config)
        assert "not by lidar.translation_m" in note
        assert "2.00 m and 0.0 degrees away; output.extrinsics: parameters uses those" in note


def test_static_transforms_are_written_as_latched_ones(tmp_path: Path) -> None:
    with BagWriter(tmp_path / "bag.mcap") as writer:
        for item in MAST:
            writer.write(*item)
    assert b"transient_local" in (tmp_path / "bag.mcap").read_bytes()


def test_camera_that_looks_up_is_told_when_its_frame_is_the_bodys(tmp_path: Path) -> None:
    tree = transforms(
        transform("camera", "base_link", (0.3, 0, 1.5)),
        transform("camera_optical", "camera", (0, 0, 0), (-0.5, 0.5, -0.5, 0.5)),
    )
    with placing(tmp_path, [tree]) as found:
        item = sample(CAMERA, START_NS)
        found.placer.pose(item)
        (told,) = found.placer.notes(ModalitySet.of(CAMERA))
        assert "looks straight up: 'camera' may be the frame of its body" in told
        found.placer.pose(replace(item, frame_id="camera_optical"))
        assert "looks" not in found.placer.placements[CAMERA].problem


def test_mount_is_told_to_move_when_its_transforms_begin_late(tmp_path: Path) -> None:
    late = [item for item in turning() if item.log_time_ns > START_NS + 400 * MS]
    with placing(tmp_path, [*late, transforms(transform("lidar", "turret"))]) as found:
        found.lidar(ms=100)
        assert "a mount that moves" in found.problem
