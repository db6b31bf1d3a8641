"""KITTI's object layout: boxes and camera where an independent route puts them, damage named."""

from __future__ import annotations

import math
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import driving_trees as trees
import numpy as np
import pytest
import torch
from driving_trees import SHARED

from sentryfuse_core.errors import DatasetError
from sentryfuse_core.lab.datasets import kitti_object
from sentryfuse_core.lab.datasets.driving import LABELS, Box, Span, only_frames
from sentryfuse_core.lab.datasets.kitti_object import frame_boxes, load_kitti_object
from sentryfuse_core.lab.datasets.vocabulary import Vocabulary
from sentryfuse_core.lab.training.data_frames import batches_of
from sentryfuse_core.lab.world.config import CLASSES
from sentryfuse_core.preprocess.geometry import GEOMETRY
from sentryfuse_core.types import Modality, ModalitySet

KITTI = SHARED / "data" / "kitti_labelled"
NAMES = ("000000", "000001", "000002")
needs_recordings = pytest.mark.skipif(not KITTI.is_dir(), reason="needs the recordings in ../shared/data")
SIGNS = np.array([(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]) / 2.0


def corners(box: Box) -> np.ndarray[Any, Any]:
    """[8, 3] in the base frame."""
    local = SIGNS * [box.length, box.width, box.height]
    cos, sin = math.cos(box.yaw), math.sin(box.yaw)
    x = cos * local[:, 0] - sin * local[:, 1] + box.x
    y = sin * local[:, 0] + cos * local[:, 1] + box.y
    return np.stack([x, y, local[:, 2] + box.z], axis=1)


def matrices(name: str) -> dict[str, Any]:
    """The calibration read by a route of its own."""
    lines = (KITTI / "calib" / f"{name}.txt").read_text().split("\n")
    return {line.split(":")[0]: np.fromstring(line.split(":")[1], sep=" ") for line in lines if ":" in line}


def test_labels_are_those_of_the_detector() -> None:
    assert tuple(traits.label for traits in CLASSES) == LABELS


def boxes_of(name: str) -> tuple[Box, ...]:
    return frame_boxes(KITTI, name, Counter())


@needs_recordings
def test_kitti_classes_are_those_listed_by_hand() -> None:
    found = {name: [box.label for box in boxes_of(name)] for name in NAMES}
    assert found == {"000000": ["pedestrian"], "000001": ["car", "cyclist"], "000002": ["car"]}
    assert load_kitti_object(KITTI).notes[0].endswith("4 DontCare, 1 Misc, 1 Truck")


@needs_recordings
@pytest.mark.parametrize(
    ("name", "index", "rectangle"),
    [  # the 2-D boxes in the label files
        ("000000", 0, (712.40, 143.00, 810.73, 307.92)),
        ("000001", 0, (387.63, 181.54, 423.81, 203.12)),
        ("000001", 1, (676.60, 163.95, 688.98, 193.93)),
        ("000002", 0, (657.39, 190.13, 700.07, 223.39)),
    ],
)
def test_kitti_box_projects_onto_its_2d_label(name: str, index: int, rectangle: tuple[float, ...]) -> None:
    box, found = boxes_of(name)[index], matrices(name)
    velodyne = corners(box) - [0.0, 0.0, 1.73]
    moved = found["Tr_velo_to_cam"].reshape(3, 4) @ np.c_[velodyne, np.ones(8)].T
    u, v, w = found["P2"].reshape(3, 4) @ np.vstack([found["R0_rect"].reshape(3, 3) @ moved, np.ones(8)])
    projected = ((u / w).min(), (v / w).min(), (u / w).max(), (v / w).max())
    # A box of labels hugs the object's outline, its corners stick out a little.
    assert projected == pytest.approx(rectangle, abs=12.0 if name == "000000" else 4.0)


@needs_recordings
def test_kitti_boxes_hold_lidar_points_and_stand_on_the_ground() -> None:
    for name in NAMES:
        points = np.fromfile(KITTI / "velodyne" / f"{name}.bin", np.float32).reshape(-1, 4)[:, :3]
        points = points + np.array([0.0, 0.0, 1.73], np.float32)
        for box in boxes_of(name):
            offset = points - [box.x, box.y, box.z]
            along = offset[:, 0] * math.cos(box.yaw) + offset[:, 1] * math.sin(box.yaw)
            across = offset[:, 1] * math.cos(box.yaw) - offset[:, 0] * math.sin(box.yaw)
            inside = (abs(along) < box.length / 2) & (abs(across) < box.width / 2)
            inside &= abs(offset[:, 2]) < box.height / 2
            assert inside.sum() > 0
            assert abs(box.z - box.height / 2) < 0.02 * math.hypot(box.x, box.y)  # the road rises a little


@needs_recordings
def test_kitti_frame_shows_the_pedestrian_at_the_virtual_camera() -> None:
    """A white shirt: brighter than the hedge around it."""
    frame = next(iter(load_kitti_object(KITTI).drives[0].frames()))
    box, inputs = boxes_of("000000")[0], frame.inputs
    assert inputs.present == ModalitySet.of(Modality.CAMERA, Modality.LIDAR)
    assert inputs.camera is not None
    assert inputs.camera_position is not None
    assert inputs.lidar is not None
    x, y, z = inputs.camera_position[0].tolist()
    column = GEOMETRY.image_cx - GEOMETRY.image_fx * (box.y - y) / (box.x - x)
    row = GEOMETRY.image_cy - GEOMETRY.image_fy * (box.z + 0.35 - z) / (box.x - x)
    shirt = inputs.camera[0, :, round(row) - 1 : round(row) + 2, round(column) - 1 : round(column) + 2].mean()
    hedge = inputs.camera[
        0, :, round(row) - 1 : round(row) + 2, round(column) + 14 : round(column) + 20
    ].mean()
    assert shirt > hedge + 0.2
    cell = inputs.lidar[0, :, int(box.x / 0.5), int((box.y + 16.0) / 0.5)]
    assert cell[5] == 1.0
    assert 1.5 < float(cell[1]) < 2.2  # the head


def test_kitti_object_frame_has_the_known_box_and_camera(tmp_path: Path) -> None:
    (drive,) = load_kitti_object(trees.kitti_object(tmp_path)).drives
    frames = list(drive.frames())
    assert len(frames) == drive.length == 4
    frame = frames[0]
    torch.testing.assert_close(frame.boxes, torch.tensor([[trees.CAR_IN_BASE]]), atol=1e-5, rtol=0)
    assert frame.classes.tolist() == [[0]]
    assert frame.inputs.imu is None
    assert frame.inputs.audio is None
    # 42 / 700 m left of camera 0, which is 0.27 m ahead of the Velodyne and 0.08 m below it.
    expected = torch.tensor([[0.27, 0.06, 1.65]])
    torch.testing.assert_close(frame.inputs.camera_position, expected, atol=1e-5, rtol=0)


def test_kitti_object_keeps_the_lists_of_frames_when_there_are_some(tmp_path: Path) -> None:
    trees.kitti_object(tmp_path)
    trees.text(tmp_path / "ImageSets" / "train.txt", "000000\n000002\n")
    trees.text(tmp_path / "ImageSets" / "val.txt", "000001\n")
    found = load_kitti_object(tmp_path)
    assert [(drive.split, drive.length) for drive in found.drives] == [("train", 2), ("val", 1)]
    assert any("1 frames are in neither" in note for note in found.notes)


def test_kitti_object_refuses_lists_when_a_frame_is_in_both(tmp_path: Path) -> None:
    trees.kitti_object(tmp_path)
    trees.text(tmp_path / "ImageSets" / "train.txt", "000000\n000002\n000003\n")
    trees.text(tmp_path / "ImageSets" / "val.txt", "000001\n000003\n")
    with pytest.raises(DatasetError, match=r"has 000003 in train.txt and in val.txt \(1 such frames\)"):
        load_kitti_object(tmp_path)


def test_kitti_object_says_so_when_the_lists_name_none_of_its_frames(tmp_path: Path) -> None:
    trees.kitti_object(tmp_path)
    for split, name in (("train", "0"), ("val", "1")):
        trees.text(tmp_path / "ImageSets" / f"{split}.txt", f"{name}\n")
    with pytest.raises(DatasetError, match=r"name no frame of .*label_2; write names .* such as 000000"):
        load_kitti_object(tmp_path)


@pytest.mark.parametrize(
    ("span", "expected"),
    [((0, 1), [2, 0]), ((1, 2), [1, 1]), ((3, 3), [0, 1]), ((2, 90), [0, 3]), ((0, 4), [2, 3])],
    ids=str,
)
def test_only_frames_counts_through_when_kitti_object_is_read_in_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, span: Span, expected: list[int]
) -> None:
    monkeypatch.setattr(kitti_object, "_AT_ONCE", 2)
    found = load_kitti_object(trees.kitti_object(tmp_path, frames=5))
    assert [drive.length for drive in found.drives] == [2, 2, 1]
    some = only_frames(found, span)
    in_parts = [len(list(drive.frames())) for drive in some.drives]
    assert in_parts == [drive.length for drive in some.drives]
    assert all(in_parts)
    assert sum(in_parts) == len(list(batches_of(found, span=span))) == sum(expected)
    assert some.drives[0].name == found.drives[span[0] // 2].name
    assert sum(drive.length for drive in some.drives if drive.name == found.drives[0].name) == expected[0]


def test_only_frames_says_so_when_kitti_object_has_none_of_them(tmp_path: Path) -> None:
    found = load_kitti_object(trees.kitti_object(tmp_path, frames=2))
    with pytest.raises(DatasetError, match=r"no frame of .* is among 2 to 9"):
        only_frames(found, (2, 9))


def test_kitti_object_goes_without_a_sensor_that_the_set_does_not_have(tmp_path: Path) -> None:
    for folder, sensor in (("velodyne", Modality.CAMERA), ("image_2", Modality.LIDAR)):
        root = trees.kitti_object(tmp_path / folder, frames=1)
        shutil.rmtree(root / "training" / folder)
        found = load_kitti_object(root)
        (frame,) = found.drives[0].frames()
        assert frame.inputs.present == ModalitySet.of(sensor)
        assert any(note.startswith(f"no {folder} in it") for note in found.notes)


def test_kitti_object_has_the_classes_and_the_height_that_are_told(tmp_path: Path) -> None:
    root = trees.kitti_object(tmp_path, frames=1, label=trees.CAR.replace("Car", "Truck"))
    vocabulary = Vocabulary(("lorry", "car"), {"Truck": "lorry"})
    found = load_kitti_object(root, vocabulary=vocabulary, lidar_height_m=2.0)
    (frame,) = found.drives[0].frames()
    assert found.labels == ("lorry", "car")
    assert frame.classes.tolist() == [[0]]
    assert float(frame.boxes[0, 0, 2]) == pytest.approx(trees.CAR_IN_BASE[2] + 2.0 - 1.73, abs=1e-5)
    assert load_kitti_object(root).drives[0].frames().__next__().classes.tolist() == [[]]
