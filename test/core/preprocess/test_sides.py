"""The picture of a sector, from one camera or several, with lenses as wide as they come."""

from __future__ import annotations

import math
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from sentryfuse_core.errors import InvalidMessageError
from sentryfuse_core.preprocess.camera import VirtualCamera, joined, seen_share
from sentryfuse_core.preprocess.fisheye import fisheye_maps
from sentryfuse_core.preprocess.geometry import GEOMETRY
from sentryfuse_core.preprocess.sectors import sector_axes
from sentryfuse_core.preprocess.sides import Shot, Side
from sentryfuse_core.rotation import IDENTITY, Rotation
from sentryfuse_core.types import Intrinsics

FORWARD = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
WIDE = Intrinsics(640, 480, 320.0, 320.0, 320.0, 200.0)  # 90 degrees from side to side
FISHEYE = Intrinsics(800, 800, 230.0, 230.0, 400.0, 400.0, (0.05, -0.01, 0.002, -0.0005), fisheye=True)


def looking(yaw_deg: float) -> Rotation:
    """Optical axes of a camera that looks along that yaw, in the base frame."""
    return np.asarray(sector_axes(math.radians(-yaw_deg)) @ FORWARD)


def shot(yaw_deg: float, *, grey: int = 200, intrinsics: Intrinsics = WIDE, x: float = 0.0) -> Shot:
    image = np.full((intrinsics.height, intrinsics.width, 3), grey, np.uint8)
    return Shot(image, intrinsics, looking(yaw_deg), IDENTITY, np.array((x, 0.0, 1.5)))


def test_camera_is_none_of_a_sector_when_it_looks_elsewhere() -> None:
    sides = [Side(sector_axes(math.radians(yaw)), alone=False) for yaw in (0.0, 90.0, 180.0)]
    shown = [side.show({"camera": shot(0.0)})[1] for side in sides]
    assert shown == [("camera",), (), ()]
    with pytest.raises(InvalidMessageError, match="outside_view"):
        Side(sector_axes(0.0), alone=True).show({"camera": shot(180.0)})


def test_position_of_the_camera_is_turned_into_its_sector() -> None:
    part, _ = Side(sector_axes(math.pi), alone=False).show({"rear": shot(180.0, x=-0.5)})
    np.testing.assert_allclose(part["camera_position"].numpy(), [[0.5, 0.0, 1.5]], atol=1e-6)
    assert float(part["camera"][0, 0, 60, 192]) == pytest.approx(200 / 255)


def test_camera_sees_a_sector_in_part_when_it_looks_past_it() -> None:
    part, names = Side(sector_axes(math.pi / 2), alone=False).show({"corner": shot(45.0)})
    assert names == ("corner",)
    seen = part["camera_seen"][0, 0, 12]
    assert seen[-10:].min() == 1.0  # its right half
    assert seen[:44].max() == 0.0
    assert part["camera"][0, :, 48, 10].tolist() == [0.5] * 3  # and what it does not see is no black


def test_each_pixel_is_of_the_camera_that_looks_straighter_when_several_see_it() -> None:
    shots = {"left": shot(35.0, grey=50), "right": shot(-35.0, grey=150, x=2.0)}
    part, names = Side(sector_axes(0.0), alone=False).show(shots)
    assert set(names) == {"left", "right"}
    row = part["camera"][0, 0, 50]
    assert row[:190].tolist() == pytest.approx([50 / 255] * 190)
    assert row[205:].tolist() == pytest.approx([150 / 255] * 179)
    assert "camera_seen" not in part  # together they see all of it


def test_others_fill_the_sector_when_the_robot_turns_one_away_from_its_border() -> None:
    side = Side(sector_axes(0.0), alone=False)
    edge = shot(-86.0, grey=50)
    assert side.show({"front": shot(0.0), "edge": edge})[1] == ("front", "edge")
    turned = replace(edge, turned=sector_axes(math.radians(6.0)))  # since its picture, to the left
    part, names = side.show({"front": shot(0.0), "edge": turned})
    assert names == ("front",)
    assert float(part["camera"].max()) == pytest.approx(200 / 255)


def test_lens_of_190_degrees_fills_three_sectors_when_it_looks_ahead() -> None:
    shares = [seen_share(FISHEYE, sector_axes(math.radians(yaw)) @ looking(0.0)) for yaw in (0, 90, -90, 180)]
    assert shares[0] == 1.0
    assert all(0.4 < share < 0.65 for share in shares[1:3])
    assert shares[3] == 0.0


def test_fisheye_agrees_with_opencv_where_that_can_be_asked() -> None:
    g = GEOMETRY
    virtual = np.array([[g.image_fx, 0, g.image_cx - 0.5], [0, g.image_fy, g.image_cy - 0.5], [0, 0, 1.0]])
    source = np.array([[230.0, 0.0, 399.5], [0.0, 230.0, 399.5], [0.0, 0.0, 1.0]])
    turn, _ = cv2.Rodrigues(np.array([0.02, 0.1, 0.01]))
    size = (g.image_width, g.image_height)
    axes = (turn @ np.linalg.inv(virtual)).astype(np.float32)
    columns, rows, _, reached = fisheye_maps(axes, size, source, FISHEYE.distortion)
    expected = cv2.fisheye.initUndistortRectifyMap(
        source, np.array(FISHEYE.distortion), turn.T, virtual, size, cv2.CV_32FC1
    )
    assert reached.all()
    np.testing.assert_allclose(columns, expected[0], atol=2e-3)
    np.testing.assert_allclose(rows, expected[1], atol=2e-3)


def test_virtual_camera_alone_and_side_alone_show_the_same() -> None:
    noise = np.random.default_rng(3).integers(0, 255, (480, 640, 3)).astype(np.uint8)
    part, _ = Side(sector_axes(0.0), alone=True).show(
        {"camera": Shot(noise, WIDE, FORWARD, IDENTITY, np.zeros(3))}
    )
    assert torch.equal(part["camera"], joined([VirtualCamera().look(noise, WIDE, FORWARD)]).image)
