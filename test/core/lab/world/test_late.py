"""Moments a while ago: everybody stands where speed and heading have them come from."""

from __future__ import annotations

import torch

from sentryfuse_core.lab.world.config import WorldConfig, world_v2
from sentryfuse_core.lab.world.late import earlier
from sentryfuse_core.lab.world.scene import Scene, draw_scenes


def to_world(scene: Scene) -> torch.Tensor:
    """Centres of all boxes in the world frame, [B, M, 2]."""
    x, y, yaw = scene.ego[:, None].unbind(-1)
    cos, sin = yaw.cos(), yaw.sin()
    ahead, left = scene.boxes[..., 0], scene.boxes[..., 1]
    return torch.stack((x + cos * ahead - sin * left, y + sin * ahead + cos * left), dim=-1)


def test_earlier_leaves_the_world_where_it_is_when_only_the_vehicle_moves() -> None:
    scene = draw_scenes(world_v2(), batch=6, generator=torch.Generator().manual_seed(0))
    scene.speed.zero_()
    before = earlier(scene, torch.full((6,), 0.5))
    torch.testing.assert_close(to_world(before), to_world(scene), atol=2e-3, rtol=0.0)
    moved = torch.linalg.vector_norm(before.ego[:, :2] - scene.ego[:, :2], dim=1)
    torch.testing.assert_close(moved, 0.5 * scene.ego_motion[:, 0], atol=2e-3, rtol=0.0)


def test_earlier_puts_objects_behind_by_their_speed_when_they_move() -> None:
    scene = draw_scenes(world_v2(), batch=6, generator=torch.Generator().manual_seed(1))
    before = earlier(scene, torch.full((6,), 0.4))
    way = torch.linalg.vector_norm(to_world(scene) - to_world(before), dim=-1)
    torch.testing.assert_close(way, 0.4 * scene.speed, atol=2e-3, rtol=0.0)
    assert torch.equal(earlier(scene, torch.zeros(6)).boxes, scene.boxes)


def test_earlier_leaves_the_road_under_what_is_parked_on_it_when_the_vehicle_turns() -> None:
    scene = draw_scenes(WorldConfig(), batch=6, generator=torch.Generator().manual_seed(2))
    scene.speed.zero_()
    scene.ego_motion[:, 2] = 0.4
    before = earlier(scene, torch.full((6,), 0.5))
    across, across_before = (item.ground.across(*item.boxes[..., :2].unbind(-1)) for item in (scene, before))
    torch.testing.assert_close(across_before, across, atol=1e-3, rtol=0.0)
    assert not torch.allclose(before.ground.cos, scene.ground.cos, atol=1e-3)
