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
    window_s = {Modality.IMU: config.imu.window_s, Modality.AUDIO: config.audio.window_s}
    anchor_period_s = {Modality.AUDIO: config.sync.audio_anchor_period_s}
    lag_s = {
        Modality.CAMERA: config.camera.expected_lag_s,
        Modality.LIDAR: config.lidar.expected_lag_s,
    }
    specs: dict[Modality, StreamSpec] = {}
    for modality in Modality:
        sensor = config.sensor(modality)
        if sensor.enabled:
            rate_hz = sensor.expected_rate_hz
            specs[modality] = StreamSpec(
                anchor_rank=_RANKS.get(modality),
                window_ns=nanoseconds(window_s.get(modality, 0.0)),
                period_ns=round(NS_PER_S / rate_hz) if rate_hz > 0 else 0,
                anchor_period_ns=nanoseconds(anchor_period_s.get(modality, 0.0)),
                expected_lag_ns=nanoseconds(lag_s.get(modality, 0.0)),
            )
    return specs


def synced_set(matched: MatchedSet[Modality, Sample]) -> SyncedSet:
    """The set with every sensor as a key; one that is switched off was NEVER there."""
    known = matched.samples.keys() | matched.absent.keys()
    never = {modality: Absence.NEVER for modality in Modality if modality not in known}
    return SyncedSet(
        sequence=matched.sequence,
        epoch=matched.epoch,
        stamp_ns=matched.stamp_ns,
        anchor=matched.anchor,
        samples=matched.samples,
        absent={**matched.absent, **never},
        anchor_arrival_ns=matched.anchor_arrival_ns,
        anchor_received_ns=matched.anchor_received_ns,
        released_ns=matched.released_ns,
    )
