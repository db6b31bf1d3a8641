"""Poses from tf2, with a stand-in where it is not installed."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from sentryfuse_core.clock import NS_PER_S
from sentryfuse_core.types import Pose
from sentryfuse_ros.frames import TransformTree

pytestmark = pytest.mark.ros


class UnknownFrameError(Exception):
    """What tf2 raises."""


class FakeBuffer:
    """A transform tree as told."""

    def __init__(self) -> None:
        self.poses: dict[str, tuple[float, float, float]] = {}
        self.lookups = 0

    def lookup_transform(self, target: str, source: str, _time: object) -> Any:
        assert target == "base_link"
        self.lookups += 1
        if source not in self.poses:
            raise UnknownFrameError(source)
        x, y, z = self.poses[source]
        rotation = SimpleNamespace(x=0.0, y=0.0, z=0.0, w=1.0)
        return SimpleNamespace(
            transform=SimpleNamespace(translation=SimpleNamespace(x=x, y=y, z=z), rotation=rotation)
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


def tree() -> TransformTree:
    return TransformTree(None, base_frame="base_link")  # type: ignore[arg-type]


def test_pose_is_unknown_never_identity_until_tf2_knows_it(buffer: FakeBuffer) -> None:
    frames = tree()
    assert frames.pose("lidar", now_ns=0) is None
    buffer.poses["lidar"] = (0.0, 0.0, 1.8)
    assert frames.pose("lidar", now_ns=NS_PER_S) == Pose((0.0, 0.0, 1.8), (0.0, 0.0, 0.0, 1.0))


def test_pose_is_looked_up_once_a_second_and_kept_when_tf2_forgets(buffer: FakeBuffer) -> None:
    buffer.poses["lidar"] = (0.0, 0.0, 1.8)
    frames = tree()
    for millisecond in range(900):
        frames.pose("lidar", now_ns=millisecond * 1_000_000)
    assert buffer.lookups == 1
    buffer.poses["lidar"] = (0.0, 0.0, 2.0)
    moved = frames.pose("lidar", now_ns=2 * NS_PER_S)
    assert moved is not None
    assert moved.translation == (0.0, 0.0, 2.0)
    buffer.poses.clear()
    assert frames.pose("lidar", now_ns=4 * NS_PER_S) == moved
