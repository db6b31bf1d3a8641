"""Builders of samples and messages for tests: small, typed, with sensible defaults."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np

from sentryfuse_core.types import AudioBlock, ImageFrame, ImuReading, Modality, Payload, PointCloud, PointField, Sample

MS = 1_000_000
S = 1_000_000_000
XYZI = tuple(PointField(name, 4 * index, "f4") for index, name in enumerate(("x", "y", "z", "intensity")))


def image_frame(seed: int = 0, *, height: int = 8, width: int = 12) -> ImageFrame:
    """A noisy rgb8 image."""
    pixels = np.random.default_rng(seed).integers(20, 235, height * width * 3, dtype=np.uint8)
    return ImageFrame(height, width, width * 3, "rgb8", False, pixels)


def point_cloud(seed: int = 0, *, points: int = 64) -> PointCloud:
    """A cloud of xyz and intensity around the sensor."""
    values = np.random.default_rng(seed).normal(0.0, 8.0, (points, 4)).astype(np.float32)
    return PointCloud(1, points, 16, 16 * points, False, XYZI, values.view(np.uint8).reshape(-1))


def imu_reading(seed: int = 0) -> ImuReading:
    """A robot at rest, with sensor noise."""
    noise = np.random.default_rng(seed).normal(0.0, 0.01, (2, 3))
    return ImuReading(noise[0], noise[1] + np.array([0.0, 0.0, 9.81]))


def audio_block(seed: int = 0, *, samples: int = 320) -> AudioBlock:
    """Quiet stereo noise at 16 kHz."""
    pcm = np.random.default_rng(seed).integers(-800, 800, (samples, 2), dtype=np.int16)
    return AudioBlock(pcm, 16_000, True)


_PAYLOADS = {
    Modality.CAMERA: image_frame,
    Modality.LIDAR: point_cloud,
    Modality.IMU: imu_reading,
    Modality.AUDIO: audio_block,
}


def sample(
    modality: Modality,
    stamp_ns: int,
    *,
    arrival_ns: int | None = None,
    payload: Payload | None = None,
    frozen: bool = False,
) -> Sample:
    """A sample that arrived at once (or at `arrival_ns`); content differs from stamp to stamp unless `frozen`."""
    arrival = stamp_ns if arrival_ns is None else arrival_ns
    seed = 7 if frozen else (stamp_ns // MS) % 2**32
    return Sample(
        modality=modality,
        stamp_ns=stamp_ns,
        received_ns=arrival,
        arrival_ns=arrival,
        frame_id=modality.value,
        payload=payload if payload is not None else _PAYLOADS[modality](seed),
        fingerprint=zlib.crc32(str(seed).encode()),
    )


@dataclass
class Stamp:
    """builtin_interfaces/Time by field name."""

    sec: int = 0
    nanosec: int = 0


@dataclass
class Header:
    """std_msgs/Header by field name."""

    stamp: Stamp = field(default_factory=Stamp)
    frame_id: str = "sensor"


def message(stamp_ns: int = S, *, frame_id: str = "sensor", **fields: Any) -> SimpleNamespace:
    """Anything with a header and the given fields, as `convert` reads it: by name."""
    return SimpleNamespace(header=Header(Stamp(stamp_ns // S, stamp_ns % S), frame_id), **fields)
