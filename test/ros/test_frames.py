"""Poses from tf2: with a stand-in everywhere, and with tf2 itself where it is installed."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from rclpy.time import Time
from ros.support import participant, stamped_transform

from sentryfuse_core.clock import NS_PER_MS, NS_PER_S
from sentryfuse_core.preprocess.placing import Found
from sentryfuse_ros.frames import TransformTree, tf2_available

pytestmark = pytest.mark.ros

LEVEL = (0.0, 0.0, 0.0, 1.0)


class UnknownFrameError(Exception):
    """What tf2 raises."""


class FakeBuffer:
    """Frames as told: static positions, and one turret whose position is its stamp in seconds."""

    def __init__(self) -> None:
        self.static: dict[str, tuple[float, float, float]] = {}
        self.turret_ns: tuple[int, int] | None = None  # from, to
        self.lookups = 0
        self.cleared = 0

    def lookup_transform(self, target: str, source: str, at: Time) -> Any:
        assert target == "base_link"
        self.lookups += 1
        if source in self.static:
            return transform(0, self.static[source])
        if source != "turret" or self.turret_ns is None:
            raise UnknownFrameError(source)
        stamp_ns = at.nanoseconds or self.turret_ns[1]
        if not self.turret_ns[0] <= stamp_ns <= self.turret_ns[1]:
            raise UnknownFrameError(f"extrapolation to {stamp_ns}")
        return transform(stamp_ns, (stamp_ns / NS_PER_S, 0.0, 0.0))

    def clear(self) -> None:
        self.cleared += 1
        self.turret_ns = None


def transform(stamp_ns: int, position: tuple[float, float, float]) -> Any:
    x, y, z = position
    rotation = SimpleNamespace(x=0.0, y=0.0, z=0.0, w=1.0)
    stamp = SimpleNamespace(sec=stamp_ns // NS_PER_S, nanosec=stamp_ns % NS_PER_S)
    return SimpleNamespace(
        header=SimpleNamespace(stamp=stamp),
        transform=SimpleNamespace(translation=SimpleNamespace(x=x, y=y, z=z), rotation=rotation),
    )


@pytest.fixture
def buffer(monkeypatch: pytest.MonkeyPatch) -> FakeBuffer:
    found = FakeBuffer()
    tf2 = ModuleType("tf2_ros")
    tf2.Buffer = lambda: found  # type: ignore[attr-defined]
    tf2.TransformListener = lambda _buffer, _node: SimpleNamespace(unregister=lambda: None)  # type: ignore[attr-defined]
    tf2.TransformException = UnknownFrameError  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "tf2_ros", tf2)
    return found


class Steady:
    """Steady time that goes on by a little with each look."""

    def __init__(self) -> None:
        self.now_ns = NS_PER_S

    def __call__(self) -> int:
        self.now_ns += NS_PER_MS // 10
        return self.now_ns


def tree(steady: Steady | None = None) -> TransformTree:
    return TransformTree(None, base_frame="base_link", steady_ns=steady or Steady())  # type: ignore[arg-type]


def x_of(found: Found) -> float:
    assert found.pose is not None
    return found.pose.translation[0]


def test_pose_is_unknown_never_identity_until_tf2_knows_it(buffer: FakeBuffer) -> None:
    frames = tree()
    found = frames.find("lidar", stamp_ns=NS_PER_S)
    assert found.pose is None
    assert found.problem == "tf2 knows no transform from frame 'lidar' to 'base_link'"
    buffer.static["lidar"] = (3.0, 0.0, 1.8)
    found = frames.find("lidar", stamp_ns=NS_PER_S)
    assert (x_of(found), found.chain, found.problem) == (3.0, "base_link <- lidar, tf2", "")


def test_static_pose_is_looked_up_once_a_second_and_kept_when_tf2_forgets(buffer: FakeBuffer) -> None:
    steady = Steady()
    buffer.static["lidar"] = (1.0, 0.0, 1.8)
    frames = tree(steady)
    for _ in range(900):
        frames.find("lidar", stamp_ns=NS_PER_S)
    assert buffer.lookups == 1
    buffer.static["lidar"] = (2.0, 0.0, 2.0)
    steady.now_ns += 2 * NS_PER_S
    assert x_of(frames.find("lidar", stamp_ns=NS_PER_S)) == 2.0
    buffer.static.clear()
    steady.now_ns += 2 * NS_PER_S
    found = frames.find("lidar", stamp_ns=NS_PER_S)
    assert x_of(found) == 2.0
    assert "which tf2 has no more" in found.problem


def test_moving_pose_is_that_of_the_stamp_when_tf2_has_it(buffer: FakeBuffer) -> None:
    buffer.turret_ns = (5 * NS_PER_S, 10 * NS_PER_S)
    frames = tree()
    for stamp_ns in (6 * NS_PER_S, 9 * NS_PER_S + 1, 10 * NS_PER_S):
        found = frames.find("turret", stamp_ns=stamp_ns)
        assert x_of(found) == stamp_ns / NS_PER_S
        assert (found.chain, found.problem) == ("base_link <- turret, tf2, moving", "")


def test_moving_pose_is_waited_for_when_it_is_about_to_come(buffer: FakeBuffer) -> None:
    steady = Steady()
    buffer.turret_ns = (5 * NS_PER_S, 10 * NS_PER_S)
    frames = tree(steady)
    looked = buffer.lookup_transform

    def late(target: str, source: str, at: Time) -> Any:
        if buffer.lookups == 4:
            buffer.turret_ns = (5 * NS_PER_S, 10 * NS_PER_S + 50 * NS_PER_MS)
        return looked(target, source, at)

    buffer.lookup_transform = late  # type: ignore[method-assign]
    found = frames.find("turret", stamp_ns=10 * NS_PER_S + 40 * NS_PER_MS)
    assert (x_of(found), found.problem) == (10.04, "")


def test_wait_is_bounded_and_not_repeated_at_once_when_it_was_in_vain(buffer: FakeBuffer) -> None:
    steady = Steady()
    buffer.turret_ns = (5 * NS_PER_S, 10 * NS_PER_S)
    frames = tree(steady)
    began_ns = steady.now_ns
    found = frames.find("turret", stamp_ns=10 * NS_PER_S + 400 * NS_PER_MS)
    assert NS_PER_S // 50 < steady.now_ns - began_ns < NS_PER_S // 20
    assert x_of(found) == 10.0
    assert "a transform more than 0.3 s away from its stamp: a mount that moves" in found.problem
    before = buffer.lookups
    for _ in range(10):
        frames.find("turret", stamp_ns=10 * NS_PER_S + 400 * NS_PER_MS)
    assert buffer.lookups - before == 30  # the latest, that of the stamp and the one before: no waiting


def test_what_moved_is_forgotten_and_its_last_pose_told_when_time_jumps(buffer: FakeBuffer) -> None:
    buffer.turret_ns = (5 * NS_PER_S, 10 * NS_PER_S)
    frames = tree()
    frames.find("turret", stamp_ns=9 * NS_PER_S)
    frames.clear()
    assert buffer.cleared == 1
    found = frames.find("turret", stamp_ns=1 * NS_PER_S)
    assert (x_of(found), "time jumped" in found.problem) == (9.0, True)
    buffer.turret_ns = (NS_PER_S, 2 * NS_PER_S)
    found = frames.find("turret", stamp_ns=NS_PER_S)
    assert (x_of(found), found.problem) == (1.0, "")


@pytest.fixture
def real_tree() -> Iterator[TransformTree]:
    if not tf2_available():
        pytest.skip("needs tf2_ros")
    with participant("frames") as node:
        yield TransformTree(node, base_frame="base_link")


def tell(frames: TransformTree, child: str, parent: str, *, ms: int | None = None, yaw: float = 0.0) -> None:
    """Put a transform into the buffer as the listener does."""
    turn = (0.0, 0.0, math.sin(yaw / 2), math.cos(yaw / 2))
    message = stamped_transform(child, parent, (0.0, 0.0, 1.0), turn, stamp_ns=(ms or 0) * NS_PER_MS)
    put = frames._buffer.set_transform_static if ms is None else frames._buffer.set_transform
    put(message, "test")


def test_tf2_itself_gives_static_moving_and_ageing_poses(real_tree: TransformTree) -> None:
    assert real_tree.find("lidar", stamp_ns=NS_PER_S).pose is None
    assert real_tree.find("", stamp_ns=NS_PER_S).pose is None
    tell(real_tree, "mast", "base_link")
    tell(real_tree, "camera", "mast")
    found = real_tree.find("camera", stamp_ns=NS_PER_S)
    assert found.pose is not None
    assert (found.pose.translation, found.chain) == ((0.0, 0.0, 2.0), "base_link <- camera, tf2")
    tell(real_tree, "lidar", "turret")
    for ms in range(100_000, 101_000, 50):
        tell(real_tree, "turret", "base_link", ms=ms, yaw=0.5 * (ms - 100_000) / 1000)
    found = real_tree.find("lidar", stamp_ns=100_725 * NS_PER_MS)
    assert found.pose is not None
    assert 2 * math.asin(found.pose.quaternion[2]) == pytest.approx(0.3625, abs=1e-4)
    assert found.problem == ""
    found = real_tree.find("lidar", stamp_ns=101_500 * NS_PER_MS)
    assert found.pose is not None
    assert 2 * math.asin(found.pose.quaternion[2]) == pytest.approx(0.475, abs=1e-4)
    assert "a mount that moves may be elsewhere" in found.problem
    real_tree.clear()
    assert "time jumped" in real_tree.find("lidar", stamp_ns=1_000 * NS_PER_MS).problem
    assert real_tree.find("camera", stamp_ns=NS_PER_S).problem == ""
