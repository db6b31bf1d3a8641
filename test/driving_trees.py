"""Builders of miniature driving sets in their real layouts: a known box, a known camera, a few points."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

# Where real data lies, if it does: most tests make their own.
SHARED = Path(os.environ.get("SENTRYFUSE_SHARED", Path(__file__).parents[2] / "shared"))
# KITTI's left colour camera and Velodyne without any tilt: camera axes are right, down, forward.
P2 = (700.0, 0.0, 600.0, 42.0, 0.0, 700.0, 180.0, 0.0, 0.0, 0.0, 1.0, 0.0)
VELO_TO_CAM = ((0.0, -1.0, 0.0, 0.0), (0.0, 0.0, -1.0, -0.08), (1.0, 0.0, 0.0, -0.27))
IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
SIZE = (375, 1242)  # of images, rows and columns
# A car 10 m ahead of camera 0, 2 m to its right, its bottom 1.65 m below, pointing forward.
CAR = "Car 0.00 0 -1.57 600.00 150.00 700.00 250.00 1.50 1.80 4.00 2.00 1.65 10.00 -1.57079633"
CAR_IN_BASE = (10.27, -2.0, 1.73 - 1.65 - 0.08 + 0.75, 4.0, 1.8, 1.5, 0.0)


def numbers(values: Any) -> str:
    return " ".join(f"{value:.9e}" for value in np.ravel(values))


def image(path: Path, *, seed: int = 0, size: tuple[int, int] = SIZE) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (12, 20, 3), dtype=np.uint8)
    assert cv2.imwrite(str(path), cv2.resize(pixels, size[::-1], interpolation=cv2.INTER_NEAREST))


def cloud(path: Path, *, seed: int = 0, columns: int = 4, height: float = 1.73, scale: float = 1.0) -> None:
    """400 points on the ground around a lidar at `height`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    points = np.zeros((400, columns), np.float32)
    points[:, :2] = random.uniform(-20.0, 20.0, (400, 2))
    points[:, 2] = -height
    points[:, 3] = scale * random.uniform(0.0, 1.0, 400)
    path.write_bytes(points.tobytes())


