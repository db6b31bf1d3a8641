"""Does what comes fit the parameters: pictures the intrinsics, intensities their scale, audio its rate."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import cast

import numpy as np

from sentryfuse_core.clock import NS_PER_S
from sentryfuse_core.config import Config, LidarConfig
from sentryfuse_core.convert import DEPTH_ENCODINGS
from sentryfuse_core.errors import InvalidMessageError
from sentryfuse_core.preprocess import camera, lidar
from sentryfuse_core.types import (
    AudioBlock,
    CompressedFrame,
    ImageFrame,
    Intrinsics,
    Modality,
    PointCloud,
    Sample,
    SyncedSet,
)

__all__ = ["FitCheck", "audio_misfit", "camera_misfit", "imu_misfit", "lidar_misfit"]

_TOLERANCE = 0.1  # share by which shape or length may differ
_MIN_BLOCKS = 3  # with stamps of their own
_MIN_ARRIVALS = 20  # of blocks without: their times jitter
_MIN_WINDOWS = 20  # of the IMU: brakes and bumps average out
_LEAST_M_S2 = 5.0  # of gravity; a robot that leans by 60 degrees has fallen
_INTENSITY_SCALES = (1.0, 255.0, 4095.0, 65535.0)


class FitCheck:
    """Looks once at the first data of each sensor; `intrinsics` hold until `set_intrinsics` gives others."""

    def __init__(self, config: Config, intrinsics: Mapping[str, Intrinsics]) -> None:
        """`intrinsics`: by camera."""
        self._config = config
        self._intrinsics = dict(intrinsics)
        self._info_frames: dict[str, str] = {}  # by camera; missing: no CameraInfo came
        self._blocks: dict[str, list[Sample]] = {}
        self._felt: list[tuple[float, ...]] = []
        self._unchecked = set(config.sensors)

    @property
    def unchecked(self) -> frozenset[str]:
        """The sensors that have not shown enough yet to be judged."""
        return frozenset(self._unchecked)

    def set_intrinsics(self, intrinsics: Intrinsics, *, frame_id: str, name: str = Modality.CAMERA) -> None:
        """Intrinsics of a camera's CameraInfo that names this frame hold from now on."""
        if self._info_frames.get(name) != frame_id or intrinsics != self._intrinsics[name]:
            self._intrinsics[name], self._info_frames[name] = intrinsics, frame_id
            self._unchecked.add(name)

    def look(self, synced: SyncedSet, *, felt_m_s2: tuple[float, ...]) -> list[str]:
        """What to set where this set shows that its data does not fit the parameters.

        `felt_m_s2` is the acceleration that the IMU in use felt, in base axes; empty where it is not known.
        """
        notes: list[str | None] = []
        for name in [name for name in synced.samples if name in self._unchecked]:
            samples, kind = synced.samples[name], synced.samples[name][-1].modality
            if kind is Modality.AUDIO:
                blocks = self._collected(name, samples)
                if not _enough(blocks):
                    continue
                notes.append(audio_misfit(blocks))
            elif kind is Modality.IMU:
                self._felt += [felt_m_s2] if felt_m_s2 else []
                if len(self._felt) < _MIN_WINDOWS:
                    continue
                notes.append(imu_misfit(self._felt, name))
            elif kind is Modality.LIDAR:
                section = cast("LidarConfig", self._config.sensor(name))
                notes.append(lidar_misfit(samples[-1], section.intensity_full_scale))
            else:
                informed = name in self._info_frames
                notes.append(camera_misfit(samples[-1], self._intrinsics[name], informed=informed))
                notes += [_depth(samples[-1]), self._other_frame(samples[-1])]
            self._unchecked.discard(name)
        return [note for note in notes if note is not None]

    def _other_frame(self, sample: Sample) -> str | None:
        """CameraInfo of a frame that is not the pictures' may be that of another camera."""
        name = sample.sensor
        told, override = self._info_frames.get(name), self._config.sensor(name).frame_id
        if not told or override or told == sample.frame_id:
            return None
        return (
            f"{name}: CameraInfo is of frame {told!r}, the pictures of {sample.frame_id!r}: "
            f"if that is another camera, set {name}.info_topic"
        )

    def _collected(self, name: str, samples: Sequence[Sample]) -> Sequence[Sample]:
        """The blocks of this set and of those before: a window may hold too few to judge by."""
        blocks = self._blocks.setdefault(name, [])
        last_ns = blocks[-1].stamp_ns if blocks else -1
        blocks += [sample for sample in samples if sample.stamp_ns > last_ns]
        del blocks[: -2 * _MIN_ARRIVALS]
        return blocks


