"""The configuration as a whole: its sections, what must hold between them, and changing options by name."""

from __future__ import annotations

import dataclasses
import difflib
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Any

from sentryfuse_core.config.audio import AudioConfig
from sentryfuse_core.config.budget import BudgetConfig
from sentryfuse_core.config.camera import CameraConfig
from sentryfuse_core.config.health import HealthConfig
from sentryfuse_core.config.imu import ImuConfig
from sentryfuse_core.config.lidar import LidarConfig
from sentryfuse_core.config.model import ModelConfig
from sentryfuse_core.config.odometry import OdometryConfig
from sentryfuse_core.config.option import Option
from sentryfuse_core.config.output import OutputConfig
from sentryfuse_core.config.sectors import sector_yaws_deg
from sentryfuse_core.config.sensor import SensorConfig
from sentryfuse_core.config.sensors import (
    KINDS,
    Kinds,
    check_sensors,
    default_section,
    kind_of_section,
    sensor_kinds,
)
from sentryfuse_core.config.sync import SyncConfig
from sentryfuse_core.config.tracking import TrackingConfig
from sentryfuse_core.errors import ConfigError
from sentryfuse_core.types import Modality

__all__ = ["Config", "kinds_of", "options", "override", "section_names", "to_mapping", "value_of"]


