"""Sample moments for a report: the picture with the boxes drawn in, and the points around the robot."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from sentryfuse_core.clock import NS_PER_S
from sentryfuse_core.config import Config, LidarConfig
from sentryfuse_core.config.sectors import sector_yaws_deg
from sentryfuse_core.errors import InvalidMessageError
from sentryfuse_core.faults.scenario import Event
from sentryfuse_core.preprocess import camera, lidar
from sentryfuse_core.preprocess.geometry import GEOMETRY
from sentryfuse_core.preprocess.motion import pose_rotation
from sentryfuse_core.preprocess.placing import parameter_pose
from sentryfuse_core.replay.records import SetRecord
from sentryfuse_core.replay.report_data import BOX_EDGES, CLASS_COLOURS, ReportFrame, box_corners
from sentryfuse_core.replay.truth import Truth
from sentryfuse_core.types import (
    CompressedFrame,
    Detection,
    ImageFrame,
    Intrinsics,
    Modality,
    ModalitySet,
    PointCloud,
    Pose,
    Sample,
    SyncedSet,
)

__all__ = ["COLOURS", "FrameSampler", "camera_picture", "lidar_points", "make_frame"]

_PICTURE_WIDTH = 560  # pixels: what a report shows side by side
_MAX_POINTS = 5000
_SPREAD = 4
_MAX_FAULTS = 6
_MAX_MASKS = 8
_INTO_FAULT_S = 0.5  # a fault shows by then, whether it was noticed or not
_STEADY_SETS = 3  # so many sets of the same sensors are no passing gap
_DASH_PX = 6
_MAX_DASHED_PX = 2000
_NEAR_M = 0.3  # boxes are cut at this distance before the lens
Pixel: TypeAlias = tuple[int, int]
COLOURS = tuple(tuple(bytes.fromhex(colour[1:])) for colour in CLASS_COLOURS)  # by class, RGB 0..255


class FrameSampler:
    """Keeps a few moments: evenly spread ones, one in each fault, one of each new set of sensors.

    The moments are spread over `seconds` from `start_ns`; of the `faults` the first few are looked into.
    """

    def __init__(
        self,
        config: Config,
        *,
        start_ns: int,
        seconds: float,
        faults: Sequence[Event] = (),
        truth: Truth | None = None,
    ) -> None:
        self.frames: list[ReportFrame] = []  # those kept so far
        self._config = config
        self._truth = truth
        self._shown: set[ModalitySet] = set()
        self._steady = (ModalitySet(), 0)  # sensors of the last sets, and how many sets had the same
        step_s = seconds / _SPREAD
        wanted = [(step_s * (index + 0.5), "") for index in range(_SPREAD)]
        for event in [item for item in faults if item.at_s < seconds][:_MAX_FAULTS]:
            into_s = min(_INTO_FAULT_S, (event.until_s - event.at_s) / 2)
            wanted.append((event.at_s + into_s, f"{event.fault} on {event.stream}"))
        # When, and what for.
        self._due = sorted((start_ns + round(at_s * NS_PER_S), why) for at_s, why in wanted)

    def offer(
        self,
        record: SetRecord,
        synced: SyncedSet,
        *,
        intrinsics: Mapping[str, Intrinsics],
        poses: Mapping[str, Pose] = MappingProxyType({}),
    ) -> None:
        """Keep this set if a moment is due or its sensors are new; shown is what came, used or not."""
        due = [why for due_ns, why in self._due if due_ns <= record.released_ns]
        self._due = self._due[len(due) :]
        used, count = self._steady
        self._steady = (record.used, count + 1 if record.used == used else 1)
        new = self._steady[1] == _STEADY_SETS and record.used not in self._shown
        if not due and not (new and len(self._shown) < _MAX_MASKS):
            return
        other = "" if due or not self._shown else "now other sensors"
        self._shown.add(record.used)
        self.frames.append(
            make_frame(
                record,
                {name: samples[-1] for name, samples in synced.samples.items()},
                config=self._config,
                intrinsics=intrinsics,
                truth=() if self._truth is None else self._truth.near(record.stamp_ns) or (),
                poses=poses,
                why=", ".join(text for text in due if text) or other,
            )
        )


def make_frame(
    record: SetRecord,
    samples: Mapping[str, Sample],
    *,
    config: Config,
    intrinsics: Mapping[str, Intrinsics],
    truth: Sequence[Detection] = (),
    poses: Mapping[str, Pose] = MappingProxyType({}),
    why: str = "",
) -> ReportFrame:
    """Decode the set's samples and draw; one that cannot be decoded is left out.

    A sensor without one of the `poses` is where the parameters say.
    """
    pictures = {
        name: camera_picture(samples[name]) if name in samples else None
        for name in config.of_kind(Modality.CAMERA)
    }
    for name, picture in pictures.items():
        if picture is None:
            continue
        pose = poses.get(name, parameter_pose(config.sensor(name)))
        for box in truth:
            _draw(picture, box, intrinsics[name], pose, dashed=True)
        for detection in record.detections:
            _draw(picture, detection, intrinsics[name], pose)
    clouds = [
        points
        for name in config.of_kind(Modality.LIDAR)
        if name in samples and (points := lidar_points(samples[name], config, poses.get(name))) is not None
    ]
    cloud = np.concatenate(clouds) if clouds else None
    return ReportFrame(record, tuple(truth), pictures, cloud, why, _looks_around(config))


def camera_picture(sample: Sample) -> NDArray[np.uint8] | None:
    """RGB [H, 560, 3]; None where it cannot be decoded."""
    if not isinstance(sample.payload, (ImageFrame, CompressedFrame)):
        return None
    try:
        image = camera.decode(sample.payload)
    except InvalidMessageError:
        return None
    height = max(round(image.shape[0] * _PICTURE_WIDTH / image.shape[1]), 1)
    scaled = cv2.resize(image, (_PICTURE_WIDTH, height), interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(scaled, dtype=np.uint8)


def lidar_points(sample: Sample, config: Config, pose: Pose | None) -> NDArray[np.float32] | None:
    """A few thousand of the points in the region that the network sees, [N, 3], in the base frame.

    Without a `pose` the lidar is where the parameters say.
    """
    section = config.sensor(sample.sensor)
    if not isinstance(sample.payload, PointCloud) or not isinstance(section, LidarConfig):
        return None
    pose = parameter_pose(section) if pose is None else pose
    try:
        points = lidar.decode(sample.payload, intensity_full_scale=section.intensity_full_scale)[:3].T
    except InvalidMessageError:
        return None
    points = points @ pose_rotation(pose).T + np.asarray(pose.translation)
    x, y, _ = points.T
    reach_m = GEOMETRY.x_max_m
    ahead = (x > GEOMETRY.x_min_m) & (x < reach_m) & (np.abs(y) < GEOMETRY.y_max_m)
    around = (np.abs(x) < reach_m) & (np.abs(y) < reach_m)
    seen = points[around if _looks_around(config) else ahead]
    return np.asarray(seen[:: max(len(seen) // _MAX_POINTS, 1)], dtype=np.float32)


def _looks_around(config: Config) -> bool:
    """Whether the network looks elsewhere than ahead."""
    return sector_yaws_deg(config.output.sectors) != (0.0,)


def _draw(
    picture: NDArray[np.uint8],
    detection: Detection,
    intrinsics: Intrinsics,
    pose: Pose,
    *,
    dashed: bool = False,
) -> None:
    """Draw a box's edges; distortion is left out, so boxes near the rim of a wide lens are a little off."""
    in_camera = (box_corners(detection) - np.asarray(pose.translation)) @ pose_rotation(pose)
    scale = picture.shape[1] / intrinsics.width
    colour = (255, 255, 255) if dashed else COLOURS[detection.class_id % len(COLOURS)]
    for first, second in BOX_EDGES:
        ends = _clipped(in_camera[first], in_camera[second])
        if ends is None:
            continue
        start, end = (_project(point, intrinsics, scale) for point in ends)
        for first_px, second_px in _dashes(start, end) if dashed else ((start, end),):
            cv2.line(picture, first_px, second_px, colour, 1 if dashed else 2, cv2.LINE_AA)


