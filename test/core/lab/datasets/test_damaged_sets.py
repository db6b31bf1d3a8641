"""Driving sets with one file gone or spoilt: each layout names it in one line, with the remedy."""

from __future__ import annotations

import json
from pathlib import Path

import driving_trees as trees
import numpy as np
import pytest

from sentryfuse_core.errors import DatasetError
from sentryfuse_core.lab.datasets.layouts import open_driving

DATE = "2011_09_26"
DRIVE = f"{DATE}/{DATE}_drive_0001_sync"
TRACKLETS = f"{DRIVE}/tracklet_labels.xml"
MAKE = {"kitti-object": trees.kitti_object, "kitti-raw": trees.kitti_raw, "nuscenes": trees.nuscenes}


FLAT = trees.CAR.replace("1.50 1.80 4.00", "0 0 0")  # as a set has it that is labelled in images alone
LOST = trees.CAR.replace("2.00 1.65 10.00", "2.00 1.65 nan")

DAMAGE = {  # layout -> file, what is in it (None: it is gone), what is said
    "kitti-object": (
        ("training/label_2/*", None, "label_2 holds no .txt"),
        ("training/[iv]*", None, "no folder .*image_2; download KITTI object's images"),  # no sensor at all
        ("training/velodyne/000001.bin", None, r"no .*velodyne/000001\.bin for label_2/000001\.txt"),
        ("training/velodyne/000000.bin", "15 characters..", "it is truncated"),
        ("training/calib/000002.txt", "P2: 1\n", r"000002\.txt has no .* of 12 numbers"),
        ("training/label_2/000001.txt", "\nCar 0.00 0\n", r"000001\.txt:2: 2 values"),
        ("training/label_2/000001.txt", "Horse 0\n", r"000001\.txt:1: unknown .*Horse'.* --map Horse=CLASS"),
        ("training/label_2/000001.txt", f"\n{FLAT}\n", r"000001\.txt:2: a box of .*, 0, 0, 0, .* is none"),
        ("training/label_2/000001.txt", f"\n{LOST}\n", r"000001\.txt:2: a box of nan, .* is none; leave it"),
        ("training/image_2/000000.png", "PNG", "000000.png is no readable image"),
    ),
    "kitti-raw": (
        (f"{DRIVE}/[iv]*", None, r"looked for \*/velodyne_points"),
        (TRACKLETS, None, "download the tracklets"),
        (TRACKLETS, "<boost", "is no tracklet file"),
        (TRACKLETS, trees.tracklets(2, kind="Horse"), "unknown class 'Horse'.* --map Horse=CLASS"),
        (TRACKLETS, trees.tracklets(2).replace("<h>1.5<", "<h>0<"), r"labels\.xml .*\(a box of .* is none\)"),
        (TRACKLETS, '<!DOCTYPE a [<!ENTITY b "c">]><a/>', "declares entities"),
        (f"{DRIVE}/velodyne_points/timestamps.txt", "2011-09-26 13:00:00\n", "ends before frame 3"),
        (f"{DRIVE}/image_02/timestamps.txt", "noon\n", r"timestamps\.txt:1: 'noon' is no time"),
        (f"{DRIVE}/oxts/data/0000000001.txt", "1 2 3\n", "has 3 values"),
        (f"{DATE}/calib_velo_to_cam.txt", "R: 1 0 0\n", "calib_velo_to_cam.txt has no R of 9 numbers"),
        (f"{DATE}/calib_imu_to_velo.txt", None, "cannot read .*calib_imu_to_velo.txt"),
    ),
    "nuscenes": (
        ("v1.0-mini/sample_data.json", None, r"no v1\.0-\*/sample_data\.json"),
        ("v1.0-mini/instance.json", None, "cannot read .*instance.json"),
        ("v1.0-mini/scene.json", "[{", "scene.json is no JSON"),
        ("v1.0-mini/scene.json", "[]", "has no scene"),
        ("v1.0-mini/sample.json", "[]", "breaks off in scene-0001"),
        ("v1.0-mini/category.json", "[]", "lacks 'k-vehicle.car'"),
        ("samples/LIDAR_TOP/scene-0001-2.pcd.bin", None, "no .*scene-0001-2.pcd.bin of scene-0001"),
        ("can_bus/*", "[]", r"_ms_imu\.json has no message"),
        ("can_bus/*", '[{"linear_accel": [0, 0, 9.8]}]', r"imu\.json .* without .*'utime'"),
        ("can_bus/*", '{"utime": 1}', r"imu\.json has a message without all its numbers"),
        ("can_bus/*", '[{"utime": 1, "rotation_rate": [0, 0, 0]}]', r"imu\.json .* without .*'linear_accel'"),
    ),
}


