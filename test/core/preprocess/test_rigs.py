"""Several cameras and lidars by name become the inputs of every sector."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from builders import S, cloud_of, imu_reading, sample

from sentryfuse_core.config import Config, override
from sentryfuse_core.preprocess.assemble import Prepared, Preprocessor
from sentryfuse_core.types import ImageFrame, Modality, ModalitySet, Sample, SyncedSet

CAMERAS = {"front": 0.0, "left": 90.0, "rear": 180.0, "right": -90.0}
LIDARS = {"nose": 1.0, "tail": -1.0}  # m ahead of the base
CAMERA, LIDAR, IMU, AUDIO = Modality


def rig(**changes: Any) -> Config:
    """Four cameras with 90 degrees each, two lidars, an IMU and microphones."""
    values: dict[str, Any] = {
        "sensors": [*CAMERAS, *LIDARS, "imu", "audio"],
        "output.sectors": "all_around",
        **{f"{name}.kind": "camera" for name in CAMERAS},
        **{f"{name}.kind": "lidar" for name in LIDARS},
        **changes,
    }
    for name, yaw_deg in CAMERAS.items():
        half = math.radians(yaw_deg) / 2
        turn, optical = (0.0, 0.0, math.sin(half), math.cos(half)), (-0.5, 0.5, -0.5, 0.5)
        values |= {
            f"{name}.quaternion_xyzw": product(turn, optical),
            f"{name}.translation_m": (0.0, 0.0, 1.5),
        }
        values |= {
            f"{name}.topic": f"{name}/image",
            f"{name}.info_topic": f"{name}/info",
            f"{name}.cy": 200.0,
        }
    for name, x in LIDARS.items():
        values |= {f"{name}.translation_m": (x, 0.0, 1.8), f"{name}.topic": f"{name}/points"}
    return override(Config(), values)


def product(first: Sequence[float], second: Sequence[float]) -> tuple[float, ...]:
    """The quaternion x, y, z, w of the second turn, then the first."""
    x, y, z, w = first
    a, b, c, d = second
    return (
        w * a + x * d + y * c - z * b,
        w * b - x * c + y * d + z * a,
        w * c + x * b - y * a + z * d,
        w * d - x * a - y * b - z * c,
    )


def picture(grey: int) -> ImageFrame:
    return ImageFrame(480, 640, 1920, "rgb8", False, np.full(480 * 1920, grey, np.uint8))


def named(name: str, kind: Modality, payload: Any = None, *, stamp_ns: int = S) -> Sample:
    return replace(sample(kind, stamp_ns, payload=payload), name=name)


def everything() -> dict[str, tuple[Sample, ...]]:
    """Each camera sees its own grey, each lidar one thing ahead of it and one behind."""
    readings = [imu_reading(S // 1_000_000 - offset) for offset in range(95, -1, -5)]
    imus = [named("imu", IMU, item, stamp_ns=S - (19 - at) * 5_000_000) for at, item in enumerate(readings)]
    return {
        **{name: (named(name, CAMERA, picture(50 + 40 * at)),) for at, name in enumerate(CAMERAS)},
        "nose": (named("nose", LIDAR, cloud_of((9.0, 0.0, -1.0), (-0.5, 5.0, -1.0))),),
        "tail": (named("tail", LIDAR, cloud_of((-9.0, 0.0, -1.0))),),
        "imu": tuple(imus),
        "audio": tuple(
            named("audio", AUDIO, stamp_ns=S - offset * 1_000_000) for offset in range(200, 0, -20)
        ),
    }


def prepare(samples: dict[str, tuple[Sample, ...]], config: Config | None = None) -> Prepared:
    synced = SyncedSet(0, 0, S, None, samples, {}, S, S, S)
    return Preprocessor(config or rig(), measures=True)(synced, tuple(samples))


def test_every_sector_has_its_camera_and_all_lidars_when_a_rig_looks_all_around() -> None:
    prepared = prepare(everything())
    assert not prepared.invalid
    assert set(prepared.sensors) == {*CAMERAS, *LIDARS, "imu", "audio"}
    kinds = [view.present for view in prepared.views]
    assert kinds == [ModalitySet.all(), ModalitySet.all() - ModalitySet.of(AUDIO)] * 2
    for at, view in enumerate(prepared.views):
        assert view.camera is not None
        assert float(view.camera[0, 0, 60, 192]) == pytest.approx((50 + 40 * at) / 255)
        assert view.camera_seen is None
        assert view.quality is not None
    front, _, back, _ = (view.lidar for view in prepared.views)
    assert front is not None
    assert back is not None
    assert (int((front[0, 5] > 0).sum()), int((back[0, 5] > 0).sum())) == (2, 1)


def test_cloud_and_gravity_are_turned_into_each_sector() -> None:
    front, left, *_ = prepare(everything()).views
    assert front.lidar is not None
    assert left.lidar is not None
    assert (10, 0) not in np.argwhere(left.lidar[0, 5].numpy() > 0).tolist()
    assert front.lidar[0, 5, 20, 32] == 1.0  # 10 m ahead
    assert left.lidar[0, 5, 10, 31] == 1.0  # 5 m to the left, 0.5 m ahead of the base
    assert front.imu is not None
    assert left.imu is not None
    np.testing.assert_allclose(left.imu[0, :, 3], front.imu[0, :, 4], atol=1e-5)
    np.testing.assert_allclose(left.imu[0, :, 4], -front.imu[0, :, 3], atol=1e-5)
    np.testing.assert_allclose(left.imu[0, :, 5], front.imu[0, :, 5], atol=1e-5)


def test_the_other_sectors_go_on_as_they_are_when_one_camera_and_one_lidar_die() -> None:
    whole, samples = prepare(everything()), everything()
    del samples["left"], samples["tail"]
    less = prepare(samples)
    assert Modality.CAMERA not in less.views[1].present
    for at in (0, 2, 3):
        for name, tensor in vars(whole.views[at]).items():
            if name in ("lidar", "quality"):
                continue  # what the tail alone saw is lost
            np.testing.assert_array_equal(tensor, getattr(less.views[at], name))


def test_only_cameras_that_a_sector_needs_are_read_when_the_front_is_asked_for() -> None:
    prepared = prepare(everything(), rig(**{"output.sectors": "front"}))
    assert len(prepared.views) == 1
    assert set(prepared.sensors) == {"front", *LIDARS, "imu", "audio"}
    assert not prepared.invalid


def test_microphones_say_nothing_of_behind_when_nothing_else_looks_there() -> None:
    samples = {name: item for name, item in everything().items() if name == "audio"}
    assert [bool(view.present) for view in prepare(samples).views] == [True, False, False, False]
