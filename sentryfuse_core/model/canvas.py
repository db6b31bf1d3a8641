"""The bird's-eye-view canvas: its tokens' order, their positions, and the encoding sensors share with it."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from sentryfuse_core.model.shape import ModelShape
from sentryfuse_core.preprocess.geometry import Geometry

__all__ = ["Canvas", "block_order", "cell_centres", "fourier", "morton_order"]


def morton_order(side: int) -> Tensor:
    """Indices [side * side] that put a row-major grid into Z-order: each run of four is a 2x2 block."""
    bits = side.bit_length() - 1
    if side != 1 << bits:
        raise ValueError(f"Z-order needs a power of two, not {side}")
    code = torch.arange(side * side)
    row, column = torch.zeros_like(code), torch.zeros_like(code)
    for bit in range(bits):
        column |= (code >> (2 * bit) & 1) << bit
        row |= (code >> (2 * bit + 1) & 1) << bit
    return row * side + column


def block_order(rows: int, columns: int) -> Tensor:
    """Indices [rows * columns] that put a row-major grid with even sides into 2x2 blocks."""
    grid = torch.arange(rows * columns).view(rows // 2, 2, columns // 2, 2)
    return grid.permute(0, 2, 1, 3).reshape(-1)


def cell_centres(geometry: Geometry, side: int) -> Tensor:
    """Centres [side * side, 2] of a grid over the region, x and y in m, row-major."""
    step = (torch.arange(side, dtype=torch.float32) + 0.5) / side
    x = geometry.x_min_m + step * (geometry.x_max_m - geometry.x_min_m)
    y = geometry.y_min_m + step * (geometry.y_max_m - geometry.y_min_m)
    return torch.stack(torch.meshgrid(x, y, indexing="ij"), dim=-1).view(-1, 2)


def fourier(values: Tensor, frequencies: int) -> Tensor:
    """Sines and cosines of `values` [..., V] (about -1..1) at octaves: [..., V * 2 * frequencies]."""
    scale = math.pi * 2.0 ** torch.arange(frequencies, dtype=values.dtype, device=values.device)
    phase = values[..., None] * scale
    return torch.cat((phase.sin(), phase.cos()), dim=-1).flatten(-2)


class Canvas(nn.Module):
    """Queries in Z-order: a learned part for each cell plus an encoding of x, y, range and bearing."""

    order: Tensor  # [cells] row-major index of each token
    inverse: Tensor  # [cells] token of each row-major cell
    centres: Tensor  # [cells, 2] metres, in token order
    place_features: Tensor
    bearing_features: Tensor

    def __init__(self, shape: ModelShape, geometry: Geometry) -> None:
        super().__init__()
        self._frequencies = shape.frequencies
        order = morton_order(geometry.canvas_cells)
        centres = cell_centres(geometry, geometry.canvas_cells)[order]
        x, y = centres.unbind(-1)
        half = (geometry.x_max_m - geometry.x_min_m) / 2
        place = torch.stack((x / half - 1.0, y / half, torch.hypot(x, y) / half - 1.0), dim=-1)
        constants = {
            "order": order,
            "inverse": torch.argsort(order),
            "centres": centres,
            "place_features": fourier(place, shape.frequencies),
            "bearing_features": fourier(torch.atan2(y, x)[:, None] / (math.pi / 2), shape.frequencies),
        }
        for name, value in constants.items():
            self.register_buffer(name, value, persistent=False)
        self.learned = nn.Parameter(torch.randn(len(order), shape.dim) * 0.02)
        self.place = nn.Linear(3 * 2 * shape.frequencies, shape.dim)
        self.bearing = nn.Linear(2 * shape.frequencies, shape.dim)

    def forward(self) -> Tensor:
        """The canvas tokens before any sensor has spoken: [cells, D]."""
        place: Tensor = self.place(self.place_features)
        bearing: Tensor = self.bearing(self.bearing_features)
        return self.learned + place + bearing

    def at_bearing(self, bearing_rad: Tensor) -> Tensor:
        """The encoding [..., D] of bearings [...], the same that the canvas cells carry."""
        encoded: Tensor = self.bearing(fourier(bearing_rad[..., None] / (math.pi / 2), self._frequencies))
        return encoded

    def to_grid(self, tokens: Tensor) -> Tensor:
        """Tokens [B, cells, C] as a row-major grid [B, side, side, C]."""
        side = math.isqrt(tokens.shape[1])
        return torch.unflatten(tokens[:, self.inverse], 1, (side, side))

    def to_fine_grid(self, tokens: Tensor, split: int) -> Tensor:
        """Tokens [B, cells, split * split * C], sub-cells row-major, as a map [B, C, split * side, ...]."""
        grid = torch.unflatten(self.to_grid(tokens), -1, (split, split, -1))  # [B, X, Y, sx, sy, C]
        return grid.permute(0, 5, 1, 3, 2, 4).flatten(4, 5).flatten(2, 3)

    def from_grid(self, grid: Tensor) -> Tensor:
        """A feature map [B, C, side, side] as tokens [B, cells, C]."""
        return grid.flatten(2).transpose(1, 2)[:, self.order]
