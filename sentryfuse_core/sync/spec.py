"""What the synchroniser is told about streams: their parts in the sets and the limits of what it accepts."""

from __future__ import annotations

from dataclasses import dataclass

from sentryfuse_core.clock import NS_PER_S
from sentryfuse_core.config import Config, SyncConfig
from sentryfuse_core.types import Modality

__all__ = ["Limits", "StreamSpec", "nanoseconds", "streams"]

_RANKS = {Modality.LIDAR: 0, Modality.CAMERA: 1, Modality.AUDIO: 2}


@dataclass(frozen=True, kw_only=True)
class StreamSpec:
    """The part a stream plays in the sets."""

    anchor_rank: int | None  # 0 anchors first; None: its samples only fill windows, its stamps carry ticks
    window_ns: int = 0  # samples in (moment - window, moment] belong to a set; 0: the nearest one does
    period_ns: int = 0  # expected; 0: learned from the stamps
    anchor_period_ns: int = 0  # shortest distance of two sets that it anchors


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a stream does with stamps that are not in order, and how long it keeps samples."""

    max_future_ns: int
    jump_back_ns: int
    rebase_messages: int
    buffer_ns: int

    @classmethod
    def of(cls, config: SyncConfig) -> Limits:
        """The limits of the configuration, in integer nanoseconds."""
        return cls(
            max_future_ns=nanoseconds(config.max_future_s),
            jump_back_ns=nanoseconds(config.jump_back_s),
            rebase_messages=config.rebase_messages,
            buffer_ns=nanoseconds(config.buffer_s),
        )


def streams(config: Config) -> dict[Modality, StreamSpec]:
    """The enabled sensors and their parts: lidar anchors before camera before audio; IMU carries ticks."""
    window_s = {Modality.IMU: config.imu.window_s, Modality.AUDIO: config.audio.window_s}
    anchor_period_s = {Modality.AUDIO: config.sync.audio_anchor_period_s}
    specs: dict[Modality, StreamSpec] = {}
    for modality in Modality:
        sensor = config.sensor(modality)
        if sensor.enabled:
            rate_hz = sensor.expected_rate_hz
            specs[modality] = StreamSpec(
                anchor_rank=_RANKS.get(modality),
                window_ns=nanoseconds(window_s.get(modality, 0.0)),
                period_ns=nanoseconds(1.0 / rate_hz) if rate_hz > 0 else 0,
                anchor_period_ns=nanoseconds(anchor_period_s.get(modality, 0.0)),
            )
    return specs


def nanoseconds(seconds: float) -> int:
    """Seconds as integer nanoseconds."""
    return round(seconds * NS_PER_S)
