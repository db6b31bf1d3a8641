"""Does what comes fit the parameters: pictures the intrinsics, intensities their scale, audio its rate."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, cast

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
_MOST_TOLD = 100  # however often a driver changes what it sends
_FILLED = 16  # of 255, of the higher byte: 12 bits do not reach it
_MIN_PICTURES = 10  # that do not either: the first of many cameras are dark
_INTENSITY_SCALES = (1.0, 255.0, 4095.0, 65535.0)


class FitCheck:
    """Looks at the first data of each sensor, and anew once that, or what is known of its camera, changes.

    `look` and `misfits` are for one thread; another may call `set_intrinsics`.
    """

    def __init__(self, config: Config, intrinsics: Mapping[str, Intrinsics]) -> None:
        """`intrinsics`: by camera; they hold until `set_intrinsics` gives others."""
        self._config = config
        # By camera, with the frame of their CameraInfo; None: none came.
        self._held: dict[str, tuple[Intrinsics, str | None]] = {
            name: (item, None) for name, item in intrinsics.items()
        }
        self._forms: dict[str, tuple[object, object]] = {}  # of what was looked at last
        self._seen: dict[str, list[Any]] = {}  # of that, by the sensors that are not judged yet
        self._misfits: dict[str, list[str]] = {}
        self._told: dict[str, bool] = {}  # each note, and whether it was never taken back of the same data

    @property
    def misfits(self) -> tuple[str, ...]:
        """What to set as things stand."""
        return tuple(note for notes in self._misfits.values() for note in notes)

    @property
    def told(self) -> tuple[str, ...]:
        """What did not fit at any time, but for what turned out to, as by a CameraInfo that came later."""
        return tuple(note for note, stands in self._told.items() if stands)

    @property
    def unchecked(self) -> frozenset[str]:
        """The sensors that have not shown enough yet to be judged."""
        return frozenset(dict(self._config.kinds).keys() - self._misfits.keys())

    def set_intrinsics(self, intrinsics: Intrinsics, *, frame_id: str, name: str = Modality.CAMERA) -> None:
        """Intrinsics of a camera's CameraInfo that names this frame hold from now on."""
        self._held[name] = intrinsics, frame_id

    def look(self, synced: SyncedSet, *, felt_m_s2: Mapping[str, tuple[float, ...]]) -> list[str]:
        """What to set where this set shows that its data does not fit the parameters; each is told once.

        `felt_m_s2` is the acceleration that the IMU in use felt, in base axes and by its name.
        """
        fresh: list[str] = []
        for name, samples in synced.samples.items():
            form, before = self._form(samples[-1]), self._forms.get(name)
            if form != before:
                self._forms[name], self._seen[name] = form, []
                if before is None or form[0] != before[0]:
                    self._misfits.pop(name, None)
            elif name not in self._seen:
                continue
            found = self._judged(samples, felt_m_s2.get(name), self._seen[name])
            if found is None:
                continue
            earlier = self._misfits.get(name, [])  # of the same data
            if found and samples[-1].modality is Modality.IMU:  # its pose may be corrected at any time
                self._seen[name] = []
                found = earlier or found  # with the figures of the first time
            else:
                del self._seen[name]
            self._misfits[name] = found
            fresh += self._note(found, earlier)
        return fresh

    def _note(self, found: list[str], earlier: list[str]) -> list[str]:
        """Keep what was found, and what that takes back; returns what is told for the first time."""
        fresh = [note for note in found if note not in self._told][: _MOST_TOLD - len(self._told)]
        self._told |= dict.fromkeys(fresh, True)
        for note in self._told.keys() & {*earlier, *found}:
            self._told[note] = note in found
        return fresh

    def _form(self, sample: Sample) -> tuple[object, object]:
        """What tells whether an earlier judgement holds for this, too: of the data, and known about it."""
        data = sample.payload
        if isinstance(data, ImageFrame | CompressedFrame):
            colours = data.encoding if isinstance(data, ImageFrame) else data.channels
            return (data.width, data.height, colours, sample.frame_id), self._held[sample.sensor]
        if isinstance(data, PointCloud):
            return data.fields, None
        if isinstance(data, AudioBlock):
            return (data.pcm.shape[1], data.sample_rate_hz, data.stamped), None
        return sample.frame_id, None

    def _judged(
        self, samples: Sequence[Sample], felt_m_s2: tuple[float, ...] | None, seen: list[Any]
    ) -> list[str] | None:
        """What does not fit, now that these came after what was `seen`; None: that is not enough to tell."""
        last = samples[-1]
        notes: list[str | None]
        if last.modality is Modality.AUDIO:
            # A window may hold too few blocks to judge by.
            seen += [block for block in samples if not seen or block.stamp_ns > seen[-1].stamp_ns]
            del seen[: -2 * _MIN_ARRIVALS]
            if not _enough(seen):
                return None
            notes = [audio_misfit(seen)]
        elif last.modality is Modality.IMU:
            seen += [felt_m_s2] if felt_m_s2 else []
            if len(seen) < _MIN_WINDOWS:
                return None
            notes = [imu_misfit(seen, last.sensor)]
        elif last.modality is Modality.LIDAR:
            section = cast("LidarConfig", self._config.sensor(last.sensor))
            notes = [lidar_misfit(last, section.intensity_full_scale)]
        else:
            intrinsics, info_frame = self._held[last.sensor]
            misfit = camera_misfit(last, intrinsics, informed=info_frame is not None)
            unfilled = _unfilled(last)
            seen += [last.stamp_ns] if unfilled else []
            if unfilled and len(seen) < _MIN_PICTURES:
                return None
            notes = [misfit, _depth(last) or unfilled, self._other_frame(last, info_frame)]
        return [note for note in notes if note is not None]

    def _other_frame(self, sample: Sample, told: str | None) -> str | None:
        """CameraInfo of a frame that is not the pictures' may be that of another camera."""
        name = sample.sensor
        override = self._config.sensor(name).frame_id
        if not told or override or told == sample.frame_id:
            return None
        return (
            f"{name}: CameraInfo is of frame {told!r}, the pictures of {sample.frame_id!r}: "
            f"if that is another camera, set {name}.info_topic"
        )


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


def _unfilled(sample: Sample) -> str | None:
    """Cameras of 10 or 12 bits leave the higher ones of 16 empty, and those are what is read."""
    frame = sample.payload
    if not isinstance(frame, ImageFrame) or not frame.encoding.endswith("16"):
        return None
    try:
        filled = camera.decode(frame).max() >= _FILLED
    except InvalidMessageError:
        return None
    if filled:
        return None
    return (
        f"{sample.sensor}: no value of its {frame.encoding} pictures reaches {_FILLED << 8} of 65535, and of "
        "16 bits the higher 8 are read: if the camera has 10 or 12, let its driver shift them up, or publish "
        "mono8"
    )
