"""Several sensors of a kind: clouds become one, and one camera, IMU or pair of microphones is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from builders import MS, S, cloud_of, sample

from sentryfuse_core.config import Config, OdometryConfig, override
from sentryfuse_core.ego import EgoMotion
from sentryfuse_core.ingest import Ingest
from sentryfuse_core.odometry import OdometryReading
from sentryfuse_core.pipeline import prepare
from sentryfuse_core.preprocess.assemble import Prepared, Preprocessor
from sentryfuse_core.types import (
    CompressedFrame,
    ImuReading,
    Modality,
    Payload,
    Pose,
    Sample,
    SensorState,
    SyncedSet,
)

CAMERA, LIDAR, IMU, AUDIO = Modality
LEVEL = (0.0, 0.0, 0.0, 1.0)
BACK = (0.0, 0.0, 1.0, 0.0)  # turned by 180 degrees
OPTICAL, OPTICAL_BACK = (-0.5, 0.5, -0.5, 0.5), (-0.5, -0.5, 0.5, 0.5)
BROKEN = CompressedFrame("jpeg", np.zeros(100, np.uint8))
KINDS = {"rear": CAMERA, "front": CAMERA, "spare": CAMERA, "top": LIDAR, "low": LIDAR, "a": IMU, "b": IMU}
RIG: dict[str, Any] = {
    "sensors": list(KINDS),
    **{f"{name}.kind": kind.value for name, kind in KINDS.items()},
    "rear.quaternion_xyzw": OPTICAL_BACK,
    "front.quaternion_xyzw": OPTICAL,
    "spare.quaternion_xyzw": OPTICAL,
    "top.translation_m": (1.0, 0.0, 2.0),
    "low.translation_m": (-1.0, 0.0, 0.5),
    "low.quaternion_xyzw": BACK,
    "a.translation_m": (0.1, 0.0, 0.0),
    "b.translation_m": (0.2, 0.0, 0.0),
}


AHEAD = {"top": cloud_of((10.2, 0.2, -1.0)), "low": cloud_of((-20.2, 0.2, 0.5))}


def one(name: str, stamp_ns: int = S, payload: Payload | None = None) -> tuple[Sample, ...]:
    return (sample(KINDS[name], stamp_ns, payload=payload or AHEAD.get(name), name=name),)


def prepared(
    samples: Mapping[str, tuple[Sample, ...]], *, ego: EgoMotion | None = None, **options: Any
) -> Prepared:
    config = override(
        Config(), {**RIG, **{name.replace("__", "."): value for name, value in options.items()}}
    )
    return Preprocessor(config)(SyncedSet(0, 0, S, None, samples, {}, S, S, S), samples, ego=ego)


def occupied(found: Prepared) -> set[tuple[int, int]]:
    """Centres of the occupied pillars, in whole decimetres."""
    assert found.inputs.lidar is not None
    cells = torch.nonzero(found.inputs.lidar[0, 5])
    return {(int(row) * 5 + 2, int(column) * 5 - 158) for row, column in cells}


def test_clouds_are_merged_in_the_base_frame_when_there_are_several_lidars() -> None:
    both = prepared({"top": one("top"), "low": one("low")})
    assert occupied(both) == {(112, 2), (192, -3)}
    assert both.sensors == ("top", "low")
    assert set(both.content) == {"top", "low"}
    alone = prepared({"low": one("low")})
    assert occupied(alone) == {(192, -3)}
    assert alone.inputs.lidar is not None
    assert both.inputs.lidar is not None
    assert torch.equal(alone.inputs.lidar[..., 38, 31], both.inputs.lidar[..., 38, 31])


def test_cloud_is_left_out_and_the_others_are_used_when_one_cannot_be_read() -> None:
    bad = cloud_of((float("nan"), 0.0, 0.0))
    found = prepared({"top": one("top", payload=bad), "low": one("low")})
    assert occupied(found) == {(192, -3)}
    assert found.invalid["top"].reason == "no_finite_points"
    assert found.sensors == ("low",)
    assert prepared({"top": one("top", payload=bad)}).inputs.lidar is None


def test_cloud_is_moved_to_the_stamp_of_the_set_when_its_lidar_sends_at_another_time() -> None:
    ego = EgoMotion(OdometryConfig())
    for at_ns in range(S - 500 * MS, S + 100 * MS, 20 * MS):
        pose = Pose((10.0 * (at_ns - S) / S, 0.0, 0.0), LEVEL)
        ego.take(OdometryReading(at_ns, "odom", "base_link", pose, (10.0, 0.0, 0.0), (0.0, 0.0, 0.0)))
    ego.follow(S, epoch=0, mount=lambda _frame, _stamp_ns: Pose((0.0, 0.0, 0.0), LEVEL))
    found = prepared({"top": one("top"), "low": one("low", S - 100 * MS)}, ego=ego)
    assert occupied(found) == {(112, 2), (182, -3)}  # one metre nearer than when it was measured


def test_cameras_that_look_ahead_are_read_when_there_are_several() -> None:
    found = prepared({"rear": one("rear"), "front": one("front"), "spare": one("spare")})
    assert found.sensors == ("front", "spare")
    assert found.invalid == {}
    spare = prepared({"rear": one("rear"), "front": one("front", payload=BROKEN), "spare": one("spare")})
    assert spare.sensors == ("spare",)
    assert set(spare.invalid) == {"front"}
    assert prepared({"rear": one("rear"), "spare": one("spare"), "top": one("top")}).sensors[0] == "spare"


def test_imu_is_the_first_that_can_be_used_when_there_are_several() -> None:
    windows = {
        name: tuple(sample(IMU, S - offset * MS, name=name) for offset in range(95, -1, -5)) for name in "ab"
    }
    assert prepared(windows).sensors == ("a",)
    assert prepared({"b": windows["b"]}).sensors == ("b",)


def readings(name: str, gyro: tuple[float, float, float] | None) -> tuple[Sample, ...]:
    """The window of an IMU up to the set."""
    rate = None if gyro is None else np.array(gyro)
    payload = ImuReading(rate, np.array([0.0, 0.0, 9.81]))
    return tuple(one(name, S - step * 10 * MS, payload)[0] for step in range(10, -1, -1))


def test_turns_are_told_by_the_second_imu_when_the_first_has_no_gyro() -> None:
    preprocessor = Preprocessor(override(Config(), RIG))
    samples = {"a": readings("a", None), "b": readings("b", (0.0, 0.0, 0.5))}
    synced = SyncedSet(0, 0, S, None, samples, {}, S, S, S)
    found = preprocessor(synced, samples)
    assert found.sensors == ("b",)
    yaw = preprocessor.yaw_since(synced, found.present, S - 100 * MS)
    assert yaw == pytest.approx(0.05, abs=1e-6)


def test_acceleration_is_told_of_the_imu_in_use_alone_when_another_takes_over() -> None:
    preprocessor = Preprocessor(override(Config(), RIG))
    windows = {name: (sample(IMU, S, name=name),) for name in ("a", "b")}
    for used in (("a", "b"), ("b",), ()):
        preprocessor(SyncedSet(0, 0, S, None, windows, {}, S, S, S), used)
        assert tuple(preprocessor.felt_m_s2) == used[:1]


@pytest.mark.parametrize("name", ["rear", "top"])
def test_camera_or_lidar_is_refused_when_nothing_says_where_it_sits(name: str) -> None:
    unplaced = {f"{name}__translation_m": (0.0, 0.0, 0.0), f"{name}__quaternion_xyzw": LEVEL}
    found = prepared({name: one(name), "low": one("low")}, **unplaced)
    assert found.invalid[name].reason == "no_pose"
    assert f"set {name}.translation_m and {name}.quaternion_xyzw" in found.invalid[name].detail
    assert found.sensors == ("low",)


def test_camera_that_looks_at_no_sector_is_ok_when_its_transform_has_come() -> None:
    config = override(Config(), {**RIG, "rear.quaternion_xyzw": LEVEL})
    ingest, preprocessor, told = Ingest(config), Preprocessor(config), []
    for stamp_ns in range(S, 5 * S, 100 * MS):
        if stamp_ns == 2 * S:
            preprocessor.placer.give("rear", Pose((0.0, 0.0, 1.0), OPTICAL_BACK))
        for name in ("front", "rear", "top"):
            ingest.sample(replace(*one(name, stamp_ns), fingerprint=stamp_ns))
        for synced in ingest.take():
            used = prepare(ingest, preprocessor, synced, ingest.trust(synced)[0])
            told.append(ingest.reports(stamp_ns)["rear"].code)
    assert "no_pose" in told[:10]
    assert (told[-1], ingest.reports(5 * S)["rear"].state) == ("", SensorState.OK)
    assert used.sensors == ("front", "top")
