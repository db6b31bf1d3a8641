"""nuScenes' tables: boxes as its own devkit has them, sensors in the base frame, damage named."""

from __future__ import annotations

import json
import math
from dataclasses import fields
from pathlib import Path
from typing import Any

import cv2
import driving_trees as trees
import numpy as np
import pytest
import torch

from sentryfuse_core.errors import DatasetError
from sentryfuse_core.lab.datasets.driving import LabelledFrame
from sentryfuse_core.lab.datasets.layouts import open_driving
from sentryfuse_core.lab.datasets.moments import Moment, MomentReader, Readings
from sentryfuse_core.lab.datasets.nuscenes import Scene, load_nuscenes
from sentryfuse_core.lab.datasets.nuscenes_tables import AROUND, load_tables
from sentryfuse_core.preprocess.tensors import ModelInput
from sentryfuse_core.types import Modality, ModalitySet, Pose

GOLDEN = Path(__file__).parent / "golden" / "nuscenes_boxes.json"  # by tools/nuscenes_golden.py
LIDAR_AHEAD = 0.94  # of the ego frame's origin
HERE = Pose((0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0))


def wanted(box: dict[str, Any]) -> str | None:
    """The class of a devkit's box, by rules written down again."""
    if box["points"] == 0:
        return None
    if box["category"] == "vehicle.car":
        return "car"
    return "cyclist" if "cycle.with_rider" in box["attributes"] else None


def test_nuscenes_boxes_are_those_of_its_devkit_when_the_vehicle_is_tilted(tmp_path: Path) -> None:
    tables = load_tables(trees.nuscenes(tmp_path, frames=2, tilted=True))
    scene = Scene(tables, tables.scenes[0])
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))["ego_boxes"]
    assert len(golden) == len(scene.samples) == 2
    for sample, devkit in zip(scene.samples, golden, strict=True):
        chosen = [(wanted(box), box) for box in devkit if wanted(box)]
        boxes = scene.boxes(sample)
        assert [box.label for box in boxes] == [label for label, _ in chosen] == ["car", "cyclist"]
        for box, (_, theirs) in zip(boxes, chosen, strict=True):
            x, y, z = theirs["centre"]
            assert (box.x, box.y, box.z) == pytest.approx((x - LIDAR_AHEAD, y, z), abs=1e-6)
            assert (box.length, box.width, box.height) == pytest.approx(tuple(theirs["size"]))
            assert box.yaw == pytest.approx(math.atan2(theirs["ahead"][1], theirs["ahead"][0]), abs=1e-6)


def test_nuscenes_frame_has_the_known_box_sensors_and_ground(tmp_path: Path) -> None:
    (drive,) = load_nuscenes(trees.nuscenes(tmp_path)).drives
    frames = list(drive.frames())
    assert len(frames) == drive.length == 4
    frame = frames[1]
    torch.testing.assert_close(frame.boxes[0, 0], torch.tensor(trees.IN_BASE), atol=1e-4, rtol=0)
    assert frame.classes.tolist() == [[0, 2]]
    inputs = frame.inputs
    assert inputs.present == ModalitySet.of(Modality.CAMERA, Modality.LIDAR, Modality.IMU)
    position = torch.tensor([[1.7 - LIDAR_AHEAD, 0.0, 1.51]])
    torch.testing.assert_close(inputs.camera_position, position, atol=1e-5, rtol=0)
    assert inputs.imu is not None
    torch.testing.assert_close(inputs.imu[0, 0], torch.tensor([0.0, 0.0, 0.2, 0.5, 0.1, 9.81]))
    assert inputs.lidar is not None
    occupied = inputs.lidar[0, 5] > 0
    assert int(occupied.sum()) > 100  # those of the 400 points that are ahead
    assert float(inputs.lidar[0, 1][occupied].abs().max()) < 1e-4  # all on the ground


def test_nuscenes_scene_trains_without_imu_and_tells_when_the_can_bus_is_absent(tmp_path: Path) -> None:
    found = load_nuscenes(trees.nuscenes(tmp_path, frames=2, imu=False))
    assert all(frame.inputs.imu is None for frame in found.drives[0].frames())
    assert any(note.startswith("1 of 1 scenes have no can_bus") for note in found.notes)


