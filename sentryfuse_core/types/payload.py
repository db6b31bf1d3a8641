"""What a message of a sensor holds, checked, its arrays still views of the message."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "AudioBlock",
    "CompressedFrame",
    "FloatArray",
    "ImageFrame",
    "ImuReading",
    "Payload",
    "PointCloud",
    "PointField",
    "UInt8Array",
]

UInt8Array: TypeAlias = NDArray[np.uint8]
FloatArray: TypeAlias = NDArray[np.floating[Any]]


@dataclass(frozen=True, eq=False)
class ImageFrame:
    """An uncompressed image as it came: `data` is a flat uint8 view of at least `height * step` bytes."""

    height: int
    width: int
    step: int  # bytes a row, padding included
    encoding: str  # ROS name, e.g. rgb8
    is_bigendian: bool
    data: UInt8Array


@dataclass(frozen=True, eq=False)
class CompressedFrame:
    """An image file in memory (JPEG or PNG): `data` is a flat uint8 view."""

    format: str
    data: UInt8Array
    channels: str = ""  # bayer_...: its one channel is a mosaic; rgb8: red lies where files have blue
    width: int = 0  # as its header says; 0: not known
    height: int = 0


@dataclass(frozen=True)
class PointField:
    """One field of a point record: byte `offset` and numpy dtype `kind` without byte order, e.g. f4."""

    name: str
    offset: int
    kind: str
    count: int = 1


@dataclass(frozen=True, eq=False)
class PointCloud:
    """A point cloud as it came: `height * width` records of `point_step` bytes, rows `row_step` apart."""

    height: int
    width: int
    point_step: int
    row_step: int
    is_bigendian: bool
    fields: tuple[PointField, ...]
    data: UInt8Array
    time: PointField | None = None  # of each point; None: they are of one moment, or nothing says


@dataclass(frozen=True, eq=False)
class ImuReading:
    """Angular velocity [3] in rad/s and linear acceleration [3] in m/s^2, gravity included; None = absent."""

    angular_velocity: FloatArray | None
    linear_acceleration: FloatArray | None


@dataclass(frozen=True, eq=False)
class AudioBlock:
    """PCM audio [samples, channels] as it came: int16 (full scale 32768), other integers or float (1.0)."""

    pcm: NDArray[Any]
    sample_rate_hz: int
    stamped: bool  # False: the message had no header, the stamp is arrival minus configured latency


Payload: TypeAlias = ImageFrame | CompressedFrame | PointCloud | ImuReading | AudioBlock
