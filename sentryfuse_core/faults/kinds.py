"""The table of faults: what each is called, does, takes and can be done to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sentryfuse_core.types import Modality, ModalitySet

__all__ = ["FAULTS", "FaultKind", "FaultOption"]


@dataclass(frozen=True)
class FaultOption:
    """A number a fault takes: inclusive range and, where one is natural, a default."""

    low: float
    high: float
    default: float | None = None


@dataclass(frozen=True)
class FaultKind:
    """What a fault does, takes and can be done to."""

    doc: str
    options: Mapping[str, FaultOption] = field(default_factory=dict)
    streams: ModalitySet = field(default_factory=ModalitySet.all)
    content: bool = False  # True: needs the message itself, not just its time


_SHARE = FaultOption(0.0, 1.0, 1.0)
_SIDE = FaultOption(0.0, 1.0, 0.0)
_SECONDS = FaultOption(0.0, 3600.0)
_CAMERA = ModalitySet.of(Modality.CAMERA)
_LIDAR = ModalitySet.of(Modality.LIDAR)
_IMU = ModalitySet.of(Modality.IMU)
_AUDIO = ModalitySet.of(Modality.AUDIO)

_COMING: Mapping[str, FaultKind] = {
    "drop": FaultKind("each message is lost with probability `share`", {"share": _SHARE}),
    "duty": FaultKind(
        "lost during the first `share` of every `period_s`",
        {"period_s": FaultOption(0.001, 3600.0), "share": FaultOption(0.0, 1.0, 0.5)},
    ),
    "rate": FaultKind(
        "only the first message of every 1 / `rate_hz` goes on", {"rate_hz": FaultOption(0.01, 10_000.0)}
    ),
    "delay": FaultKind("comes `delay_s` late", {"delay_s": _SECONDS}),
    "jitter": FaultKind("comes up to `max_s` late, at random", {"max_s": _SECONDS}),
    "duplicate": FaultKind(
        "with probability `share` a message comes `copies` more times",
        {"copies": FaultOption(1.0, 100.0, 1.0), "share": _SHARE},
    ),
    "reorder": FaultKind(
        "with probability `share` a message waits until 1 to `depth` later ones have overtaken it",
        {"depth": FaultOption(1.0, 1000.0, 1.0), "share": FaultOption(0.0, 1.0, 0.5)},
    ),
}

_STAMPS: Mapping[str, FaultKind] = {
    "offset": FaultKind("stamps are moved by `offset_s`", {"offset_s": FaultOption(-1e6, 1e6)}, content=True),
    "clock_jump": FaultKind(
        "the sensor's clock steps by `jump_s` at `at_s` and steps back at `until_s`",
        {"jump_s": FaultOption(-1e9, 1e9)},
        content=True,
    ),
    "drift": FaultKind(
        "the sensor's clock gains `ppm` millionths since `at_s`",
        {"ppm": FaultOption(-1e6, 1e6)},
        content=True,
    ),
    "loop": FaultKind(
        "stamps run through the `length_s` before the event again and again",
        {"length_s": FaultOption(0.01, 86_400.0)},
        content=True,
    ),
    "zero_stamp": FaultKind("stamps are 0, as from a driver that does not stamp", content=True),
}

_CONTENT: Mapping[str, FaultKind] = {
    "freeze": FaultKind("the first message's content is repeated under new stamps", content=True),
    "truncate": FaultKind(
        "only the first `keep` of the data is left",
        {"keep": FaultOption(0.0, 1.0, 0.5)},
        ModalitySet.all() - _IMU,
        content=True,
    ),
    "malformed": FaultKind(
        "with probability `share` one field, chosen at random, contradicts the others or cannot be",
        {"share": _SHARE},
        content=True,
    ),
    "noise": FaultKind(
        "white noise of `sigma`: share of full scale (camera, audio), m (lidar), rad/s and m/s^2 (IMU)",
        {"sigma": FaultOption(0.0, 1000.0)},
        content=True,
    ),
    "nan": FaultKind(
        "coordinates or readings are not a number", {"share": _SHARE}, _LIDAR | _IMU, content=True
    ),
    "black": FaultKind("the image is black", {}, _CAMERA, content=True),
    "white": FaultKind("the image is white", {}, _CAMERA, content=True),
    "covered": FaultKind(
        "shares of the image from its edges, or without any all of it, are at `level` with noise of `sigma`, "
        "both of full scale",
        {
            "left": _SIDE,
            "right": _SIDE,
            "top": _SIDE,
            "bottom": _SIDE,
            "level": FaultOption(0.0, 1.0, 0.05),
            "sigma": FaultOption(0.0, 1.0, 0.01),
        },
        _CAMERA,
        content=True,
    ),
    "blocked": FaultKind(
        "no returns between two bearings, counter-clockwise, 0 = forward",
        {"from_deg": FaultOption(-360.0, 360.0), "to_deg": FaultOption(-360.0, 360.0)},
        _LIDAR,
        content=True,
    ),
    "empty": FaultKind("a well-formed cloud of no points", {}, _LIDAR, content=True),
    "stuck": FaultKind(
        "the first message's readings are repeated: on every axis (-1), or one of gyro x y z (0 1 2) and "
        "acceleration x y z (3 4 5)",
        {"axis": FaultOption(-1.0, 5.0, -1.0)},
        _IMU,
        content=True,
    ),
    "saturated": FaultKind(
        "every axis is at full scale, on the side it was",
        {"gyro_rad_s": FaultOption(0.0, 1e6, 34.9), "accel_m_s2": FaultOption(0.0, 1e6, 156.9)},
        _IMU,
        content=True,
    ),
    "silent": FaultKind("every sample is zero", {}, _AUDIO, content=True),
    "clipped": FaultKind(
        "amplified by `gain` and clipped at full scale",
        {"gain": FaultOption(0.0, 1e6, 100.0)},
        _AUDIO,
        content=True,
    ),
    "gapped": FaultKind(
        "one run of `share` of the samples is cut out of each block, at random",
        {"share": FaultOption(0.0, 1.0, 0.25)},
        _AUDIO,
        content=True,
    ),
}

FAULTS: Mapping[str, FaultKind] = {**_COMING, **_STAMPS, **_CONTENT}
