"""Real recordings pass conversion and preprocessing whole."""

from __future__ import annotations

import os
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from sentryfuse_core.bags.readers import BagReader
from sentryfuse_core.config import Config, override
from sentryfuse_core.convert import to_sample, type_modality
from sentryfuse_core.preprocess.assemble import Prepared, Preprocessor
from sentryfuse_core.types import Modality, ModalitySet, Sample, SyncedSet

SHARED = Path(os.environ.get("SENTRYFUSE_SHARED", Path(__file__).parents[4] / "shared"))
needs_recordings = pytest.mark.skipif(
    not (SHARED / "data" / "bags").is_dir(), reason="needs the recordings in ../shared/data"
)


def last_set(name: str, config: Config, *, seconds: float) -> tuple[Prepared, dict[Modality, int]]:
    """The first seconds of a recording: its last moment prepared, and how many samples differ by sensor."""
    samples: dict[Modality, list[Sample]] = defaultdict(list)
    with BagReader(SHARED / "data" / "bags" / name) as bag:
        end_ns = bag.start_ns + int(seconds * 1e9)
        for item in bag.messages():
            modality, at_ns = type_modality(item.type_name), item.log_time_ns
            if at_ns > end_ns:
                break
            assert modality is not None
            options: dict[str, Any] = {"type_name": item.type_name, "config": config.sensor(modality)}
            samples[modality].append(
                to_sample(modality, item.message, received_ns=at_ns, arrival_ns=at_ns, **options)
            )
    stamp_ns = samples[Modality.CAMERA][-1].stamp_ns
    chosen = {
        modality: tuple(item for item in items if stamp_ns - 200_000_000 < item.stamp_ns <= stamp_ns)
        for modality, items in samples.items()
    }
    synced = SyncedSet(0, 0, stamp_ns, None, chosen, {}, stamp_ns, stamp_ns, stamp_ns)
    distinct = {modality: len({item.fingerprint for item in items}) for modality, items in samples.items()}
    return Preprocessor(config)(synced, ModalitySet.all()), distinct


@needs_recordings
def test_a_walk_becomes_camera_imu_and_mono_audio() -> None:
    config = override(Config(), {"audio.sample_rate_hz": 48_000, "audio.channels": 1})
    prepared, distinct = last_set("handheld_walk", config, seconds=1.0)
    assert not prepared.invalid
    assert prepared.inputs.present == ModalitySet.of(Modality.CAMERA, Modality.IMU, Modality.AUDIO)
    assert distinct[Modality.CAMERA] == 30  # at 30 Hz, no two frames alike
    imu, audio = prepared.inputs.imu, prepared.inputs.audio
    assert imu is not None
    assert audio is not None
    assert 8.0 < float(imu[0, :, 3:].mean(dim=0).norm()) < 11.5  # gravity
    assert not audio[..., :8].any()  # one microphone hears no direction
    assert 0.1 < float(audio[..., 8:].mean()) < 0.9


@needs_recordings
def test_a_drive_becomes_camera_and_lidar() -> None:
    config = override(Config(), {"lidar.translation_m": (0.0, 0.0, 1.73), "lidar.intensity_full_scale": 1.0})
    prepared, _ = last_set("city_drive", config, seconds=0.3)
    assert not prepared.invalid
    assert prepared.inputs.present == ModalitySet.of(Modality.CAMERA, Modality.LIDAR)
    grid = prepared.inputs.lidar
    assert grid is not None
    occupied = grid[0, 5] > 0
    assert 500 < int(occupied.sum()) < 3000
    road = grid[0, 3][8:40, 28:36][occupied[8:40, 28:36]]  # lowest points ahead
    assert abs(float(road.median())) < 0.4
    assert 0.05 < float(grid[0, 4][occupied].mean()) < 0.6
