"""The canvas: Z-order, grids and encodings."""

from __future__ import annotations

import pytest
import torch
from networks import TINY

from sentryfuse_core.model.canvas import Canvas, block_order, cell_centres, fourier, morton_order
from sentryfuse_core.preprocess.geometry import GEOMETRY


def test_morton_order_groups_two_by_two_blocks_when_read_in_fours() -> None:
    order = morton_order(16)
    assert sorted(order.tolist()) == list(range(256))
    row, column = order.view(-1, 4) // 16, order.view(-1, 4) % 16
    assert torch.equal(row // 2, (row[:, :1] // 2).expand(-1, 4))
    assert torch.equal(column // 2, (column[:, :1] // 2).expand(-1, 4))


def test_morton_order_refuses_when_the_side_is_no_power_of_two() -> None:
    with pytest.raises(ValueError, match="12"):
        morton_order(12)


def test_block_order_groups_two_by_two_blocks_when_the_grid_is_not_square() -> None:
    assert block_order(2, 4).tolist() == [0, 1, 4, 5, 2, 3, 6, 7]


def test_canvas_returns_the_same_map_when_it_goes_to_tokens_and_back() -> None:
    canvas = Canvas(TINY, GEOMETRY)
    grid = torch.randn(2, 5, 16, 16)
    assert torch.equal(canvas.to_grid(canvas.from_grid(grid)).permute(0, 3, 1, 2), grid)


def test_cell_centres_follow_x_in_rows_and_y_in_columns_when_listed() -> None:
    centres = cell_centres(GEOMETRY, 16)
    assert centres[0].tolist() == [1.0, -15.0]
    assert centres[1].tolist() == [1.0, -13.0]
    assert centres[16].tolist() == [3.0, -15.0]


def test_canvas_gives_a_sensor_the_cells_encoding_when_bearings_agree() -> None:
    canvas = Canvas(TINY, GEOMETRY)
    bearing = torch.atan2(canvas.centres[7, 1], canvas.centres[7, 0])
    torch.testing.assert_close(canvas.at_bearing(bearing), canvas.bearing(canvas.bearing_features[7]))


def test_fourier_has_sines_then_cosines_of_octaves_when_encoding() -> None:
    assert fourier(torch.tensor([0.5]), 2).tolist() == pytest.approx([1.0, 0.0, 0.0, -1.0], abs=1e-6)
