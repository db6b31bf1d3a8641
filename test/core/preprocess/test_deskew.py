"""Points with times of their own: what a moving lidar smears is straight again at the set's stamp."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from builders import MS, S, sample
from numpy.typing import NDArray

from sentryfuse_core.config import Config, OdometryConfig, override
from sentryfuse_core.ego import EgoMotion
from sentryfuse_core.odometry import OdometryReading
from sentryfuse_core.planar import EgoState, EgoStep, Velocity, ahead
from sentryfuse_core.preprocess import lidar
from sentryfuse_core.preprocess.assemble import Prepared, Preprocessor
from sentryfuse_core.preprocess.deskew import point_times_s
from sentryfuse_core.types import ImuReading, Modality, ModalitySet, PointCloud, PointField, Pose, SyncedSet

STAMP = 100 * S
SPEED, RATE = 10.0, 0.5
WALL_M = 12.0  # to the left of where the robot is at the set's stamp
AHEAD_M = 15.0
TURN_S = 0.1
LIDAR = Pose((1.0, 0.2, 1.8), (0.0, 0.0, math.sin(0.4), math.cos(0.4)))  # 0.8 rad to the left
BOTH = ModalitySet.of(Modality.LIDAR, Modality.IMU)


def smeared(times_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """[3, N] of a wall to the left and one ahead, each point as the lidar saw it at its time."""
    standing = EgoState(0, EgoStep(), Velocity(SPEED, 0.0, RATE))
    points = np.empty((3, len(times_s)))
    for index, time_s in enumerate(times_s):
        x, y, yaw = ahead(standing, round(time_s * S)).pose
        angle = 2 * math.pi * time_s / TURN_S
        ends = (WALL_M * math.tan(angle % 1.0), WALL_M) if index % 2 else (AHEAD_M, 10 * math.sin(angle))
        point = np.array((ends[0] - x, ends[1] - y))
        turn = np.array([[math.cos(yaw), math.sin(yaw)], [-math.sin(yaw), math.cos(yaw)]])
        at_lidar = turn @ point - LIDAR.translation[:2]
        turn = np.array([[math.cos(0.8), math.sin(0.8)], [-math.sin(0.8), math.cos(0.8)]])
        points[:, index] = (*(turn @ at_lidar), -1.0)
    return points


def cloud(times_s: NDArray[np.float64], *, name: str = "t", kind: str = "u4", raw: Any = None) -> PointCloud:
    """Of those walls; times are nanoseconds since the stamp unless `raw` gives what is written."""
    record = np.dtype({"names": ["x", "y", "z", name], "formats": ["f4", "f4", "f4", kind]})
    records = np.zeros(len(times_s), record)
    records["x"], records["y"], records["z"] = smeared(times_s)
    records[name] = np.round(times_s * 1e9) if raw is None else raw
    offsets = {field: record.fields[field][1] for field in record.names}  # type: ignore[index, union-attr]
    fields = tuple(PointField(axis, offsets[axis], "f4") for axis in "xyz")
    time = PointField(name, offsets[name], kind)
    data = records.view(np.uint8).reshape(-1)
    return PointCloud(1, len(records), record.itemsize, data.size, False, fields, data, time)


def odometry() -> EgoMotion:
    """Known from before the set to after it."""
    ego = EgoMotion(OdometryConfig())
    standing = EgoState(STAMP, EgoStep(), Velocity(SPEED, 0.0, RATE))
    for at_ns in range(-500 * MS, 150 * MS, 20 * MS):
        x, y, yaw = ahead(standing, STAMP + at_ns).pose
        pose = Pose((x, y, 0.0), (0.0, 0.0, math.sin(yaw / 2), math.cos(yaw / 2)))
        ego.take(
            OdometryReading(STAMP + at_ns, "odom", "base_link", pose, (SPEED, 0.0, 0.0), (0.0, 0.0, RATE))
        )
    ego.follow(STAMP, epoch=0, mount=lambda _frame, _stamp_ns: Pose((0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0)))
    assert ego.problem == ""
    return ego


def prepared(
    seen: PointCloud,
    monkeypatch: pytest.MonkeyPatch,
    *,
    mask: ModalitySet = BOTH,
    ego: EgoMotion | None = None,
    stamp_ns: int = STAMP,
    rate: float = RATE,
    **options: Any,
) -> tuple[Prepared, NDArray[np.float32]]:
    """What becomes of the set, and its points in the base frame."""
    config = override(
        Config(),
        {
            "lidar.translation_m": LIDAR.translation,
            "lidar.quaternion_xyzw": LIDAR.quaternion,
            "output.extrinsics": "parameters",
            **{f"lidar.{name}": value for name, value in options.items()},
        },
    )
    gyro = ImuReading(np.array([0.0, 0.0, rate]), np.array([0.0, 0.0, 9.81]))
    stamps = range(STAMP - 95 * MS, STAMP + 1, 5 * MS)
    samples = {
        Modality.LIDAR: (sample(Modality.LIDAR, stamp_ns, payload=seen),),
        Modality.IMU: tuple(sample(Modality.IMU, at_ns, payload=gyro) for at_ns in stamps),
    }
    found = []

    def pillars(points: Any, **_: Any) -> Any:
        found.append(points[0].numpy().T)
        return points

    monkeypatch.setattr(lidar, "pillars", pillars)
    synced = SyncedSet(0, 0, STAMP, None, samples, {}, STAMP, STAMP, STAMP)
    result = Preprocessor(config)(synced, mask, ego=ego)
    return result, found[0]


def off_m(points: NDArray[np.float32]) -> float:
    """Furthest of any point from its wall."""
    return float(max(np.abs(points[0, ::2] - AHEAD_M).max(), np.abs(points[1, 1::2] - WALL_M).max()))


@pytest.mark.parametrize("since_s", [-TURN_S, -TURN_S / 2, 0.0], ids=["stamped last", "middle", "first"])
def test_walls_are_straight_to_two_centimetres_when_a_fast_robot_turns(
    since_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    times_s = np.linspace(since_s, since_s + TURN_S, 2000)
    seen = cloud(times_s, kind="f4", name="time", raw=times_s)
    result, points = prepared(seen, monkeypatch, ego=odometry())
    assert off_m(points) < 0.02
    assert result.notes == ()
    _, as_they_were = prepared(seen, monkeypatch, ego=odometry(), deskew=False)
    assert off_m(as_they_were) > 0.4


def test_points_are_moved_to_the_set_when_the_cloud_has_another_stamp(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    times_s = np.linspace(-0.13, -0.03, 2000)  # of the set's stamp
    seen = cloud(times_s, kind="f8", name="timestamp", raw=STAMP / S + times_s)
    _, points = prepared(seen, monkeypatch, ego=odometry(), stamp_ns=STAMP - 30 * MS)
    assert off_m(points) < 0.02


def test_points_are_turned_alone_when_no_odometry_tells_the_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    times_s = np.linspace(-TURN_S, 0.0, 2000)
    seen = cloud(times_s, kind="f4", name="time", raw=times_s)
    result, points = prepared(seen, monkeypatch)
    _, as_they_were = prepared(seen, monkeypatch, deskew=False)
    beside, beside_before = (np.abs(found[1, 1::2] - WALL_M).max() for found in (points, as_they_were))
    assert beside < 0.03
    assert beside_before > 0.4
    assert off_m(points) == pytest.approx(SPEED * TURN_S, abs=0.05), "the way itself is not known"
    assert result.notes == ()


def test_points_are_moved_by_odometry_alone_when_there_is_no_imu(monkeypatch: pytest.MonkeyPatch) -> None:
    times_s = np.linspace(-TURN_S, 0.0, 2000)
    seen = cloud(times_s, kind="f4", name="time", raw=times_s)
    _, points = prepared(seen, monkeypatch, mask=ModalitySet.of(Modality.LIDAR), ego=odometry())
    assert off_m(points) < 0.02


def test_it_is_told_when_nothing_says_how_the_robot_moves(monkeypatch: pytest.MonkeyPatch) -> None:
    times_s = np.linspace(-TURN_S, 0.0, 200)
    seen = cloud(times_s, kind="f4", name="time", raw=times_s)
    alone = ModalitySet.of(Modality.LIDAR)
    result, points = prepared(seen, monkeypatch, mask=alone, ego=EgoMotion(OdometryConfig()))
    untimed, same = prepared(seen, monkeypatch, mask=alone, deskew=False)
    assert result.notes == (
        "lidar is not deskewed: neither IMU nor odometry tells how the robot moved meanwhile",
    )
    assert untimed.notes == ()
    np.testing.assert_array_equal(points, same)


STARTS = np.linspace(0.0, TURN_S, 500)
WRITTEN = {
    "Ouster: t, ns since the stamp": np.round(STARTS * 1e9).astype(np.uint32),
    "Velodyne: time, s up to the stamp": (STARTS - TURN_S).astype(np.float32),
    "Hesai: timestamp, s of the clock": 1.7e9 + STARTS,
    "Livox: timestamp, ns of the clock": 1.7e18 + STARTS * 1e9,
    "us since the stamp": np.round(STARTS * 1e6).astype(np.uint32),
    "ms since the stamp": (STARTS * 1e3).astype(np.float32),
    "ns of the clock, whole": (1_700_000_000 * S + np.round(STARTS * 1e9)).astype(np.uint64),
    "big-endian": np.round(STARTS * 1e9).astype(">u4"),
}


@pytest.mark.parametrize("name", WRITTEN)
def test_times_are_read_in_the_unit_that_makes_a_sweep(name: str) -> None:
    found = point_times_s(WRITTEN[name], stamp_ns=1_700_000_000 * S)
    assert not isinstance(found, str)
    expected = STARTS - TURN_S if "up to" in name else STARTS
    np.testing.assert_allclose(found, expected, atol=2e-6)


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (np.array([0.0, np.nan, 0.1]), "not all finite"),
        (np.array([0.0, 5.0, 1e30]), "in no unit a sweep"),
        (1.6e9 + STARTS, "another clock than its stamp, 100000000 s away"),
    ],
)
def test_times_are_not_used_when_they_make_no_sense(
    raw: NDArray[Any], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = point_times_s(raw, stamp_ns=1_700_000_000 * S)
    assert isinstance(found, str)
    assert words in found
    times_s = np.linspace(-TURN_S, 0.0, len(raw))
    seen = cloud(times_s, kind="f8", name="timestamp", raw=raw)
    result, points = prepared(seen, monkeypatch, ego=odometry(), rate=0.0)
    assert result.notes[0].startswith("lidar is not deskewed: the times of its points are not used, ")
    np.testing.assert_array_equal(points, prepared(seen, monkeypatch, deskew=False, rate=0.0)[1])


@pytest.mark.parametrize("raw", [np.zeros(9, np.uint32), np.full(9, 7.5), np.linspace(0, 1e-3, 9)])
def test_a_snapshot_has_nothing_to_move(raw: NDArray[Any]) -> None:
    found = point_times_s(raw, stamp_ns=STAMP)
    assert not isinstance(found, str)
    assert not found.size


def test_returns_keep_their_own_times_when_others_are_left_out() -> None:
    times_s = np.linspace(0.0, TURN_S, 100)
    seen = cloud(times_s)
    seen.data.reshape(100, -1)[::3, :12] = 0  # no return
    points, times = lidar.decode_timed(seen, intensity_full_scale=1.0)
    assert times is not None
    kept = [index for index in range(100) if index % 3]
    np.testing.assert_array_equal(times, np.round(times_s[kept] * 1e9))
    assert points.shape == (4, len(kept))
    assert (points[3] == 0.0).all(), "a time is no intensity"