def around(root: Path) -> list[LabelledFrame]:
    """The frames of the only scene, all around."""
    (drive,) = load_nuscenes(root, around=True).drives
    frames = list(drive.frames())
    assert len(frames) == drive.length
    return frames


def paint(root: Path, greys: dict[str, int]) -> None:
    """Give the pictures of some cameras one grey each."""
    for channel, grey in greys.items():
        for path in (root / "samples" / channel).iterdir():
            assert cv2.imwrite(str(path), np.full((900, 1600, 3), grey, np.uint8))


def test_nuscenes_box_is_in_the_same_place_of_every_side_when_there_is_one_to_each(tmp_path: Path) -> None:
    frames = around(trees.nuscenes(tmp_path, frames=2, cameras=AROUND, sides=4))
    assert len(frames) == 8
    for frame in frames:
        near = (frame.boxes[0, :, :2] - torch.tensor(trees.IN_BASE[:2])).norm(dim=-1) < 1e-3
        assert frame.classes[0][near].tolist() == [0, 2]
        for box in frame.boxes[0][near]:
            torch.testing.assert_close(box, torch.tensor(trees.IN_BASE), atol=1e-4, rtol=0)
    stamps = [frame.stamp_ns for frame in frames]
    assert stamps == sorted(stamps)
    assert len(set(stamps[:4])) == len(set(stamps[4:])) == 1
    # Turned to the left, what was ahead lies to the right.
    ahead, left = (torch.tensor(trees.IN_BASE[:2]), torch.tensor((trees.IN_BASE[1], -trees.IN_BASE[0])))
    assert torch.allclose(frames[0].boxes[0, 0, :2], ahead, atol=1e-4)
    assert torch.allclose(frames[1].boxes[0, 0, :2], left, atol=1e-4)
    for frame in frames[:4]:
        assert frame.way == frames[0].way
        assert frame.points is not None
        assert frames[0].points is not None
        assert torch.allclose(
            frame.points[..., :2].norm(dim=-1), frames[0].points[..., :2].norm(dim=-1), atol=1e-4
        )


def test_way_of_the_base_is_told_in_the_axes_of_each_side_when_the_speed_is_known(tmp_path: Path) -> None:
    cloud = tmp_path / "cloud.bin"
    np.ones((9, 4), np.float32).tofile(cloud)
    stamps = np.arange(0, 10**9, 10**7)
    still, forward = np.zeros((len(stamps), 3)), np.tile([4.0, 0.0], (len(stamps), 1))
    imu = Readings(stamps, still, still, HERE, forward)
    read = MomentReader(columns=4, full_scale=1.0, around=AROUND)
    read(Moment(2 * 10**8, {}, cloud, HERE, imu), ())
    ways = [frame.way for frame in read(Moment(7 * 10**8, {}, cloud, HERE, imu), ())]
    seen = [(round(way.x, 6), round(way.y, 6)) for way in ways]
    assert seen == [(2.0, 0.0), (0.0, -2.0), (-2.0, 0.0), (0.0, 2.0)]


def test_tilt_follows_the_bumps_between_moments_when_they_are_half_a_second_apart(tmp_path: Path) -> None:
    cloud = tmp_path / "cloud.bin"
    np.ones((9, 4), np.float32).tofile(cloud)
    stamps = np.arange(0, 10 * 10**9, 10**7)
    rates = np.zeros((len(stamps), 3))
    rates[:, 0] = 0.25 * np.cos(25.0 * stamps / 1e9)
    imu = Readings(stamps, rates, np.tile([0.0, 0.0, 9.81], (len(stamps), 1)), HERE)
    read = MomentReader(columns=4, full_scale=1.0)
    for stamp_ns in range(10**9, 9 * 10**9, 5 * 10**8):
        (frame,) = read(Moment(stamp_ns, {}, cloud, HERE, imu), ())
        assert frame.inputs.tilt is not None
        last = float(frame.inputs.tilt[0, 0]) - 0.01 * np.sin(25.0 * stamp_ns / 1e9)
        assert abs(last) < 0.012  # it begins level, whatever the bump
    assert abs(last) < 0.003


