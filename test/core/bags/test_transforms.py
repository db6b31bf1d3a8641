"""A tree of transforms over time: chains, interpolation, and what strangers' trees do wrong."""

from __future__ import annotations

import math
from typing import Any

import pytest

from sentryfuse_core.bags.transforms import Chain, TransformTree
from sentryfuse_core.clock import NS_PER_MS, NS_PER_S
from sentryfuse_core.types import Pose

LEVEL = (0.0, 0.0, 0.0, 1.0)


def at(x: float = 0.0, y: float = 0.0, z: float = 0.0, *, yaw: float = 0.0) -> Pose:
    return Pose((x, y, z), (0.0, 0.0, math.sin(yaw / 2), math.cos(yaw / 2)))


def add(tree: TransformTree, child: str, parent: str, pose: Pose, *, ms: int | None = None) -> str:
    return tree.add(child, parent, pose, stamp_ns=(ms or 0) * NS_PER_MS, static=ms is None)


def found(tree: TransformTree, target: str, source: str, *, ms: int = 0, **options: Any) -> Chain:
    chain = tree.find(target, source, stamp_ns=ms * NS_PER_MS, **options)
    assert isinstance(chain, Chain), chain
    return chain


def test_pose_is_what_was_written_down_when_the_chain_is_one_transform() -> None:
    """To the bit, so that a recording placed by its own transforms gives the figures of the parameters."""
    tree, pose = TransformTree(), Pose((0.3, 0.1, 1.5), (-0.5, 0.5, -0.5, 0.5))
    add(tree, "camera", "base_link", pose)
    assert found(tree, "base_link", "camera").pose == pose


def test_chain_goes_over_the_common_parent_when_the_base_is_a_child_itself() -> None:
    tree = TransformTree()
    add(tree, "base_link", "base_footprint", at(z=0.2))
    add(tree, "lidar", "base_footprint", at(x=1.0, z=2.0))
    chain = found(tree, "base_link", "lidar")
    assert chain.pose.translation == pytest.approx((1.0, 0.0, 1.8))
    assert chain.frames == ("base_link", "base_footprint", "lidar")


def test_rotation_takes_the_shorter_way_when_a_quaternion_changes_its_sign() -> None:
    tree = TransformTree()
    first, second = at(yaw=0.1), at(yaw=0.3)
    add(tree, "lidar", "base_link", first, ms=0)
    x, y, z, w = second.quaternion
    add(tree, "lidar", "base_link", Pose(second.translation, (-x, -y, -z, -w)), ms=100)
    x, y, z, w = found(tree, "base_link", "lidar", ms=50).pose.quaternion
    assert abs(2 * math.atan2(z, w)) == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("ms", "x", "apart_ms"), [(0, 1.0, 1000), (1000, 1.0, 0), (1500, 1.25, 500), (4000, 2.0, 1000)]
)
def test_pose_says_how_far_the_nearest_transform_is_when_there_is_none_for_the_time(
    ms: int, x: float, apart_ms: int
) -> None:
    tree = TransformTree()
    add(tree, "lidar", "base_link", at(x=1.0), ms=1000)
    add(tree, "lidar", "base_link", at(x=2.0), ms=3000)
    chain = found(tree, "base_link", "lidar", ms=ms)
    assert chain.pose.translation[0] == x
    assert chain.apart_ns == apart_ms * NS_PER_MS


def test_loop_is_told_and_ends_when_frames_are_their_own_ancestors() -> None:
    tree = TransformTree()
    add(tree, "a", "b", at())
    add(tree, "b", "c", at())
    add(tree, "c", "a", at())
    assert tree.find("base_link", "a", stamp_ns=0) == "the frames a -> b -> c -> a form a loop"


@pytest.mark.parametrize(
    ("child", "parent", "pose", "says"),
    [
        ("lidar", "base_link", Pose((0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 0.0)), "(0, 0, 0, 0) is no rotation"),
        ("lidar", "base_link", Pose((0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1.1)), "is no rotation"),
        ("lidar", "base_link", Pose((math.nan, 0.0, 0.0), LEVEL), "not finite"),
        ("lidar", "base_link", Pose((0.0, 0.0, 0.0), (math.inf, 0.0, 0.0, 1.0)), "not finite"),
        ("lidar", "base_link", Pose((0.0, -1e308, 0.0), LEVEL), "more than 1e+09 m away"),
        ("lidar", "lidar", at(), "in itself"),
        ("", "base_link", at(), "without a name"),
        ("lidar", "", at(), "without a name"),
    ],
)
def test_transform_is_refused_with_its_frames_when_it_is_none(
    child: str, parent: str, pose: Pose, says: str
) -> None:
    tree = TransformTree()
    problem = add(tree, child, parent, pose)
    assert problem.startswith(f"refused {parent} -> {child}: ")
    assert says in problem
    assert not tree.frames


@pytest.mark.parametrize("ms", [None, 100])
def test_second_parent_holds_and_is_told_when_a_frame_has_two(ms: int | None) -> None:
    tree = TransformTree()
    assert add(tree, "lidar", "base_link", at(x=1.0), ms=ms) == ""
    problem = add(tree, "lidar", "mast", at(x=9.0), ms=None if ms is None else ms + 100)
    assert problem == "lidar has two parents, base_link and mast; the last one said holds"
    assert isinstance(tree.find("base_link", "lidar", stamp_ns=NS_PER_S), str)
    assert found(tree, "mast", "lidar", ms=1000).pose.translation[0] == 9.0


def test_static_transform_holds_and_is_told_when_the_frame_moves_too() -> None:
    tree = TransformTree()
    add(tree, "lidar", "base_link", at(x=1.0))
    assert "static transform holds" in add(tree, "lidar", "base_link", at(x=2.0), ms=5)
    assert found(tree, "base_link", "lidar", ms=5).pose.translation[0] == 1.0


def test_memory_stays_bounded_when_transforms_come_a_thousand_times_a_second() -> None:
    tree = TransformTree()
    for ms in range(30_000):
        add(tree, "lidar", "base_link", at(x=ms / 1000), ms=ms)
    assert len(tree._moving["lidar"]) < 6_000
    assert found(tree, "base_link", "lidar", ms=27_000).pose.translation[0] == pytest.approx(27.0)


def test_old_transforms_are_forgotten_when_time_goes_back() -> None:
    tree = TransformTree()
    add(tree, "lidar", "base_link", at(x=1.0), ms=100_000)
    add(tree, "lidar", "base_link", at(x=2.0), ms=1_000)
    assert found(tree, "base_link", "lidar", ms=100_000).pose.translation[0] == 2.0
