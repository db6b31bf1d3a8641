"""ViewLift: cells look where the virtual camera sees them, and nowhere else."""

from __future__ import annotations

import torch
from networks import TINY

from sentryfuse_core.model.lift import ViewLift
from sentryfuse_core.preprocess.geometry import GEOMETRY

POSITION = torch.tensor([[0.3, 0.0, 1.5]])


def test_lift_projects_as_a_pinhole_when_the_point_is_ahead() -> None:
    lift = ViewLift(TINY, GEOMETRY)
    pixels, seen = lift.project(POSITION, torch.tensor([[10.3, 2.0]]))
    offset = lift.offsets[0]
    depth = 10.0 + offset[0]
    u = 96.0 - 96.0 * (2.0 + offset[1]) / depth
    v = 64.0 - 96.0 * (offset[2] - 1.5) / depth
    torch.testing.assert_close(pixels[0, 0, 0], torch.stack((u, v)))
    assert bool(seen.all())


def test_lift_gives_zeros_when_the_cell_is_behind_or_beside_the_view() -> None:
    lift = ViewLift(TINY, GEOMETRY)
    cells = torch.tensor([[-5.0, 0.0], [2.0, 12.0], [12.0, 0.0]])
    seen, view = lift(torch.ones(1, 8, 32, 48), POSITION, cells)
    assert seen[0, 0].abs().sum() == 0
    assert view[0, 0].abs().sum() == 0
    assert seen[0, 1].abs().sum() == 0
    assert bool((seen[0, 2] == 1.0).all())


def test_lift_reads_the_column_the_cell_projects_to_when_features_differ() -> None:
    lift = ViewLift(TINY, GEOMETRY)
    columns = torch.arange(48.0).expand(1, 8, 32, 48)
    seen, _ = lift(columns, POSITION, torch.tensor([[20.3, 5.0], [20.3, -5.0]]))
    left, right = seen[0].mean(dim=(-2, -1)).tolist()
    assert abs(left - (72.0 / 4 - 0.5)) < 0.5
    assert abs(right - (120.0 / 4 - 0.5)) < 0.5
