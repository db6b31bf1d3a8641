"""Ground: rows and distances belong together."""

from __future__ import annotations

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from networks import TINY
from torch.nn import functional

from sentryfuse_core.model.canvas import fourier
from sentryfuse_core.model.ground import FARTHEST_M, GROUND_FEATURES, Ground
from sentryfuse_core.model.lift import ViewLift
from sentryfuse_core.preprocess.geometry import GEOMETRY

POSITION = torch.tensor([[0.3, 0.0, 1.5]])
WHOLE = (GEOMETRY.image_height, GEOMETRY.image_width)
SIZE = (GEOMETRY.image_height // 4, GEOMETRY.image_width // 4)
angles = st.floats(-0.04, 0.04)


@settings(max_examples=30, deadline=None)
@given(x=st.floats(5.0, 30.0), y=st.floats(-4.0, 4.0), pitch=angles, height=st.floats(1.1, 1.9))
def test_ground_is_as_far_as_the_point_the_pixel_shows(
    x: float, y: float, pitch: float, height: float
) -> None:
    """A point on the ground, projected by the lift's own formula, and the ground of the pixel it falls on."""
    lift = ViewLift(TINY, GEOMETRY)
    lift.offsets = torch.zeros(1, 3)
    position, tilt = torch.tensor([[0.3, 0.0, height]]), torch.tensor([[0.01, pitch]])
    pixels, ahead, seen = lift.project(position, torch.tensor([[x, y]]), tilt)
    assume(bool(seen.all()))
    # The inverse of the distance is linear over the image.
    inverse = 1.0 / Ground(GEOMETRY, WHOLE).ahead(position, tilt)
    where = pixels / pixels.new_tensor([GEOMETRY.image_width, GEOMETRY.image_height]) * 2.0 - 1.0
    at = functional.grid_sample(inverse[:, None], where, align_corners=False)
    torch.testing.assert_close(1.0 / at.flatten(), ahead.flatten(), rtol=2e-3, atol=0.0)


def test_ground_is_farthest_when_the_pixel_shows_the_sky() -> None:
    ground = Ground(GEOMETRY, SIZE)
    ahead = ground.ahead(POSITION, torch.zeros(1, 2))
    assert ahead[0, 0, 0].item() == FARTHEST_M
    farthest = fourier(torch.tensor([1.0]), GROUND_FEATURES // 2)
    torch.testing.assert_close(ground.encode(ahead)[0, :, 0, 0], farthest, atol=1e-5, rtol=0.0)


@settings(max_examples=30, deadline=None)
@given(metres=st.floats(2.0, 60.0), roll=angles, pitch=angles)
def test_ground_rows_are_where_the_ground_is_that_far(metres: float, roll: float, pitch: float) -> None:
    ground, tilt = Ground(GEOMETRY, SIZE), torch.tensor([[roll, pitch]])
    wanted = torch.full((1, *SIZE), metres)
    rows = ground.rows_at(wanted, POSITION, tilt)
    torch.testing.assert_close(ground.ahead(POSITION, tilt, rows), wanted, rtol=1e-3, atol=0.0)


@pytest.mark.parametrize("height", [0.0, -0.4])
def test_ground_is_finite_when_the_camera_is_said_to_lie_on_it(height: float) -> None:
    ground = Ground(GEOMETRY, SIZE)
    ahead = ground.ahead(torch.tensor([[0.0, 0.0, height]]), torch.tensor([[0.0, 0.02]]))
    assert bool(ahead.isfinite().all())
    assert bool((ahead > 0.0).all())
