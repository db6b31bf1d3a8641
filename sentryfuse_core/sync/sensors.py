"""Ties the synchroniser, which knows streams only, to the four sensors."""

from __future__ import annotations

from sentryfuse_core.clock import NS_PER_S
from sentryfuse_core.config import Config
from sentryfuse_core.sync.spec import MatchedSet, StreamSpec, nanoseconds
from sentryfuse_core.types import Absence, Modality, Sample, SyncedSet

__all__ = ["streams", "synced_set"]

_RANKS = {Modality.LIDAR: 0, Modality.CAMERA: 1, Modality.AUDIO: 2}


def streams(config: Config) -> dict[Modality, StreamSpec]:
    """The enabled sensors and their parts: lidar anchors before camera before audio; IMU carries ticks."""
    specs: dict[Modality, StreamSpec] = {}
    for modality in Modality:
        sensor = config.sensor(modality)
        if sensor.enabled:
            rate_hz = sensor.expected_rate_hz
            anchor_period_s = config.sync.audio_anchor_period_s if modality is Modality.AUDIO else 0.0
            specs[modality] = StreamSpec(
                anchor_rank=_RANKS.get(modality),
                window_ns=nanoseconds(getattr(sensor, "window_s", 0.0)),
                lasting=modality is Modality.AUDIO,
                period_ns=round(NS_PER_S / rate_hz) if rate_hz > 0 else 0,
                anchor_period_ns=nanoseconds(anchor_period_s),
                expected_lag_ns=nanoseconds(getattr(sensor, "expected_lag_s", 0.0)),
            )
    return specs


def synced_set(matched: MatchedSet[Modality, Sample]) -> SyncedSet:
    """The set with every sensor as a key; one that is switched off was NEVER there."""
    absent = {m: matched.absent.get(m, Absence.NEVER) for m in Modality if m not in matched.samples}
    return SyncedSet(**{**vars(matched), "absent": absent})