@pytest.mark.parametrize(
    ("layout", "file", "content", "told"), [(name, *row) for name, rows in DAMAGE.items() for row in rows]
)
def test_driving_set_names_the_file_when_it_is_damaged(
    tmp_path: Path, layout: str, file: str, content: str | None, told: str
) -> None:
    for path in MAKE[layout](tmp_path / "tree").glob(file):
        if content is None:
            path.rename(tmp_path / f"{path.name}-gone")
        else:
            path.write_text(content)
    with pytest.raises(DatasetError, match=told) as raised:
        list(open_driving(tmp_path / "tree", layout=layout).drives[0].frames())
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("table", "key", "value", "told"),
    [
        (
            "sample_annotation",
            "size",
            [1.8, 0.0, 1.5],
            r"sample_annotation, scene-0001-0-0, .*a box of .* is none",
        ),
        ("sample_annotation", "size", [1.8, 4.0], r"sample_annotation, scene-0001-0-0, of scene-0001 cannot"),
        ("sample_annotation", "num_lidar_pts", None, r"sample_annotation, scene-0001-0-0, .*'num_lidar_pts'"),
        (
            "sample_annotation",
            "translation",
            ["a", "b", "c"],
            r"sample_annotation, scene-0001-0-0, .*subtract",
        ),
        ("calibrated_sensor", "camera_intrinsic", [], "and calibrated_sensor of scene-0001 cannot"),
        ("sample_data", "filename", None, "sample_data of scene-0001 cannot be used .*'filename'"),
        ("sample_data", "timestamp", None, "sample_data and .* of scene-0001 cannot .*'timestamp'"),
        ("ego_pose", "translation", None, "ego_pose of scene-0001 cannot be used .*'translation'"),
        ("scene", "first_sample_token", None, "of scene-0001 cannot be used .*'first_sample_token'"),
    ],
)
def test_nuscenes_names_the_record_when_it_cannot_be_used(
    tmp_path: Path, table: str, key: str, value: object, told: str
) -> None:
    path = trees.nuscenes(tmp_path) / "v1.0-mini" / f"{table}.json"
    rows = json.loads(path.read_text())
    for row in rows:
        row.pop(key)
        if value is not None:
            row[key] = value
    path.write_text(json.dumps(rows))
    with pytest.raises(DatasetError, match=told):
        list(open_driving(tmp_path).drives[0].frames())


@pytest.mark.parametrize("columns", [3, 5])
def test_cloud_is_refused_when_its_records_are_longer_or_shorter(tmp_path: Path, columns: int) -> None:
    path = trees.kitti_object(tmp_path, frames=1) / "training" / "velodyne" / "000000.bin"
    points = np.random.default_rng(0).uniform(-20.0, 20.0, (400, columns)).astype(np.float32)
    assert points.nbytes % 16 == 0  # so that the size tells nothing
    path.write_bytes(points.tobytes())
    with pytest.raises(DatasetError, match=r"000000\.bin has intensities below 0, as records of other"):
        list(open_driving(tmp_path).drives[0].frames())