def text(path: Path, content: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")
    return path


def kitti_object(root: Path, *, frames: int = 4, label: str = CAR) -> Path:
    """Frames with one label each, and a DontCare."""
    lines = [f"P{index}: {numbers(P2)}" for index in range(4)]
    lines += [f"R0_rect: {numbers(IDENTITY)}", f"Tr_velo_to_cam: {numbers(VELO_TO_CAM)}"]
    for index in range(frames):
        name, folder = f"{index:06d}", root / "training"
        image(folder / "image_2" / f"{name}.png", seed=index)
        cloud(folder / "velodyne" / f"{name}.bin", seed=index)
        text(folder / "calib" / f"{name}.txt", "\n".join(lines) + "\n")
        ignored = "DontCare -1 -1 -10 0 0 10 10 -1 -1 -1 -1000 -1000 -1000 -10"
        text(folder / "label_2" / f"{name}.txt", f"{label}\n{ignored}\n")
    return root


def kitti_raw(root: Path, *, frames: int = 4, drives: int = 1, fast_imu: bool = False) -> Path:
    """Drives that turn left at 0.2 rad/s, each with a car that CAR_IN_BASE describes and a truck."""
    date = root / "2011_09_26"
    velo = np.array(VELO_TO_CAM)
    cameras = f"S_rect_02: 1242 375\nR_rect_00: {numbers(IDENTITY)}\nP_rect_02: {numbers(P2)}\n"
    text(date / "calib_cam_to_cam.txt", "calib_time: 09-Jan-2012 13:57:47\n" + cameras)
    text(date / "calib_velo_to_cam.txt", f"R: {numbers(velo[:, :3])}\nT: {numbers(velo[:, 3])}\n")
    text(date / "calib_imu_to_velo.txt", f"R: {numbers(IDENTITY)}\nT: -0.81 0.32 -0.8\n")
    for number in range(1, drives + 1):
        drive = date / f"2011_09_26_drive_{number:04d}_sync"
        for index in range(frames):
            name = f"{index:010d}"
            image(drive / "image_02" / "data" / f"{name}.png", seed=index)
            cloud(drive / "velodyne_points" / "data" / f"{name}.bin", seed=index)
        for sensor in ("image_02", "velodyne_points"):
            text(drive / sensor / "timestamps.txt", _stamps(frames, 10))
        _oxts(drive / "oxts", frames, 10)
        if fast_imu:
            _oxts(date / drive.name.replace("_sync", "_extract") / "oxts", 10 * frames, 100)
        text(drive / "tracklet_labels.xml", tracklets(frames))
    return root


def tracklets(frames: int, *, kind: str = "Car") -> str:
    x, y, z, length, width, height, yaw = CAR_IN_BASE
    pose = f"<item><tx>{x}</tx><ty>{y}</ty><tz>{z - height / 2 - 1.73}</tz><rz>{yaw}</rz></item>"
    items = "".join(
        f"<item><objectType>{name}</objectType><h>{height}</h><w>{width}</w><l>{length}</l>"
        f"<first_frame>0</first_frame><poses><count>{frames}</count>{pose * frames}</poses></item>"
        for name in (kind, "Truck")
    )
    return f"<boost_serialization><tracklets><count>2</count>{items}</tracklets></boost_serialization>"


def _stamps(count: int, rate_hz: int) -> str:
    times = (13 * 3600 + index / rate_hz for index in range(count))
    return "".join(f"2011-09-26 13:00:{time % 60:012.9f}\n" for time in times)


def _oxts(folder: Path, count: int, rate_hz: int) -> None:
    text(folder / "timestamps.txt", _stamps(count, rate_hz))
    for index in range(count):
        values = np.zeros(30)
        values[11:14], values[17:20] = (0.5, 0.1, 9.81), (0.0, 0.0, 0.2)
        text(folder / "data" / f"{index:010d}.txt", numbers(values) + "\n")


def yaw_quaternion(yaw: float) -> list[float]:
    """w, x, y, z as nuScenes writes them."""
    return [math.cos(yaw / 2), 0.0, 0.0, math.sin(yaw / 2)]


EGO = {"translation": [100.0, 50.0, 0.0], "rotation": yaw_quaternion(1.0)}
TILTED = {"translation": [101.0, 49.0, 0.3], "rotation": [0.8765, 0.0214, -0.0187, 0.4806]}
CAMERA_ROTATION = [0.5, -0.5, 0.5, -0.5]  # right, down, forward in ego axes
# Where each camera sits in the ego frame, how far it looks to the left in degrees, and its focal length.
CAMERAS = {
    "CAM_FRONT": ([1.7, 0.0, 1.51], 0.0, 1266.0),
    "CAM_FRONT_LEFT": ([1.52, 0.49, 1.51], 55.0, 1266.0),
    "CAM_BACK_LEFT": ([1.04, 0.48, 1.59], 110.0, 1266.0),
    "CAM_BACK": ([0.03, 0.0, 1.57], 180.0, 809.0),
    "CAM_BACK_RIGHT": ([1.04, -0.48, 1.59], -110.0, 1266.0),
    "CAM_FRONT_RIGHT": ([1.52, -0.49, 1.51], -55.0, 1266.0),
}
LIDAR_ROTATION = yaw_quaternion(-math.pi / 2)  # x to the right, y ahead
# An object 10 m ahead of the lidar and 3 m to its left, turned by 0.3 rad: in the ego and the global frame.
IN_BASE = (10.0, 3.0, 0.8, 4.0, 1.8, 1.5, 0.3)


def camera_rotation(yaw: float) -> list[float]:
    """w, x, y, z of a camera that looks that far to the left."""
    (c, _, _, s), (w, x, y, z) = yaw_quaternion(yaw), CAMERA_ROTATION
    return [c * w - s * z, c * x - s * y, c * y + s * x, c * z + s * w]


def nuscenes(
    root: Path,
    *,
    frames: int = 4,
    scenes: int = 1,
    imu: bool = True,
    tilted: bool = False,
    cameras: Sequence[str] = ("CAM_FRONT",),
    sides: int = 1,
) -> Path:
    """Scenes with a car, a bicycle with and one without a rider, a barrier, and a car that nothing hit.

    `tilted`: the vehicle pitches and rolls a little, so that no angle is about one axis alone. `sides` 4: one
    of each to every side, front, left, back, right, in the same place as seen from there.
    """
    tables: dict[str, list[dict[str, Any]]] = {
        "sensor": [
            {"token": f"s-{channel}", "channel": channel, "modality": kind}
            for channel, kind in (*((name, "camera") for name in cameras), ("LIDAR_TOP", "lidar"))
        ],
        "calibrated_sensor": [
            *(_calibrated(name) for name in cameras),
            {
                "token": "c-LIDAR_TOP",
                "sensor_token": "s-LIDAR_TOP",
                "translation": [0.94, 0.0, 1.84],
                "rotation": LIDAR_ROTATION,
                "camera_intrinsic": [],
            },
        ],
        "category": [
            {"token": f"k-{name}", "name": name, "description": ""}
            for name in ("vehicle.car", "vehicle.bicycle", "movable_object.barrier")
        ],
        "attribute": [
            {"token": f"a-{name}", "name": name} for name in ("cycle.with_rider", "cycle.without_rider")
        ],
        "visibility": [{"token": "4", "level": "v80-100", "description": ""}],
        "log": [{"token": "l", "logfile": "", "vehicle": "", "date_captured": "", "location": ""}],
        "map": [{"token": "m", "log_tokens": ["l"], "category": "semantic_prior", "filename": ""}],
        **{
            name: []
            for name in ("scene", "sample", "sample_data", "ego_pose", "instance", "sample_annotation")
        },
    }
    for scene in range(scenes):
        _scene(root, tables, f"scene-{scene + 1:04d}", frames=frames, imu=imu, cameras=cameras, sides=sides)
    if tilted:
        for record in tables["ego_pose"]:
            record.update(TILTED)
    for name, records in tables.items():
        text(root / "v1.0-mini" / f"{name}.json", json.dumps(records))
    return root


def _calibrated(camera: str) -> dict[str, Any]:
    place, yaw_deg, focal = CAMERAS[camera]
    return {
        "token": f"c-{camera}",
        "sensor_token": f"s-{camera}",
        "translation": place,
        "rotation": camera_rotation(math.radians(yaw_deg)),
        "camera_intrinsic": [[focal, 0.0, 816.0], [0.0, focal, 491.0], [0.0, 0.0, 1.0]],
    }


_OBJECTS = (  # category, attributes, lidar points
    ("vehicle.car", [], 12),
    ("vehicle.bicycle", ["a-cycle.with_rider"], 5),
    ("vehicle.bicycle", ["a-cycle.without_rider"], 5),
    ("movable_object.barrier", [], 9),
    ("vehicle.car", [], 0),
)


def _scene(
    root: Path,
    tables: dict[str, Any],
    name: str,
    *,
    frames: int,
    imu: bool,
    cameras: Sequence[str],
    sides: int,
) -> None:
    tokens = [f"{name}-{index}" for index in range(frames)]
    tables["scene"].append(
        {
            "token": name,
            "name": name,
            "log_token": "l",
            "description": "",
            "nbr_samples": frames,
            "first_sample_token": tokens[0],
            "last_sample_token": tokens[-1],
        }
    )
    for index, token in enumerate(tokens):
        utime = 1_532_402_927_000_000 + index * 500_000
        near = {"prev": tokens[index - 1] if index else "", "next": [*tokens, ""][index + 1]}
        tables["sample"].append({"token": token, "timestamp": utime, "scene_token": name, **near})
        for channel, ending in (*((camera, "jpg") for camera in cameras), ("LIDAR_TOP", "pcd.bin")):
            file = f"samples/{channel}/{token}.{ending}"
            record = {
                "token": f"{token}-{channel}",
                "sample_token": token,
                "ego_pose_token": f"{token}-{channel}",
                "calibrated_sensor_token": f"c-{channel}",
                "timestamp": utime,
                "filename": file,
                "fileformat": ending,
                "is_key_frame": True,
                "width": 1600 if channel in CAMERAS else 0,
                "height": 900 if channel in CAMERAS else 0,
                "prev": "",
                "next": "",
            }
            tables["sample_data"].append(record)
            tables["ego_pose"].append({"token": f"{token}-{channel}", "timestamp": utime, **EGO})
        for camera in cameras:
            seed = index + 100 * [*CAMERAS].index(camera)
            image(root / f"samples/{camera}/{token}.jpg", seed=seed, size=(900, 1600))
        cloud(root / f"samples/LIDAR_TOP/{token}.pcd.bin", seed=index, columns=5, height=1.84, scale=255.0)
        for side in range(sides):
            _annotate(tables, token, side, first=index == 0, last=index == frames - 1)
    if imu:
        message = {
            "linear_accel": [0.5, 0.1, 9.81],
            "rotation_rate": [0.0, 0.0, 0.2],
            "q": [1.0, 0.0, 0.0, 0.0],
        }
        utimes = range(1_532_402_926_500_000, 1_532_402_927_000_000 + frames * 500_000, 10_000)
        messages = [{"utime": utime, **message} for utime in utimes]
        text(root / "can_bus" / f"{name}_ms_imu.json", json.dumps(messages))


def _annotate(tables: dict[str, Any], token: str, side: int, *, first: bool, last: bool) -> None:
    x, y, z, length, width, height, yaw = IN_BASE
    for _ in range(side):  # a quarter turn to the left each
        x, y, yaw = -y, x, yaw + math.pi / 2
    ahead, left = x + 0.94, y
    turn, (east, north, _) = 1.0, EGO["translation"]
    centre = [
        east + ahead * math.cos(turn) - left * math.sin(turn),
        north + ahead * math.sin(turn) + left * math.cos(turn),
        z,
    ]
    scene = token.rsplit("-", 1)[0]
    for number, (category, attributes, points) in enumerate(_OBJECTS, len(_OBJECTS) * side):
        instance = f"{scene}-i{number}"
        if first:
            tables["instance"].append({"token": instance, "category_token": f"k-{category}"})
        tables["sample_annotation"].append(
            {
                "token": f"{token}-{number}",
                "sample_token": token,
                "instance_token": instance,
                "attribute_tokens": attributes,
                "visibility_token": "4",
                "translation": centre,
                "size": [width, length, height],
                "rotation": yaw_quaternion(turn + yaw),
                "num_lidar_pts": points,
                "num_radar_pts": 0,
                "prev": "",
                "next": "",
            }
        )
        if last:
            own = next(item for item in tables["instance"] if item["token"] == instance)
            own |= {"first_annotation_token": "", "last_annotation_token": "", "nbr_annotations": 1}
