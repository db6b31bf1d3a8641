"""ViewLift: cells look where the virtual camera sees them, and nowhere else."""

from __future__ import annotations

import math

import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from networks import TINY
from torch.nn import functional

from sentryfuse_core.model.canvas import fourier
from sentryfuse_core.model.lift import GROUND_FEATURES, ViewLift, depth_weights
from sentryfuse_core.preprocess.geometry import GEOMETRY

POSITION = torch.tensor([[0.3, 0.0, 1.5]])
SIZE = (GEOMETRY.image_height // 4, GEOMETRY.image_width // 4)
BINS = TINY.depth_bins


def anywhere() -> torch.Tensor:
    """A map that says nothing about distance."""
    return torch.full((1, BINS, *SIZE), 1.0 / BINS)


def test_lift_projects_as_a_pinhole_when_the_point_is_ahead() -> None:
    lift = ViewLift(TINY, GEOMETRY)
    pixels, ahead, seen = lift.project(POSITION, torch.tensor([[10.3, 2.0]]))
    offset = lift.offsets[0]
    depth = 10.0 + offset[0]
    u = GEOMETRY.image_cx - GEOMETRY.image_fx * (2.0 + offset[1]) / depth
    v = GEOMETRY.image_cy - GEOMETRY.image_fy * (offset[2] - 1.5) / depth
    torch.testing.assert_close(pixels[0, 0, 0], torch.stack((u, v)))
    torch.testing.assert_close(ahead[0, 0, 0], depth)
    assert bool(seen.all())


def test_lift_gives_zeros_when_the_cell_is_behind_or_beside_the_view() -> None:
    lift = ViewLift(TINY, GEOMETRY)
    cells = torch.tensor([[-5.0, 0.0], [2.0, 12.0], [12.0, 0.0]])
    seen, there, view = lift(torch.ones(1, 8, *SIZE), anywhere(), POSITION, cells)
    for hidden in (0, 1):
        assert seen[0, hidden].abs().sum() == 0
        assert there[0, hidden].abs().sum() == 0
        assert view[0, hidden].abs().sum() == 0
    assert bool((seen[0, 2] == 1.0).all())
    assert bool((there[0, 2] > 0.0).all())


def test_lift_reads_the_column_the_cell_projects_to_when_features_differ() -> None:
    lift = ViewLift(TINY, GEOMETRY)
    columns = torch.arange(float(SIZE[1])).expand(1, 8, *SIZE)
    cells = torch.tensor([[20.3, 5.0], [20.3, -5.0]])
    seen, _, _ = lift(columns, anywhere(), POSITION, cells)
    left, right = seen[0].mean(dim=(-2, -1)).tolist()
    shift = GEOMETRY.image_fx * 5.0 / 20.0
    assert abs(left - ((GEOMETRY.image_cx - shift) / 4 - 0.5)) < 0.5
    assert abs(right - ((GEOMETRY.image_cx + shift) / 4 - 0.5)) < 0.5


def test_lift_counts_a_pixel_only_in_the_cells_at_its_distance_when_it_is_sure() -> None:
    lift = ViewLift(TINY, GEOMETRY)
    sure = depth_weights(torch.tensor(14.0), BINS)[None, :, None, None].expand(1, BINS, *SIZE)
    cells = torch.tensor([[distance + 0.3, 0.0] for distance in (4.0, 14.0, 30.0)])
    _, there, _ = lift(torch.ones(1, 8, *SIZE), sure, POSITION, cells)
    near, at, far = there[0].mean(dim=(-2, -1)).tolist()
    assert near == far == 0.0
    assert at > 1.0


@settings(max_examples=50)
@given(ahead_m=st.floats(-5.0, 200.0), bins=st.integers(2, 64))
def test_depth_weights_add_up_to_one_in_two_neighbouring_bins_when_the_distance_is_anything(
    ahead_m: float, bins: int
) -> None:
    weights = depth_weights(torch.tensor(ahead_m, dtype=torch.float64), bins)
    assert abs(weights.sum().item() - 1.0) < 1e-9
    used = weights.nonzero().flatten().tolist()
    assert len(used) <= 2
    assert used[-1] - used[0] <= 1


def encoded(distance_m: float) -> torch.Tensor:
    """The encoding [GROUND_FEATURES] of a distance, by a pixel of level ground that lies there."""
    share = math.log(distance_m) / math.log(64.0)
    return fourier(torch.tensor([share * 2.0 - 1.0]), GROUND_FEATURES // 2)


@settings(max_examples=30, deadline=None)
@given(
    x=st.floats(5.0, 30.0),
    y=st.floats(-4.0, 4.0),
    pitch=st.floats(-0.04, 0.04),
    height=st.floats(1.1, 1.9),
)
def test_lift_ground_is_as_far_as_the_point_the_pixel_shows(
    x: float, y: float, pitch: float, height: float
) -> None:
    """A point on the ground, projected by the lift's own formula, and the ground of the pixel it falls on."""
    lift = ViewLift(TINY, GEOMETRY)
    lift.offsets = torch.zeros(1, 3)
    position, tilt = torch.tensor([[0.3, 0.0, height]]), torch.tensor([[0.01, pitch]])
    pixels, ahead, seen = lift.project(position, torch.tensor([[x, y]]), tilt)
    assume(bool(seen.all()))
    ground = lift.ground(position, (GEOMETRY.image_height, GEOMETRY.image_width), tilt)
    where = pixels / pixels.new_tensor([GEOMETRY.image_width, GEOMETRY.image_height]) * 2.0 - 1.0
    at = functional.grid_sample(ground, where, align_corners=False)[0, :, 0, 0]
    torch.testing.assert_close(at[:3], encoded(float(ahead))[:3], atol=0.1, rtol=0.0)


def test_lift_ground_is_farthest_when_the_pixel_shows_the_sky() -> None:
    ground = ViewLift(TINY, GEOMETRY).ground(POSITION, SIZE)
    torch.testing.assert_close(ground[0, :, 0, 0], encoded(64.0), atol=1e-3, rtol=0.0)
