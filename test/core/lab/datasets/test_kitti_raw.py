"""KITTI's raw layout: tracklets, timestamps and OXTS in the base frame, damage named."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import driving_trees as trees
import numpy as np
import pytest
import torch

from sentryfuse_core.errors import DatasetError
from sentryfuse_core.lab.datasets.driving import Box
from sentryfuse_core.lab.datasets.kitti_raw import load_kitti_raw
from sentryfuse_core.lab.datasets.layouts import merged, open_driving
from sentryfuse_core.lab.datasets.moments import Moment, MomentReader
from sentryfuse_core.types import Modality, ModalitySet

DATE = "2011_09_26"
DRIVE = f"{DATE}/{DATE}_drive_0001_sync"


@pytest.mark.parametrize(("fast", "rate"), [(False, "10 Hz"), (True, "100 Hz")])
def test_kitti_raw_frame_has_the_known_box_and_the_imu_at_its_rate(
    tmp_path: Path, fast: bool, rate: str
) -> None:
    found = load_kitti_raw(trees.kitti_raw(tmp_path, fast_imu=fast))
    (drive,) = found.drives
    frames = list(drive.frames())
    assert len(frames) == 4
    assert any(note.endswith(rate) for note in found.notes)
    assert any("1 Truck" in note for note in found.notes)
    for frame in frames:
        torch.testing.assert_close(frame.boxes, torch.tensor([[trees.CAR_IN_BASE]]), atol=1e-5, rtol=0)
        assert frame.classes.tolist() == [[0]]
        inputs = frame.inputs
        assert inputs.present == ModalitySet.of(Modality.CAMERA, Modality.LIDAR, Modality.IMU)
        assert inputs.imu is not None
        expected = torch.tensor([0.0, 0.0, 0.2, 0.5, 0.1, 9.81]).expand(1, 32, 6)
        torch.testing.assert_close(inputs.imu, expected, atol=1e-6, rtol=0)
        position = torch.tensor([[0.27, 0.06, 1.65]])
        torch.testing.assert_close(inputs.camera_position, position, atol=1e-5, rtol=0)


@pytest.mark.parametrize("folder", [".", DATE, DRIVE])
def test_kitti_raw_finds_the_drive_when_root_date_or_drive_is_given(tmp_path: Path, folder: str) -> None:
    found = load_kitti_raw(trees.kitti_raw(tmp_path) / folder)
    assert [drive.name for drive in found.drives] == [f"{DATE}_drive_0001_sync"]


def test_kitti_raw_drive_is_of_other_files_when_the_fast_imu_comes_to_lie_beside_it(tmp_path: Path) -> None:
    """The cache of frames goes by them."""
    slow, fast = (trees.kitti_raw(tmp_path / name, fast_imu=name == "fast") for name in ("slow", "fast"))
    files = [
        {path.relative_to(root) for path in load_kitti_raw(root).drives[0].files} for root in (slow, fast)
    ]
    (stamps,) = files[1] - files[0]
    assert stamps.match("*_extract/oxts/timestamps.txt")
    assert all((fast / path).is_file() for path in files[1])


@pytest.mark.parametrize(("here", "path"), [(DRIVE, "."), (f"{DRIVE}/image_02", ".."), (DATE, ".")])
def test_kitti_raw_finds_its_calibration_when_the_drive_is_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, here: str, path: str
) -> None:
    monkeypatch.chdir(trees.kitti_raw(tmp_path) / here)
    (drive,) = open_driving(Path(path)).drives
    assert drive.name == f"{DATE}_drive_0001_sync"
    assert len(list(drive.frames())) == 4


def test_kitti_raw_leaves_out_and_tells_of_a_drive_without_tracklets(tmp_path: Path) -> None:
    trees.kitti_raw(tmp_path, drives=2)
    (tmp_path / DRIVE / "tracklet_labels.xml").unlink()
    found = load_kitti_raw(tmp_path)
    assert [drive.name for drive in found.drives] == [f"{DATE}_drive_0002_sync"]
    assert f"{DATE}_drive_0001_sync has no tracklet_labels.xml: left out" in found.notes


def without_scans(root: Path, *missing: int, frames: int = 8) -> Path:
    """A drive as published: missing scans have an empty line in timestamps.txt, and no file."""
    trees.kitti_raw(root, frames=frames)
    folder = root / DRIVE / "velodyne_points"
    lines = (folder / "timestamps.txt").read_text(encoding="utf-8").splitlines()
    for index in missing:
        lines[index] = ""
        (folder / "data" / f"{index:010d}.bin").unlink()
    (folder / "timestamps.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return root


@pytest.mark.parametrize("missing", [(3,), (0,), (3, 7), (6, 7), (2, 3, 4)])
def test_kitti_raw_keeps_frame_numbers_when_scans_are_missing(
    missing: tuple[int, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[tuple[str, int]] = []
    call = MomentReader.__call__

    def note(self: MomentReader, moment: Moment, boxes: Sequence[Box]) -> Any:
        read.append((moment.cloud.stem, moment.stamp_ns))
        return call(self, moment, boxes)

    monkeypatch.setattr(MomentReader, "__call__", note)
    found = load_kitti_raw(without_scans(tmp_path, *missing))
    assert any(f"{len(missing)} frames lack image, cloud or stamp" in note for note in found.notes)
    assert len(list(found.drives[0].frames())) == 8 - len(missing)
    start_ns = int(np.datetime64("2011-09-26T13:00:00", "ns").astype(np.int64))
    assert read == [
        (f"{index:010d}", start_ns + index * 100_000_000) for index in range(8) if index not in missing
    ]


def test_kitti_raw_leaves_a_frame_out_when_it_has_data_and_no_stamp(tmp_path: Path) -> None:
    trees.kitti_raw(tmp_path)
    for sensor, index in (("image_02", 1), ("oxts", 2)):
        stamps = tmp_path / DRIVE / sensor / "timestamps.txt"
        lines = stamps.read_text(encoding="utf-8").splitlines()
        lines[index] = "  "
        stamps.write_text("\n".join(lines) + "\n", encoding="utf-8")
    (tmp_path / DRIVE / "image_02" / "data" / "._0000000000.png").write_bytes(b"of a Mac")
    found = load_kitti_raw(tmp_path)
    frames = list(found.drives[0].frames())
    assert len(frames) == 3
    assert all(frame.inputs.imu is not None for frame in frames)


def test_kitti_raw_goes_without_a_lidar_when_the_drive_has_none(tmp_path: Path) -> None:
    root = trees.kitti_raw(tmp_path, frames=2)
    shutil.rmtree(root / DRIVE / "velodyne_points")
    found = load_kitti_raw(root)
    frames = list(found.drives[0].frames())
    assert [frame.inputs.present for frame in frames] == [ModalitySet.of(Modality.CAMERA, Modality.IMU)] * 2
    assert frames[0].points is None
    assert any("no lidar in it" in note for note in found.notes)


def test_sets_are_refused_together_when_a_drive_is_in_two_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trees.kitti_raw(tmp_path, frames=1, drives=2)
    drives = [tmp_path / DATE / f"{DATE}_drive_{number:04d}_sync" for number in (1, 2)]
    together = merged([load_kitti_raw(drive) for drive in drives])  # these share their calibration
    assert [drive.name for drive in together.drives] == [drive.name for drive in drives]
    monkeypatch.chdir(tmp_path)
    for other in (Path(DATE), Path(DATE) / drives[1].name):
        with pytest.raises(
            DatasetError, match=r"drive_000[12]_sync is in .*/2011_09_26 and in .*; give it once"
        ):
            merged([load_kitti_raw(tmp_path / DATE), load_kitti_raw(other)])