def camera_misfit(sample: Sample, intrinsics: Intrinsics, *, informed: bool = False) -> str | None:
    """What to set where the picture is not of the shape that the intrinsics hold for; None: it is.

    `informed`: they are those of a CameraInfo, not of the parameters.
    """
    name, frame = sample.sensor, cast("ImageFrame | CompressedFrame", sample.payload)
    width, height = frame.width, frame.height
    held = camera.fitting(intrinsics, width, height)
    if not (width and height) or camera.same_shape(held, width, height, tolerance=_TOLERANCE):
        return None
    size, held_size = f"the pictures are {width} x {height} pixels", f"{held.width} x {held.height}"
    if informed:
        return (
            f"{name}: {size}, CameraInfo holds for {held_size}, so bearings are wrong: "
            f"take the CameraInfo of this picture ({name}.info_topic)"
        )
    return (
        f"{name}: {size}, the intrinsics hold for {held_size}: "
        f"set {name}.image_width, image_height, fx, fy, cx and cy"
    )


def lidar_misfit(sample: Sample, full_scale: float) -> str | None:
    """What to set where intensities lie far below or above the value that counts as 1; None: they do not."""
    cloud = cast("PointCloud", sample.payload)
    if len(cloud.fields) < 4:
        return None
    try:
        largest = float(lidar.decode(cloud, intensity_full_scale=1.0)[3].max())
    except InvalidMessageError:
        return None
    low = 0.0 < largest <= 1.0 and full_scale >= 10.0
    if not (low or largest > 4.0 * full_scale):
        return None
    scale = next((scale for scale in _INTENSITY_SCALES if largest <= scale), largest)
    name = sample.sensor
    return (
        f"{name}: intensities go up to {largest:.4g}, {name}.intensity_full_scale is {full_scale:g}: "
        f"set it to {scale:g} if that is the lidar's range"
    )


def imu_misfit(felt_m_s2: Sequence[tuple[float, ...]], name: str = Modality.IMU) -> str | None:
    """What to set where accelerations in base axes do not average gravity upwards; None: they do."""
    x, y, z = np.mean(felt_m_s2, axis=0).tolist()
    if math.hypot(x, y, z) < _LEAST_M_S2 or z > _LEAST_M_S2:
        return None
    felt = f"{name}: acceleration averages {x:.1f}, {y:.1f}, {z:.1f} m/s^2 in the base frame, not 0, 0, +9.8"
    if z < -_LEAST_M_S2:
        return f"{felt} (REP 145): let the driver change its sign, or correct the IMU's pose"
    return f"{felt}: correct the IMU's pose (tf2, or {name}.quaternion_xyzw)"


def audio_misfit(samples: Sequence[Sample]) -> str | None:
    """What to set where blocks last longer or shorter than the time between them; None: they fit.

    Without a header that is the time between their arrivals. Lost blocks leave its median as it is, blocks
    that come in bursts its mean: only where both disagree the parameters are wrong.
    """
    apart = np.diff([sample.stamp_ns for sample in samples]) / NS_PER_S
    apart_s = float(np.median(apart))
    block = cast("AudioBlock", samples[-1].payload)
    length_s = block.pcm.shape[0] / block.sample_rate_hz
    wrong = [
        between_s > 0.0 and abs(length_s / between_s - 1.0) > _TOLERANCE
        for between_s in (apart_s, apart_s if block.stamped else float(apart.mean()))
    ]
    if not all(wrong):
        return None
    name = samples[-1].sensor
    values_hz = block.pcm.size / apart_s
    return (
        f"{name}: blocks of {length_s * 1e3:.1f} ms every {apart_s * 1e3:.1f} ms: set {name}.sample_rate_hz "
        f"and {name}.channels, whose product looks like {round(values_hz, -2):.0f} Hz"
    )


def _enough(samples: Sequence[Sample]) -> bool:
    stamped = all(cast("AudioBlock", item.payload).stamped for item in samples)
    return len(samples) >= (_MIN_BLOCKS if stamped else _MIN_ARRIVALS)


def _depth(sample: Sample) -> str | None:
    frame = sample.payload
    if not isinstance(frame, ImageFrame) or frame.encoding not in DEPTH_ENCODINGS:
        return None
    return (
        f"{sample.sensor}: its encoding {frame.encoding} is that of depth images: "
        "choose the camera's picture, unless this is one (a thermal camera)"
    )
