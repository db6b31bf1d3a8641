"""nuScenes' tables: boxes as its own devkit has them, sensors in the base frame, damage named."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import driving_trees as trees
import pytest
import torch

from sentryfuse_core.lab.datasets.nuscenes import Scene, load_nuscenes
from sentryfuse_core.lab.datasets.nuscenes_tables import load_tables
from sentryfuse_core.types import Modality, ModalitySet

GOLDEN = Path(__file__).parent / "golden" / "nuscenes_boxes.json"  # by tools/nuscenes_golden.py
LIDAR_AHEAD = 0.94  # of the ego frame's origin


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
