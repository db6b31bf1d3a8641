"""The world to every side: scenes in turned axes, traffic all around, rigs of any cameras and lidars."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from sentryfuse_core.config import Config, override
from sentryfuse_core.errors import ConfigError
from sentryfuse_core.lab.world.around import QUARTERS_RAD, around_batch, around_clouds, draw_around, turned
from sentryfuse_core.lab.world.config import world_v2
from sentryfuse_core.lab.world.rig import cameras_of, lidars_of
from sentryfuse_core.preprocess.imu import turned_tilt
from sentryfuse_core.preprocess.sectors import owners, sector_axes

WORLD = world_v2()


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(7)


def test_scene_has_traffic_to_every_side_and_none_overlaps() -> None:
    scene = draw_around(WORLD, batch=2, generator=generator())
    for boxes, classes in zip(scene.boxes, scene.classes, strict=True):
        there = classes >= 0
        places = boxes[there, :2].double().numpy()
        assert set(owners(places, QUARTERS_RAD).tolist()) >= {0, 1, 2, 3}
        radius = np.hypot(*boxes[there, 3:5].numpy().T) / 2
        apart = np.linalg.norm(places[:, None] - places, axis=-1) + 99.0 * np.eye(len(places))
        assert (apart - radius[:, None] - radius > 0.2).all()


@pytest.mark.parametrize("yaw", [math.pi / 2, math.pi, 0.7])
def test_scene_is_the_same_when_it_is_turned_and_turned_back(yaw: float) -> None:
    scene = draw_around(WORLD, batch=2, generator=generator())
    away = turned(scene, yaw)
    back = turned(away, -yaw)
    torch.testing.assert_close(back.boxes[..., :6], scene.boxes[..., :6], atol=1e-4, rtol=0.0)
    torch.testing.assert_close(back.velocity, scene.velocity, atol=1e-4, rtol=0.0)
    torch.testing.assert_close(back.tilt, scene.tilt, atol=1e-5, rtol=0.0)
    for index in range(2):
        roll, pitch = scene.tilt[index].tolist()
        expected = turned_tilt((roll, pitch), sector_axes(yaw))
        assert away.tilt[index].tolist() == pytest.approx(expected, abs=1e-5)


def test_box_to_the_left_is_ahead_when_axes_look_left() -> None:
    scene = draw_around(WORLD, batch=1, generator=generator())
    left = turned(scene, math.pi / 2)
    x, y = scene.boxes[0, :, 0], scene.boxes[0, :, 1]
    torch.testing.assert_close(left.boxes[0, :, 0], y, atol=1e-4, rtol=0.0)
    torch.testing.assert_close(left.boxes[0, :, 1], -x, atol=1e-4, rtol=0.0)


def test_lidars_see_what_the_batch_has_when_each_has_a_place_of_its_own() -> None:
    names = {"sensors": ["nose", "tail"], "nose.kind": "lidar", "tail.kind": "lidar"}
    places = {"nose.translation_m": (3.0, 0.0, 1.8), "tail.translation_m": (-3.0, 0.0, 1.8)}
    rig = override(Config(), names | places)
    clouds = around_clouds(WORLD, batch=2, seed=7, rig=rig)
    front = around_batch(WORLD, batch=2, seed=7)[0]
    plainly = front.returns >= 30
    assert plainly.any()
    for (points, returns), x in zip(clouds, (3.0, -3.0), strict=True):
        assert returns.shape == front.classes.shape
        assert (returns[plainly] > 0).float().mean() > 0.8
        own, other = (torch.hypot(points[..., 0] - at, points[..., 1]) for at in (x, -x))
        assert not (own < 2.0).any()  # its lowest beam meets the ground further away
        assert (other < 2.0).any()


def test_rig_without_names_is_the_worlds_own() -> None:
    (camera,) = cameras_of(Config(), WORLD)
    (lidar,) = lidars_of(Config())
    assert (camera.topic, camera.info_topic, camera.frame) == (
        "/camera/image",
        "/camera/camera_info",
        "camera",
    )
    assert (lidar.topic, lidar.frame) == ("/lidar/points", "lidar")
    assert camera.yaw_rad == pytest.approx(0.0)
    assert (camera.view.width, camera.view.focal) == (WORLD.camera.width, WORLD.camera.focal)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"camera.quaternion_xyzw": (-0.6427876, 0.6427876, -0.2954, 0.2954)}, "look level"),
        ({"camera.fy": 300.0}, "square pixels"),
    ],
)
def test_rig_is_refused_when_the_world_cannot_draw_it(options: dict[str, object], why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        cameras_of(override(Config(), options), WORLD)
