"""Rotations between a tilted vehicle and the level frame its boxes are labelled in."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["from_level", "to_level", "upright"]


def upright(tilt: Tensor) -> Tensor:
    """Matrices [B, 3, 3] that turn vectors of the vehicle into the level frame; `tilt` [B, 2] roll, pitch."""
    (sin_roll, sin_pitch), (cos_roll, cos_pitch) = tilt.sin().unbind(-1), tilt.cos().unbind(-1)
    nothing = torch.zeros_like(sin_roll)
    rows = (
        (cos_pitch, sin_pitch * sin_roll, sin_pitch * cos_roll),
        (nothing, cos_roll, -sin_roll),
        (-sin_pitch, cos_pitch * sin_roll, cos_pitch * cos_roll),
    )
    return torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)


def from_level(rotation: Tensor, vectors: Tensor) -> Tensor:
    """Vectors [..., 3] of the level frame in the vehicle, by matrices [..., 3, 3] of `upright`."""
    return to_level(rotation.mT, vectors)


def to_level(rotation: Tensor, vectors: Tensor) -> Tensor:
    """Vectors [..., 3] of the vehicle in the level frame, by matrices [..., 3, 3]."""
    return (rotation * vectors[..., None, :]).sum(dim=-1)
