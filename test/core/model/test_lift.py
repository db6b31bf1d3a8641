"""ViewLift: cells look where the virtual camera sees them, and nowhere else."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import TINY

from sentryfuse_core.model.lift import ViewLift, depth_weights
from sentryfuse_core.preprocess.geometry import GEOMETRY

POSITION = torch.tensor([[0.3, 0.0, 1.5]])
LEVEL = torch.zeros(1, 2)
SIZE = (GEOMETRY.image_height // 4, GEOMETRY.image_width // 4)
BINS = TINY.depth_bins


def anywhere() -> torch.Tensor:
    """A map that says nothing about distance."""
    return torch.full((1, BINS, *SIZE), 1.0 / BINS)


def test_lift_projects_as_a_pinhole_when_the_point_is_ahead() -> None:
    lift = ViewLift(TINY, GEOMETRY)
    pixels, ahead, seen = lift.project(POSITION, torch.tensor([[10.3, 2.0]]), LEVEL)
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
    seen, there, view = lift(torch.ones(1, 8, *SIZE), anywhere(), POSITION, cells, LEVEL)
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
    seen, _, _ = lift(columns, anywhere(), POSITION, cells, LEVEL)
    left, right = seen[0].mean(dim=(-2, -1)).tolist()
    shift = GEOMETRY.image_fx * 5.0 / 20.0
    assert abs(left - ((GEOMETRY.image_cx - shift) / 4 - 0.5)) < 0.5
    assert abs(right - ((GEOMETRY.image_cx + shift) / 4 - 0.5)) < 0.5


def test_lift_takes_nothing_of_pixels_that_the_camera_does_not_see() -> None:
    lift, halves = ViewLift(TINY, GEOMETRY), torch.zeros(1, 1, *SIZE)
    halves[..., : SIZE[1] // 2] = 1.0  # only what is to the left
    cells = torch.tensor([[12.0, 6.0], [12.0, -6.0], [-5.0, 0.0]])
    features, other = torch.rand(1, 8, *SIZE), torch.rand(1, 8, *SIZE)
    whole = lift(features, anywhere(), POSITION, cells, LEVEL)
    part = lift(features, anywhere(), POSITION, cells, LEVEL, halves)
    hidden = torch.where(halves > 0.0, features, other)
    for alone, all_of_it, spoilt in zip(
        part, whole, lift(hidden, anywhere(), POSITION, cells, LEVEL, halves), strict=True
    ):
        torch.testing.assert_close(alone[0, 0], all_of_it[0, 0])
        assert alone[0, 0].abs().sum() > 0.0
        assert alone[0, 1:].abs().sum() == 0.0
        assert torch.equal(alone, spoilt)


def test_lift_counts_a_pixel_only_in_the_cells_at_its_distance_when_it_is_sure() -> None:
    lift = ViewLift(TINY, GEOMETRY)
    sure = depth_weights(torch.tensor(14.0), BINS)[None, :, None, None].expand(1, BINS, *SIZE)
    cells = torch.tensor([[distance + 0.3, 0.0] for distance in (4.0, 14.0, 30.0)])
    _, there, _ = lift(torch.ones(1, 8, *SIZE), sure, POSITION, cells, LEVEL)
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