def _dashes(start: Pixel, end: Pixel) -> Iterator[tuple[Pixel, Pixel]]:
    """Every other piece of a line; none of one that leaves the picture by far."""
    length = math.dist(start, end)
    if length > _MAX_DASHED_PX:
        return
    pieces = max(int(length / _DASH_PX) | 1, 1)
    points = np.linspace(start, end, pieces + 1).round().astype(int).tolist()
    for index in range(0, pieces, 2):
        yield tuple(points[index]), tuple(points[index + 1])


def _clipped(
    first: NDArray[np.float64], second: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """The part of an edge before the lens; None if none is."""
    if first[2] < second[2]:
        first, second = second, first
    if first[2] < _NEAR_M:
        return None
    if second[2] < _NEAR_M:
        share = (first[2] - _NEAR_M) / (first[2] - second[2])
        second = first + share * (second - first)
    return first, second


def _project(point: NDArray[np.float64], intrinsics: Intrinsics, scale: float) -> tuple[int, int]:
    u = (intrinsics.fx * point[0] / point[2] + intrinsics.cx) * scale
    v = (intrinsics.fy * point[1] / point[2] + intrinsics.cy) * scale
    limit = 16_000.0  # OpenCV draws with 16-bit coordinates
    return round(float(np.clip(u, -limit, limit))), round(float(np.clip(v, -limit, limit)))
