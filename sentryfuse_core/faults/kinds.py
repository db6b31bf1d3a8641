"""The table of faults: what each does, takes and can be done to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from sentryfuse_core.faults import coming, stamps
from sentryfuse_core.faults.corruption import audio, cloud, image, imu, lens
from sentryfuse_core.faults.corruption.audio import on_samples
from sentryfuse_core.faults.corruption.cloud import on_points
from sentryfuse_core.faults.corruption.image import on_pixels, on_view
from sentryfuse_core.faults.corruption.imu import on_readings
from sentryfuse_core.faults.corruption.malformed import malformed
from sentryfuse_core.faults.corruption.payload import truncate
from sentryfuse_core.faults.hit import Delivery, Hit
from sentryfuse_core.types import Modality, ModalitySet

__all__ = ["FAULTS", "FaultKind", "FaultOption"]

Spoil: TypeAlias = Callable[[Any, Hit], Any]


@dataclass(frozen=True)
class FaultOption:
    """A number a fault takes: inclusive range and, where one is natural, a default."""

    low: float
    high: float
    default: float | None = None


@dataclass(frozen=True, kw_only=True)
class FaultKind:
    """What a fault does, takes and can be done to.

    `comes` decides when and how often a message goes on, without looking into it; `spoils` are functions
    of the message itself, each of which passes what is not for it.
    """

    comes: Callable[[Delivery, Hit], list[Delivery]] | None = None
    spoils: tuple[Spoil, ...] = ()
    options: Mapping[str, FaultOption] = field(default_factory=dict)
    streams: ModalitySet = field(default_factory=ModalitySet.all)


_SHARE = {"share": FaultOption(0.0, 1.0, 1.0)}
_SIDE = FaultOption(0.0, 1.0, 0.0)
_BEARING = FaultOption(-360.0, 360.0)
_SECONDS = FaultOption(0.0, 3600.0)
_CAMERA, _LIDAR, _IMU, _AUDIO = map(ModalitySet.of, Modality)
_COVER = {
    **dict.fromkeys(("left", "right", "top", "bottom"), _SIDE),
    "level": FaultOption(0.0, 1.0, 0.05),
    "sigma": FaultOption(0.0, 1.0, 0.01),
}
_NOISE = (on_pixels(image.noise), on_points(cloud.noise), on_readings(imu.noise), on_samples(audio.noise))
_TURNED = (on_view(lens.turned), on_points(cloud.turned))
_NAN = (on_points(cloud.not_a_number), on_readings(imu.not_a_number))

FAULTS: Mapping[str, FaultKind] = {
    # Coming.
    "drop": FaultKind(comes=coming.drop, options=_SHARE),
    "duty": FaultKind(
        comes=coming.duty,
        options={"period_s": FaultOption(0.001, 3600.0), "share": FaultOption(0.0, 1.0, 0.5)},
    ),
    "rate": FaultKind(comes=coming.rate, options={"rate_hz": FaultOption(0.01, 10_000.0)}),
    "delay": FaultKind(comes=coming.delay, options={"delay_s": _SECONDS}),
    "jitter": FaultKind(comes=coming.jitter, options={"max_s": _SECONDS}),
    "duplicate": FaultKind(
        comes=coming.duplicate, options={"copies": FaultOption(1.0, 100.0, 1.0), **_SHARE}
    ),
    "reorder": FaultKind(
        comes=coming.reorder,
        options={"depth": FaultOption(1.0, 1000.0, 1.0), "share": FaultOption(0.0, 1.0, 0.5)},
    ),
    # The sensor's clock.
    "offset": FaultKind(spoils=(stamps.offset,), options={"offset_s": FaultOption(-1e6, 1e6)}),
    "clock_jump": FaultKind(spoils=(stamps.clock_jump,), options={"jump_s": FaultOption(-1e9, 1e9)}),
    "drift": FaultKind(spoils=(stamps.drift,), options={"ppm": FaultOption(-1e6, 1e6)}),
    "loop": FaultKind(spoils=(stamps.loop,), options={"length_s": FaultOption(0.01, 86_400.0)}),
    "zero_stamp": FaultKind(spoils=(stamps.zero_stamp,)),
    # Content, of several sensors.
    "freeze": FaultKind(spoils=(stamps.freeze,)),
    "truncate": FaultKind(
        spoils=(truncate,), options={"keep": FaultOption(0.0, 1.0, 0.5)}, streams=ModalitySet.all() - _IMU
    ),
    "malformed": FaultKind(spoils=(malformed,), options=_SHARE),
    "noise": FaultKind(spoils=_NOISE, options={"sigma": FaultOption(0.0, 1000.0)}),
    "nan": FaultKind(spoils=_NAN, options=_SHARE, streams=_LIDAR | _IMU),
    "turned": FaultKind(
        spoils=_TURNED,
        options={"yaw_deg": FaultOption(-180.0, 180.0), "fov_deg": FaultOption(1.0, 179.0, 90.0)},
        streams=_CAMERA | _LIDAR,
    ),
    # Content, of one.
    "black": FaultKind(spoils=(on_pixels(image.black),), streams=_CAMERA),
    "white": FaultKind(spoils=(on_pixels(image.white),), streams=_CAMERA),
    "covered": FaultKind(spoils=(on_pixels(image.covered),), options=_COVER, streams=_CAMERA),
    "dim": FaultKind(spoils=(on_view(lens.dim),), options={"gain": FaultOption(0.0, 1.0)}, streams=_CAMERA),
    "blurred": FaultKind(
        spoils=(on_view(lens.blurred),), options={"sigma_px": FaultOption(0.01, 100.0)}, streams=_CAMERA
    ),
    "dirty": FaultKind(
        spoils=(on_view(lens.dirty),), options={"share": FaultOption(0.0, 1.0)}, streams=_CAMERA
    ),
    "blocked": FaultKind(
        spoils=(on_points(cloud.blocked),), options={"from_deg": _BEARING, "to_deg": _BEARING}, streams=_LIDAR
    ),
    "empty": FaultKind(spoils=(cloud.empty,), streams=_LIDAR),
    "stuck": FaultKind(
        spoils=(on_readings(imu.stuck),), options={"axis": FaultOption(-1.0, 5.0, -1.0)}, streams=_IMU
    ),
    "saturated": FaultKind(
        spoils=(on_readings(imu.saturated),),
        options={"gyro_rad_s": FaultOption(0.0, 1e6, 34.9), "accel_m_s2": FaultOption(0.0, 1e6, 156.9)},
        streams=_IMU,
    ),
    "silent": FaultKind(spoils=(on_samples(audio.silent),), streams=_AUDIO),
    "clipped": FaultKind(
        spoils=(on_samples(audio.clipped),), options={"gain": FaultOption(0.0, 1e6, 100.0)}, streams=_AUDIO
    ),
    "gapped": FaultKind(
        spoils=(on_samples(audio.gapped),), options={"share": FaultOption(0.0, 1.0, 0.25)}, streams=_AUDIO
    ),
}