def test_nuscenes_left_side_is_of_the_cameras_that_look_there_and_grey_where_none_does(
    tmp_path: Path,
) -> None:
    # Seen from there, what is forward of the robot is to the right.
    root = trees.nuscenes(tmp_path / "all", frames=1, imu=False, cameras=AROUND)
    paint(root, dict.fromkeys(AROUND, 255) | {"CAM_FRONT_LEFT": 51, "CAM_BACK_LEFT": 102})
    left = around(root)[1].inputs
    assert left.camera is not None
    assert left.camera_seen is not None
    assert float(left.camera[..., 40:50, 300:380].mean()) == pytest.approx(0.2, abs=0.01)
    assert float(left.camera[..., 40:50, :80].mean()) == pytest.approx(0.4, abs=0.01)
    assert float(left.camera[..., 40:50, :].max()) < 0.42  # nothing of the other cameras
    assert float(left.camera_seen[:, :, 10:12].min()) == 1.0
    unseen = (left.camera_seen[0, 0, -1] == 0.0).repeat_interleave(4)  # below what these cameras see
    assert 50 < int(unseen.sum()) < 384
    assert float((left.camera[0, :, -4:, unseen] - 0.5).abs().max()) < 0.01
    some = trees.nuscenes(tmp_path / "some", frames=1, imu=False, cameras=("CAM_FRONT", "CAM_FRONT_LEFT"))
    frames = around(some)
    half = frames[1].inputs
    assert half.camera_seen is not None
    assert float(half.camera_seen[:, :, 10:12, 80:94].min()) == 1.0
    assert float(half.camera_seen[..., :40].max()) == 0.0
    seeing = [Modality.CAMERA in frame.inputs.present for frame in frames]
    assert seeing == [True, True, False, False]
    notes = load_nuscenes(some, around=True).notes
    assert any(
        note.startswith("key frames without CAM_BACK, CAM_BACK_LEFT, CAM_BACK_RIGHT") for note in notes
    )


@pytest.mark.parametrize("cameras", [AROUND[:1], AROUND])
def test_nuscenes_frames_ahead_are_those_of_one_side_where_no_other_camera_sees(
    tmp_path: Path, cameras: tuple[str, ...]
) -> None:
    root = trees.nuscenes(tmp_path, frames=3, cameras=cameras)
    (drive,) = load_nuscenes(root).drives
    for alone, front in zip(drive.frames(), around(root)[::4], strict=True):
        for name in ("boxes", "classes", "points"):
            assert torch.equal(getattr(alone, name), getattr(front, name))
        assert (alone.stamp_ns, alone.way) == (front.stamp_ns, front.way)
        for name in (field.name for field in fields(ModelInput)):
            own, theirs = (getattr(frame.inputs, name) for frame in (alone, front))
            if name in ("camera", "camera_seen") and len(cameras) > 1:
                # The cameras beside it fill the edges, and show what they see straighter.
                width = own.shape[-1]
                own, theirs = (item[..., width // 4 : -width // 4] for item in (own, theirs))
            if name == "quality" and len(cameras) > 1:
                continue  # of the camera it is measured on the whole picture
            assert (own is theirs is None) or torch.equal(own, theirs), name


def test_nuscenes_names_the_picture_when_one_of_the_side_cameras_is_gone(tmp_path: Path) -> None:
    root = trees.nuscenes(tmp_path, frames=2, cameras=AROUND)
    (root / "samples/CAM_BACK_RIGHT/scene-0001-1.jpg").unlink()
    with pytest.raises(DatasetError, match=r"no .*CAM_BACK_RIGHT/scene-0001-1\.jpg of scene-0001; unpack"):
        load_nuscenes(root, around=True)
    assert len(load_nuscenes(root).drives[0].files) == 6  # which the frames ahead do without


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (trees.kitti_object, r"\(kitti-object\) is labelled in one view alone; leave it out"),
        (trees.kitti_raw, r"\(kitti-raw\) is labelled in one view alone; leave it out"),
        (
            lambda root: trees.text(root / "a.mcap", ""),
            r"\(bag\) does not say where it is labelled; leave it",
        ),
    ],
)
def test_sets_that_are_not_labelled_all_around_refuse_it(tmp_path: Path, make: Any, why: str) -> None:
    make(tmp_path)
    with pytest.raises(DatasetError, match=f"--around: .*{why}"):
        open_driving(tmp_path, around=True)
