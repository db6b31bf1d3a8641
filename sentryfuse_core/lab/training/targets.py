"""Ground-truth boxes as the maps the head is trained on."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sentryfuse_core.model.canvas import cell_centres
from sentryfuse_core.preprocess.geometry import GEOMETRY

__all__ = ["UNSURE", "Targets", "cells_of", "in_region", "make_targets"]

UNSURE = -2  # class of a box that may or may not be there: around it nothing is learned

_SIGMA_CELLS = 0.8  # small: a peak is one cell and a shoulder of its neighbours
_ABOUT = 0.2  # of a bump: the 3 x 3 cells about its peak
_SHOULDER = 0.4  # boxes are also learned in cells above this, so that a peak one cell off is still a box


@dataclass(frozen=True, eq=False)
class Targets:
    """What the maps should be."""

    heatmap: Tensor  # [B, classes, 32, 32] 0..1, exactly 1 in the cell of a centre
    boxes: Tensor  # [B, 10, 32, 32] as HeadOutput.boxes
    weight: Tensor  # [B, 32, 32] how much each cell's box counts
    count: Tensor  # [] number of boxes, at least 1
    known: Tensor  # [B, 1, 32, 32] 1 where the truth is told, 0 where nothing is learned


def in_region(boxes: Tensor, classes: Tensor) -> Tensor:
    """Which boxes [B, M, 7], classes [B, M] (below 0: none), have their centre in the region: [B, M] bool."""
    x, y = boxes[..., 0], boxes[..., 1]
    inside = (
        (x >= GEOMETRY.x_min_m) & (x < GEOMETRY.x_max_m) & (y >= GEOMETRY.y_min_m) & (y < GEOMETRY.y_max_m)
    )
    return inside & (classes >= 0)


def cells_of(boxes: Tensor) -> Tensor:
    """Row and column of the head's maps that the centres of boxes [B, M, 7] lie in, [B, M, 2] int64.

    Of those outside the region the nearest.
    """
    cell_m = (GEOMETRY.x_max_m - GEOMETRY.x_min_m) / GEOMETRY.heatmap_cells
    origin = boxes.new_tensor([GEOMETRY.x_min_m, GEOMETRY.y_min_m])
    return ((boxes[..., :2] - origin) / cell_m).floor().clamp(0, GEOMETRY.heatmap_cells - 1).long()


def make_targets(
    boxes: Tensor,
    classes: Tensor,
    *,
    class_count: int,
    known: Tensor | None = None,
) -> Targets:
    """Maps for boxes [B, M, 7] (x, y, z, l, w, h, yaw) with classes [B, M], -1 for no box.

    Where `known` [B, 32, 32] is false nobody told what is there: nothing is learned, neither boxes nor none;
    so about boxes that are UNSURE, but for the cells of others.
    """
    side = GEOMETRY.heatmap_cells
    valid = in_region(boxes, classes)
    cells = cells_of(boxes)
    cell = cells.to(boxes)
    axis = torch.arange(side, dtype=boxes.dtype, device=boxes.device)
    squared = (cell[..., :1] - axis)[..., :, None] ** 2 + (cell[..., 1:] - axis)[..., None, :] ** 2
    bumps = torch.exp(squared / (-2.0 * _SIGMA_CELLS**2))  # [B, M, X, Y]
    unsure = in_region(boxes, (classes == UNSURE).long() - 1)
    vague = ((bumps > _ABOUT) & unsure[..., None, None]).any(dim=1)
    bumps = bumps * valid[..., None, None]
    heat = torch.stack(
        [(bumps * (classes == index)[..., None, None]).amax(dim=1) for index in range(class_count)], dim=1
    )
    height, owner = bumps.max(dim=1)  # [B, X, Y]
    centres = cell_centres(GEOMETRY, side).to(boxes).view(side, side, 2)
    rows = torch.arange(len(boxes), device=boxes.device)[:, None, None]
    own = boxes[rows, owner]  # [B, X, Y, 7]
    maps = torch.cat(
        (
            own[..., :2] - centres,
            own[..., 2:3],
            own[..., 3:6].clamp_min(0.05).log(),
            own[..., 6:].sin(),
            own[..., 6:].cos(),
            (2.0 * own[..., 6:]).sin(),
            (2.0 * own[..., 6:]).cos(),
        ),
        dim=-1,
    )
    weight = torch.where(height > _SHOULDER, height, torch.zeros_like(height))
    clear = ~vague | (weight > 0.0)
    known = clear if known is None else known & clear
    rows = torch.arange(len(boxes), device=boxes.device)[:, None]
    told = known[rows, cells[..., 0], cells[..., 1]] & valid
    return Targets(
        heat, maps.permute(0, 3, 1, 2), weight * known, told.sum().clamp_min(1), known[:, None].to(heat)
    )
