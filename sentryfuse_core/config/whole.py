"""The configuration as a whole: its sections, what must hold between them, and changing options by name."""

from __future__ import annotations

import dataclasses
import difflib
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
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
from sentryfuse_core.config.sync import SyncConfig
from sentryfuse_core.config.tracking import TrackingConfig
from sentryfuse_core.errors import ConfigError
from sentryfuse_core.types import Modality

__all__ = ["Config", "options", "override", "to_mapping"]


@dataclass(frozen=True, kw_only=True)
class Config:
    """All of it."""

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
        for option in options():
            section, name = option.path.split(".")
            option.check(getattr(getattr(self, section), name))
        sector_yaws_deg(self.output.sectors)
        for modality in (Modality.CAMERA, Modality.LIDAR):
            rate_hz = self.sensor(modality).expected_rate_hz
            if rate_hz > 0 and self.sync.slop_s > 0.5 / rate_hz:
                raise ConfigError(
                    f"sync.slop_s = {self.sync.slop_s} is more than half a period of {modality.value} "
                    f"({rate_hz} Hz): wrong pairs would be possible; use at most {0.5 / rate_hz:.4f}"
                )
        if self.tracking.drop_probability >= self.tracking.confirm_probability:
            raise ConfigError(
                f"tracking.drop_probability = {self.tracking.drop_probability} must be less than "
                f"tracking.confirm_probability = {self.tracking.confirm_probability}"
            )
        for modality in Modality:
            norm = sum(part * part for part in self.sensor(modality).quaternion_xyzw)
            if abs(norm - 1.0) > 1e-3:
                raise ConfigError(
                    f"{modality.value}.quaternion_xyzw has squared norm {norm:.4f}; give a unit quaternion"
                )

    def sensor(self, modality: Modality) -> SensorConfig:
        """The section of one sensor."""
        section: SensorConfig = getattr(self, modality.value)
        return section


@cache
def options() -> tuple[Option, ...]:
    """Every option of `Config`, in the order of definition."""
    found: list[Option] = []
    for section, section_class in typing.get_type_hints(Config).items():
        hints = typing.get_type_hints(section_class)
        for item in dataclasses.fields(section_class):
            elements = typing.get_args(hints[item.name])  # of a tuple, the only kind that has any
            found.append(
                Option(
                    path=f"{section}.{item.name}",
                    default=item.default,
                    kind=tuple if elements else hints[item.name],
                    length=len(elements),
                    **item.metadata,
                )
            )
    return tuple(found)


def override(config: Config, values: Mapping[str, Any]) -> Config:
    """Return `config` with the dotted `values` put in, checked; unknown names raise ConfigError."""
    known = {option.path: option for option in options()}
    changes: dict[str, dict[str, Any]] = {}
    for path, value in values.items():
        if path not in known:
            close = difflib.get_close_matches(path, known, n=1)
            remedy = f"did you mean {close[0]!r}?" if close else "`sentryfuse params` lists all"
            raise ConfigError(f"unknown parameter {path!r}; {remedy}")
        section, name = path.split(".")
        changes.setdefault(section, {})[name] = known[path].check(value)
    sections = {name: dataclasses.replace(getattr(config, name), **items) for name, items in changes.items()}
    return dataclasses.replace(config, **sections)


def to_mapping(config: Config) -> dict[str, Any]:
    """The configuration as nested plain values, for YAML, JSON and manifests."""
    return dataclasses.asdict(config)
