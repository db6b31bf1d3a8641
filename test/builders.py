"""Builders of samples and messages for tests: small, typed, with sensible defaults."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np

from sentryfuse_core.types import (
    AudioBlock,
    ImageFrame,
    ImuReading,
    Modality,
    Payload,
    PointCloud,
    PointField,
    Sample,
)

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


def cloud_of(*points: tuple[float, float, float]) -> PointCloud:
    """A cloud of these points, in m of the sensor's frame."""
    records = np.array([(*point, 51.0) for point in points], np.float32)
    return PointCloud(1, len(records), 16, records.nbytes, False, XYZI, records.view(np.uint8).reshape(-1))


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
    name: str = "",
) -> Sample:
    """A sample that arrived at once, or at `arrival_ns`; content differs with the stamp unless `frozen`."""
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
        name=name,
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


def image_message(
    encoding: str, pixels: Any, *, width: int, padding: int = 0, **fields: Any
) -> SimpleNamespace:
    """sensor_msgs/Image of rows of bytes [H, row bytes], each with `padding` bytes after it."""
    rows = np.pad(np.asarray(pixels, np.uint8), ((0, 0), (0, padding)), constant_values=77)
    values: dict[str, Any] = {
        "height": rows.shape[0],
        "width": width,
        "encoding": encoding,
        "is_bigendian": 0,
        "step": rows.shape[1],
        "data": rows.reshape(-1),
    }
    return message(**{**values, **fields})


DATATYPES = {"i1": 1, "u1": 2, "i2": 3, "u2": 4, "i4": 5, "u4": 6, "f4": 7, "f8": 8}


def cloud_message(
    columns: dict[str, Any], *, order: str = "<", gap: int = 0, **fields: Any
) -> SimpleNamespace:
    """sensor_msgs/PointCloud2 with these columns in this order, `gap` bytes before each and at the end."""
    arrays = {name: np.asarray(values) for name, values in columns.items()}
    offsets, end = [], gap
    for values in arrays.values():
        offsets.append(end)
        end += values.dtype.itemsize + gap
    count = len(next(iter(arrays.values())))
    kinds = [values.dtype.str[1:] for values in arrays.values()]
    layout = {
        "names": list(arrays),
        "formats": [order + kind for kind in kinds],
        "offsets": offsets,
        "itemsize": end,
    }
    records = np.zeros(count, np.dtype(layout))
    for name, values in arrays.items():
        records[name] = values
    described = [
        SimpleNamespace(name=name, offset=offset, datatype=DATATYPES[kind], count=1)
        for name, offset, kind in zip(arrays, offsets, kinds, strict=True)
    ]
    values_by_name: dict[str, Any] = {
        "height": 1,
        "width": count,
        "fields": described,
        "is_bigendian": order == ">",
        "point_step": end,
        "row_step": end * count,
        "data": records.view(np.uint8).reshape(-1) if count else np.empty(0, np.uint8),
    }
    return message(**{**values_by_name, **fields})


def imu_message(
    *, gyro: Any = (0.1, -0.2, 0.3), accel: Any = (0.0, 0.0, 9.81), **fields: Any
) -> SimpleNamespace:
    """sensor_msgs/Imu without an orientation."""
    vectors = [SimpleNamespace(**dict(zip("xyz", vector, strict=True))) for vector in (gyro, accel)]
    values: dict[str, Any] = {
        "orientation_covariance": np.array([-1.0] + [0.0] * 8),
        "angular_velocity": vectors[0],
        "angular_velocity_covariance": np.zeros(9),
        "linear_acceleration": vectors[1],
        "linear_acceleration_covariance": np.zeros(9),
    }
    return message(**{**values, **fields})


def chunk_message(pcm: Any, *, rate_hz: int = 16_000, **fields: Any) -> SimpleNamespace:
    """sentryfuse/AudioChunk of int16 or float32 samples [N, C]."""
    samples = np.asarray(pcm)
    values: dict[str, Any] = {
        "sample_rate_hz": rate_hz,
        "channels": samples.shape[1],
        "encoding": "S16LE" if samples.dtype.kind == "i" else "F32LE",
        "data": np.ascontiguousarray(samples).view(np.uint8).reshape(-1),
    }
    return message(**{**values, **fields})


PERIOD_NS = {
    Modality.CAMERA: 66_666_667,
    Modality.LIDAR: 100 * MS,
    Modality.IMU: 5 * MS,
    Modality.AUDIO: 20 * MS,
}
LATENCY_NS = {Modality.CAMERA: 20 * MS, Modality.LIDAR: 10 * MS, Modality.IMU: MS, Modality.AUDIO: 21 * MS}


def timeline(
    modalities: Iterable[Modality],
    seconds: float,
    *,
    start_ns: int = S,
    dead: Iterable[tuple[Modality, float, float]] = (),
    period_ns: Mapping[Modality, int] | None = None,
) -> list[Sample]:
    """Samples of steady streams in order of arrival; `dead` says who sends nothing, from when to when in s.

    Every stream has its own latency; one payload serves all samples of a stream, so that it is cheap.
    """
    periods = {**PERIOD_NS, **(period_ns or {})}
    gaps = [(m, start_ns + round(begin * S), start_ns + round(end * S)) for m, begin, end in dead]
    samples = []
    for modality in modalities:
        payload = _PAYLOADS[modality](0)
        for stamp_ns in range(start_ns, start_ns + round(seconds * S), periods[modality]):
            if not any(m is modality and begin <= stamp_ns < end for m, begin, end in gaps):
                arrival_ns = stamp_ns + LATENCY_NS[modality]
                samples.append(sample(modality, stamp_ns, arrival_ns=arrival_ns, payload=payload))
    return sorted(samples, key=lambda item: item.arrival_ns)


def odometry_message(
    stamp_ns: int = S,
    *,
    place: tuple[float, float, float] = (0.0, 0.0, 0.0),
    yaw: float = 0.0,
    speed: float = 0.0,
    rate: float = 0.0,
    child: str = "base_link",
) -> SimpleNamespace:
    """nav_msgs/Odometry of what turns about z alone and goes straight ahead."""

    def vector(x: float, y: float, z: float, **more: float) -> SimpleNamespace:
        return SimpleNamespace(x=x, y=y, z=z, **more)

    pose = SimpleNamespace(
        position=vector(*place), orientation=vector(0.0, 0.0, math.sin(yaw / 2), w=math.cos(yaw / 2))
    )
    twist = SimpleNamespace(linear=vector(speed, 0.0, 0.0), angular=vector(0.0, 0.0, rate))
    return message(
        stamp_ns,
        frame_id="odom",
        child_frame_id=child,
        pose=SimpleNamespace(pose=pose),
        twist=SimpleNamespace(twist=twist),
    )