@dataclass(frozen=True, kw_only=True)
class Config:
    """All of it."""

    named: Mapping[str, SensorConfig] | None = None  # sensors by name; None: the four next, by kind

    camera: CameraConfig = field(default_factory=CameraConfig)
    lidar: LidarConfig = field(default_factory=LidarConfig)
    imu: ImuConfig = field(default_factory=ImuConfig)
    audio: AudioConfig = field(default_factory=AudioConfig)
    odometry: OdometryConfig = field(default_factory=OdometryConfig)
    sync: SyncConfig = field(default_factory=SyncConfig)
    health: HealthConfig = field(default_factory=HealthConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    budget: BudgetConfig = field(default_factory=BudgetConfig)
    tracking: TrackingConfig = field(default_factory=TrackingConfig)
    output: OutputConfig = field(default_factory=OutputConfig)

    def __post_init__(self) -> None:
        for option in options(self.kinds):
            option.check(value_of(self, option.path))
        sector_yaws_deg(self.output.sectors)
        check_sensors(self.sensors, from_tf=self.output.extrinsics == "auto")
        for name in (*self.of_kind(Modality.CAMERA), *self.of_kind(Modality.LIDAR)):
            rate_hz = self.sensor(name).expected_rate_hz
            if rate_hz > 0 and self.sync.slop_s > 0.5 / rate_hz:
                raise ConfigError(
                    f"sync.slop_s = {self.sync.slop_s} is more than half a period of {name} "
                    f"({rate_hz} Hz): wrong pairs would be possible; use at most {0.5 / rate_hz:.4f}"
                )
        if self.tracking.drop_probability >= self.tracking.confirm_probability:
            raise ConfigError(
                f"tracking.drop_probability = {self.tracking.drop_probability} must be less than "
                f"tracking.confirm_probability = {self.tracking.confirm_probability}"
            )

    @cached_property
    def sensors(self) -> Mapping[str, SensorConfig]:
        """The section of each sensor by its name, in order."""
        if self.named is not None:
            return dict(self.named)
        return {name: getattr(self, name) for name, _ in KINDS}

    @cached_property
    def kinds(self) -> Kinds:
        """Name and kind of each sensor, in order."""
        return tuple((name, kind_of_section(section)) for name, section in self.sensors.items())

    def sensor(self, name: str) -> SensorConfig:
        """The section of one sensor; KeyError where none is called so."""
        return self.sensors[name]

    def kind_of(self, name: str) -> Modality:
        """The kind of one sensor; KeyError where none is called so."""
        return dict(self.kinds)[name]

    def of_kind(self, kind: Modality) -> tuple[str, ...]:
        """Names of the sensors of that kind, in order."""
        return tuple(name for name, own in self.kinds if own is kind)


_OTHERS = tuple(  # sections that are no sensor's
    item.name for item in dataclasses.fields(Config) if item.name not in {"named", *dict(KINDS)}
)
_SENSORS = Option(
    path="sensors",
    default=tuple(name for name, _ in KINDS),
    kind=list,
    length=0,
    doc="names of the sensors; each has a section of its own with `kind` and the options of its kind",
    low=None,
    high=None,
    choices=(),
    live=False,
)


def section_names(kinds: Kinds) -> tuple[str, ...]:
    """Names of all sections, also those of kinds that no sensor is called like."""
    return tuple(dict.fromkeys((*(name for name, _ in kinds), *dict(KINDS), *_OTHERS)))


@cache
def options(kinds: Kinds = KINDS) -> tuple[Option, ...]:
    """Every option, in the order of definition, with those of each sensor of these names and kinds."""
    found = [_SENSORS]
    for name, kind in kinds:
        if name != kind.value:
            found.append(
                dataclasses.replace(
                    _SENSORS, path=f"{name}.kind", default=kind.value, kind=str, doc="kind of the sensor",
                    choices=tuple(dict(KINDS)),
                )
            )  # fmt: skip
        found += _options_of(name, default_section(name, kind))
    hints = typing.get_type_hints(Config)
    for section in _OTHERS:
        found += _options_of(section, hints[section]())
    return tuple(found)


def _options_of(section: str, defaults: Any) -> list[Option]:
    hints = typing.get_type_hints(type(defaults))
    return [
        Option(
            path=f"{section}.{item.name}",
            default=getattr(defaults, item.name),
            kind=tuple if (elements := typing.get_args(hints[item.name])) else hints[item.name],
            length=len(elements),  # of a tuple, the only kind that has any
            **item.metadata,
        )
        for item in dataclasses.fields(defaults)
    ]


def value_of(config: Config, path: str) -> Any:
    """The value of an option by its path."""
    section, _, name = path.partition(".")
    if not name:
        return tuple(config.sensors)
    if name == "kind":
        return config.kind_of(section).value
    return getattr(config.sensors[section] if section in config.sensors else getattr(config, section), name)


def kinds_of(values: Mapping[str, Any], before: Kinds = KINDS) -> Kinds:
    """Names and kinds of the sensors as `values` of options say; ConfigError as `sensor_kinds`."""
    return sensor_kinds(values, before, taken=_OTHERS)


def override(config: Config, values: Mapping[str, Any]) -> Config:
    """Return `config` with the dotted `values` put in, checked; unknown names raise ConfigError."""
    kinds = kinds_of(values, config.kinds)
    known = {option.path: option for option in options(kinds)}
    own_kind = {f"{name}.kind" for name, kind in kinds if name == kind.value}
    changes: dict[str, dict[str, Any]] = {}
    for path, value in values.items():
        if path == _SENSORS.path or path in own_kind:
            continue
        section, _, name = path.partition(".")
        if path not in known:
            raise ConfigError(f"unknown parameter {path!r}; {_remedy(section, path, known, kinds)}")
        if name != "kind":
            changes.setdefault(section, {})[name] = known[path].check(value)
    sensors: dict[str, Any] = {
        name: dataclasses.replace(
            config.sensors[name] if (name, kind) in config.kinds else default_section(name, kind),
            **changes.pop(name, {}),
        )
        for name, kind in kinds
    }
    others: dict[str, Any] = {
        name: dataclasses.replace(getattr(config, name), **items) for name, items in changes.items()
    }
    by_kind = sensors if kinds == KINDS else {}
    return dataclasses.replace(config, named=None if by_kind else sensors, **by_kind, **others)


def _remedy(section: str, path: str, known: Mapping[str, Option], kinds: Kinds) -> str:
    if section in dict(KINDS) and section not in dict(kinds):
        return f"no sensor is called {section!r}; `sensors` names {', '.join(dict(kinds))}"
    close = difflib.get_close_matches(path, known, n=1)
    return f"did you mean {close[0]!r}?" if close else "`sentryfuse params` lists all"


def to_mapping(config: Config) -> dict[str, Any]:
    """The configuration as nested plain values, for YAML, JSON and manifests."""
    others = {name: dataclasses.asdict(getattr(config, name)) for name in _OTHERS}
    sensors = {
        name: ({} if name == kind.value else {"kind": kind.value}) | dataclasses.asdict(config.sensors[name])
        for name, kind in config.kinds
    }
    named = {} if config.named is None else {"sensors": list(config.sensors)}
    return {**named, **sensors, **others}
