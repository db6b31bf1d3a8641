"""Which sensors there are: names, kinds, and the defaults of one that is not called like its kind."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from sentryfuse_core.config.audio import AudioConfig
from sentryfuse_core.config.camera import CameraConfig
from sentryfuse_core.config.imu import ImuConfig
from sentryfuse_core.config.lidar import LidarConfig
from sentryfuse_core.config.sensor import SensorConfig
from sentryfuse_core.errors import ConfigError
from sentryfuse_core.types import Modality

__all__ = [
    "KINDS",
    "MOST_OF_A_KIND",
    "Kinds",
    "check_sensors",
    "default_section",
    "is_unplaced",
    "kind_of_section",
    "sensor_kinds",
]

Kinds: TypeAlias = tuple[tuple[str, Modality], ...]  # name and kind of each sensor, in order

KINDS: Kinds = tuple((kind.value, kind) for kind in Modality)  # the sensors where nobody names any
MOST_OF_A_KIND = 8  # more were never tried

_SECTIONS: Mapping[Modality, type[SensorConfig]] = {
    Modality.CAMERA: CameraConfig,
    Modality.LIDAR: LidarConfig,
    Modality.IMU: ImuConfig,
    Modality.AUDIO: AudioConfig,
}
_TOPICS = ("topic", "info_topic")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
_WORDS = ("sensors", "tick", "node", "autostart", "all")  # parameters, anchors and a scenario's every sensor
_NEEDS_POSE = (Modality.CAMERA, Modality.LIDAR)
# What a camera or lidar with a name of its own has until somebody says where it sits. No camera sits like
# that: it would look straight up from the ground under the robot.
_UNPLACED: Mapping[str, Any] = {"translation_m": (0.0, 0.0, 0.0), "quaternion_xyzw": (0.0, 0.0, 0.0, 1.0)}


def sensor_kinds(values: Mapping[str, Any], before: Kinds, *, taken: Iterable[str]) -> Kinds:
    """Names and kinds as the values of `sensors` and `<name>.kind` say, else as they were `before`.

    A sensor that is called like a kind is of that kind. ConfigError for a name that is no name, comes twice
    or is one of the `taken`, and for a kind that is unknown or not given.
    """
    names = values.get("sensors", [name for name, _ in before])
    if not isinstance(names, (list, tuple)) or not all(isinstance(name, str) for name in names):
        raise ConfigError(f"sensors = {names!r}: give a list of texts")
    if not names:
        raise ConfigError("sensors is empty; name at least one, or leave the parameter out")
    known = dict(before)
    return tuple((name, _kind(name, values, known, taken)) for name in _unique(names))


def _unique(names: Sequence[str]) -> Sequence[str]:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise ConfigError(f"sensors names {twice[0]!r} twice; give each sensor a name of its own")
    return names


def _kind(
    name: str, values: Mapping[str, Any], known: Mapping[str, Modality], taken: Iterable[str]
) -> Modality:
    if not _NAME.fullmatch(name):
        raise ConfigError(f"sensors has {name!r}; a name has letters, digits and _, a letter first")
    if name in (*taken, *_WORDS):
        raise ConfigError(f"no sensor can be called {name!r}, which is a name of the program; take another")
    told = values.get(f"{name}.kind")
    if name in (own := {kind.value for kind in Modality}):
        if told not in (None, name):
            raise ConfigError(f"{name}.kind = {told!r}: a sensor called {name!r} is of that kind; rename it")
        return Modality(name)
    if told is None and name in known:
        return known[name]
    if told is None or told not in own:
        what = f"{name}.kind is not given" if told is None else f"{name}.kind = {told!r}"
        raise ConfigError(f"{what}: give one of {', '.join(kind.value for kind in Modality)}")
    return Modality(told)


def default_section(name: str, kind: Modality) -> SensorConfig:
    """The defaults of a sensor: those of its kind, with topics under its name, a camera or lidar unplaced."""
    section = _SECTIONS[kind]()
    if name == kind.value:
        return section
    changes: dict[str, Any] = {
        option: name + getattr(section, option).removeprefix(kind.value)
        for option in _TOPICS
        if hasattr(section, option)
    }
    return dataclasses.replace(section, **changes, **(_UNPLACED if kind in _NEEDS_POSE else {}))


def kind_of_section(section: SensorConfig) -> Modality:
    """The kind of sensor that a section is of."""
    return next(kind for kind, section_class in _SECTIONS.items() if isinstance(section, section_class))


def is_unplaced(section: SensorConfig) -> bool:
    """Whether nobody said where a camera or lidar with a name of its own sits."""
    return all(getattr(section, option) == value for option, value in _UNPLACED.items())


def check_sensors(sections: Mapping[str, SensorConfig], *, from_tf: bool) -> None:
    """What must hold between sensors; ConfigError names the two, or the one too many.

    `from_tf`: transforms are asked where sensors sit, so that parameters need not say it.
    """
    kinds = {name: kind_of_section(section) for name, section in sections.items()}
    for kind, count in Counter(kinds.values()).items():
        if count > MOST_OF_A_KIND:
            raise ConfigError(f"sensors has {count} of kind {kind}; at most {MOST_OF_A_KIND} are taken")
    by_topic: dict[str, str] = {}
    for name, section in sections.items():
        norm = sum(part * part for part in section.quaternion_xyzw)
        if abs(norm - 1.0) > 1e-3:
            raise ConfigError(f"{name}.quaternion_xyzw has squared norm {norm:.4f}; give a unit quaternion")
        if not section.enabled:
            continue
        other = by_topic.setdefault(section.topic.strip("/"), name) if section.topic else name
        if other != name:
            raise ConfigError(f"{other}.topic and {name}.topic are both {section.topic!r}; give each its own")
        if is_unplaced(section) and kinds[name] is Modality.CAMERA and not from_tf:
            raise ConfigError(
                f"{name} has no pose: set {name}.translation_m and {name}.quaternion_xyzw, "
                "or output.extrinsics to auto and publish its transform"
            )
