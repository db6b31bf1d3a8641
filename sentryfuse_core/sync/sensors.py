"""Ties the synchroniser, which knows streams only, to the sensors."""

from __future__ import annotations

from collections.abc import Iterable

from sentryfuse_core.clock import NS_PER_S
from sentryfuse_core.config import Config
from sentryfuse_core.sync.spec import MatchedSet, StreamSpec, nanoseconds
from sentryfuse_core.types import Absence, Modality, Sample, SyncedSet

__all__ = ["streams", "synced_set"]

_RANKS = {Modality.LIDAR: 0, Modality.CAMERA: 1, Modality.AUDIO: 2}


def streams(config: Config) -> dict[str, StreamSpec]:
    """The enabled sensors and their parts: lidars anchor before cameras before audio; IMUs carry ticks.

    Of several of a kind the one that is named first does.
    """
    specs: dict[str, StreamSpec] = {}
    for name, kind in config.kinds:
        sensor = config.sensor(name)
        if sensor.enabled:
            rate_hz = sensor.expected_rate_hz
            anchor_period_s = config.sync.audio_anchor_period_s if kind is Modality.AUDIO else 0.0
            specs[name] = StreamSpec(
                anchor_rank=_RANKS.get(kind),
                window_ns=nanoseconds(getattr(sensor, "window_s", 0.0)),
                lasting=kind is Modality.AUDIO,
                period_ns=round(NS_PER_S / rate_hz) if rate_hz > 0 else 0,
                anchor_period_ns=nanoseconds(anchor_period_s),
                expected_lag_ns=nanoseconds(getattr(sensor, "expected_lag_s", 0.0)),
            )
    return specs


def synced_set(matched: MatchedSet[str, Sample], names: Iterable[str]) -> SyncedSet:
    """The set with every one of the sensors' `names` as a key; one that is switched off was NEVER there."""
    absent = {name: matched.absent.get(name, Absence.NEVER) for name in names if name not in matched.samples}
    return SyncedSet(**{**vars(matched), "absent": absent})
