"""Ground-truth boxes as they appear in the camera's image: what the camera encoder's look is trained on."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sentryfuse_core.lab.training.targets import UNSURE
from sentryfuse_core.model.ground import Ground
from sentryfuse_core.model.lift import depth_weights
from sentryfuse_core.preprocess.geometry import GEOMETRY
from sentryfuse_core.preprocess.tilt import from_level, upright

__all__ = ["ViewTargets", "make_view_targets", "rectangles"]

_NEAR_M = 1.0  # boxes whose centre is closer to the image plane are left out
_SPREAD = 6.0  # a box's rectangle is this many standard deviations of its bump wide
_LEAST_SIGMA = 0.5  # of a bump, in pixels of the map


@dataclass(frozen=True, eq=False)
class ViewTargets:
    """What the camera's pixels should say."""

    heatmap: Tensor  # [B, classes, h, w] 0..1, exactly 1 in the middle of a box's rectangle
    distance: Tensor  # [B, bins, h, w] weights that add up to 1
    foot: Tensor  # [B, h, w] row, in pixels of the image, where the ground is as far away
    weight: Tensor  # [B, h, w] of distance and foot; those of a box add up to at most 1
    count: Tensor  # [] number of boxes, at least 1
    known: Tensor  # [B, 1, h, w] 0 where a box that is UNSURE would be, else 1


def make_view_targets(
    boxes: Tensor,
    classes: Tensor,
    *,
    position: Tensor,
    tilt: Tensor | None,
    ground: Ground,
    class_count: int,
    bins: int,
) -> ViewTargets:
    """Maps as large as `ground`'s for boxes [B, M, 7] with classes [B, M] (-1: none, or UNSURE).

    `position` [B, 3] is the camera's in m, `tilt` [B, 2] the vehicle's in rad, None: level. A pixel that
    several boxes cover belongs to the nearest.
    """
    if tilt is None:
        tilt = position.new_zeros(len(position), 2)
    size = (len(ground.rows), len(ground.left))
    low, high, ahead = rectangles(boxes, position, tilt)
    whole = low.new_tensor([GEOMETRY.image_width, GEOMETRY.image_height])
    low, high = low.clamp_min(0.0), torch.minimum(high, whole)
    shown = (ahead > _NEAR_M) & (high > low).all(dim=-1)
    valid = (classes >= 0) & shown
    cell = whole / low.new_tensor([size[1], size[0]])  # pixels of the image in one of the map, u and v
    bumps, inside = _stamp(low / cell, high / cell, size)
    unsure = (classes == UNSURE) & shown
    known = ~(inside & unsure[..., None, None]).any(dim=1, keepdim=True)
    bumps, inside = bumps * valid[..., None, None], inside & valid[..., None, None]
    heat = torch.stack(
        [(bumps * (classes == index)[..., None, None]).amax(dim=1) for index in range(class_count)], dim=1
    )
    nearest, owner = torch.where(inside, ahead[..., None, None], torch.inf).min(dim=1)  # [B, h, w]
    shares = 1.0 / inside.sum(dim=(2, 3)).clamp_min(1)  # [B, M]
    weight = shares.gather(1, owner.flatten(1)).view_as(nearest) * nearest.isfinite()
    return ViewTargets(
        heat,
        depth_weights(nearest, bins).movedim(-1, 1),
        ground.rows_at(nearest, position, tilt),
        weight,
        valid.sum().clamp_min(1),
        known.to(boxes.dtype),
    )


def _stamp(low: Tensor, high: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Bumps and insides [B, M, h, w] of the rectangles between `low` and `high` [B, M, 2], in map pixels.

    The pixel that holds a rectangle's middle is always inside, however small the rectangle.
    """
    middle = ((low + high) / 2).floor()
    sigma = ((high - low) / _SPREAD).clamp_min(_LEAST_SIGMA)
    bumps, insides = [], []
    for axis, count in ((1, size[0]), (0, size[1])):
        pixel = torch.arange(count, dtype=low.dtype, device=low.device)
        first, last, centre, width = (item[..., axis, None] for item in (low, high, middle, sigma))
        bumps.append(torch.exp(-0.5 * ((pixel - centre) / width) ** 2))
        insides.append(((pixel + 0.5 >= first) & (pixel + 0.5 <= last)) | (pixel == centre))
    return (
        bumps[0][..., :, None] * bumps[1][..., None, :],
        insides[0][..., :, None] & insides[1][..., None, :],
    )


def rectangles(boxes: Tensor, position: Tensor, tilt: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Lower and upper corners [B, M, 2] (u, v) in pixels, and metres [B, M] of the centres ahead."""
    sign = torch.tensor(
        [[0, 0, 0], *((x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1))],
        dtype=boxes.dtype,
        device=boxes.device,
    )
    offset = sign * boxes[..., None, 3:6] / 2  # [B, M, 9, 3], the centre first
    sine, cosine = boxes[..., 6:].sin(), boxes[..., 6:].cos()
    x = offset[..., 0] * cosine - offset[..., 1] * sine
    y = offset[..., 0] * sine + offset[..., 1] * cosine
    points = boxes[..., None, :3] + torch.stack((x, y, offset[..., 2]), dim=-1)
    points = from_level(upright(tilt)[:, None, None], points)
    ahead, left, up = (points - position[:, None, None]).unbind(-1)
    depth = ahead.clamp_min(_NEAR_M / 2)
    u = GEOMETRY.image_cx - GEOMETRY.image_fx * left / depth
    v = GEOMETRY.image_cy - GEOMETRY.image_fy * up / depth
    corners = torch.stack((u, v), dim=-1)[..., 1:, :]
    return corners.amin(dim=-2), corners.amax(dim=-2), ahead[..., 0]
